"""Claim 4: where augmentation disrupts a feature, or it is weak, the layer before serves it."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import XUE, Claim, Experiment
from experiments.core.gates import learned
from experiments.core.names import TASKS
from experiments.core.panels import Course, Images, Line
from experiments.core.values import Row, Value, points, share_lost

CHANCE = TASKS["digit"].chance
SETTINGS = {
    "digits-full": "never dropped",
    "digits-faint": "half transparent",
    "digits-dropped": "dropped, 9 of 10",
}


def _digit(network: str, layer: str, variant: str = "trained") -> Row:
    return Row(network, "accuracy", layer, "digit", variant)


def _lost(network: str, variant: str = "trained") -> Value:
    return share_lost(_digit(network, "feature"), _digit(network, "embedding", variant), CHANCE)


def _digits(layer: str, variant: str = "trained") -> tuple[Value, ...]:
    return tuple(points(_digit(network, layer, variant)) for network in SETTINGS)


_DROPPED = _lost("digits-dropped") - _lost("digits-full")
_AT_RANDOM = _lost("digits-dropped", "random_head") - _lost("digits-full", "random_head")

EXPERIMENT = Experiment(
    question="Does the head lose what augmentation disrupts, or what is weak?",
    claims=(
        Claim(
            4,
            "disrupted digits are lost in the head",
            "Where augmentation disrupts a feature, or it is weak, the layer before the head serves"
            " it better.",
            XUE,
            "Abstract (scenarios) and figure 3; digits on natural images, as in the paper.",
            "Digits are dropped from none or nine of ten views, or are half transparent. Share"
            " lost: of what a probe reads of the digit above chance before the head, the part that"
            " it does not read after the head.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=4,
            name="share lost by dropping digits",
            role="primary",
            needs=("learned(digit)", "digits where dropped"),
            unit="share",
            value=_DROPPED,
            says="Dropping digits raises the share that the head loses by {}.",
        ),
        learned(
            4,
            "digits-full",
            "digit",
            "Training gains {} on digits that are never dropped.",
            at_least=10.0,
        ),
        Contrast(
            claim=4,
            name="digits where dropped",
            role="gate",
            at_least=5.0,
            value=points(_digit("digits-dropped", "feature")) - 100 * CHANCE,
            says="Dropped digits are read {} above chance before the head.",
        ),
        Contrast(
            claim=4,
            name="more than in a random head",
            role="secondary",
            unit="share",
            value=_DROPPED - _AT_RANDOM,
            says="Dropping digits raises the share lost by {} more in a trained head than in a"
            " random"
            " one.",
            beside=True,
        ),
        Contrast(
            claim=4,
            name="share lost by weakening digits",
            role="secondary",
            unit="share",
            needs=("learned(digit)", "learned(faint digit)"),
            value=_lost("digits-faint") - _lost("digits-full"),
            says="Half transparent digits raise the share that the head loses by {}.",
        ),
        Contrast(
            claim=4,
            name="learned(faint digit)",
            role="gate",
            at_least=5.0,
            value=points(_digit("digits-faint", "feature")) - 100 * CHANCE,
            says="Half transparent digits are read {} above chance before the head.",
        ),
    ),
    panels=(
        Images(
            name="composites-images",
            claim=4,
            title="Two views of each image.",
            kinds=tuple((words, Row(network, "images")) for network, words in SETTINGS.items()),
        ),
        Course(
            name="composites-accuracy",
            claim=4,
            title="What is read of the digit, before and after the head.",
            levels=tuple(SETTINGS.values()),
            lines=(
                Line(name="before the head", values=_digits("feature")),
                Line(name="after the head", values=_digits("embedding")),
                Line(
                    name="after a random head",
                    values=_digits("embedding", "random_head"),
                    is_null=True,
                ),
                Line(name="untrained", values=_digits("feature", "untrained"), is_null=True),
            ),
            x="",
            y="accuracy on digits, points",
        ),
    ),
    scope="Digits of MNIST on CIFAR-10 at 16 pixels; backgrounds are redrawn in some views, without"
    " which digits are not learned at this size.",
    literature='Where the two views of a pair are two images of one class ("oracle" views, which'
    " disrupt nothing that tells classes apart), VICReg without a projector gains 6.3 points on"
    " ImageNet and with one .6 (ResNet-50, 100 epochs, A Cookbook of Self-Supervised Learning):"
    " most of what the projector is good for goes with the disruption.",
)
