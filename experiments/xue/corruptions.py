"""Claim 7: on shifted test images the layer before the head is the more robust."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import XUE, Claim, Experiment
from experiments.core.gates import learned
from experiments.core.names import level
from experiments.core.values import Row, points


def _accuracy(
    layer: str,
    task: str = "corruptions",
    variant: str = "trained",
    network: str = "base",
    **settings: str,
) -> Row:
    return Row(network, "accuracy", layer, task, variant, level(**settings))


EXPERIMENT = Experiment(
    question="Which layer keeps its accuracy on corrupted images?",
    claims=(
        Claim(
            7,
            "robustness to corruptions",
            "On shifted test images the layer before the head is the more robust.",
            XUE,
            "Abstract (shifted ImageNet). Stand-in: ten corruptions of CIFAR-10 at five"
            " severities.",
            "Probes fitted on clean images are tested on corrupted ones; the effect is the mean"
            " over corruptions and severities.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=7,
            name="corrupted images, before less after",
            role="primary",
            value=points(_accuracy("feature")) - points(_accuracy("embedding")),
            says="Corrupted images are classified {} better before the head than after it.",
        ),
        learned(7, "base", "cifar10", "Training gains {} on CIFAR-10."),
        Contrast(
            claim=7,
            name="training, not a further layer",
            role="secondary",
            value=points(_accuracy("embedding", variant="random_head"))
            - points(_accuracy("embedding")),
            says="Corrupted images are classified {} better after a random head than after the"
            " trained"
            " one.",
            beside=True,
        ),
        Contrast(
            claim=7,
            name="at equal clean accuracy",
            role="secondary",
            value=points(_accuracy("feature", clean="equal"))
            - points(_accuracy("embedding", clean="equal")),
            says="At equal accuracy on clean images, corrupted ones are classified {} better"
            " before the"
            " head.",
        ),
        Contrast(
            claim=7,
            name="beside no head",
            role="secondary",
            value=points(_accuracy("feature")) - points(_accuracy("feature", network="none")),
            says="Before the head they are classified {} better than in a network without one.",
        ),
    ),
    scope="Synthetic corruptions of small images, a stand-in for shifted ImageNet.",
)
