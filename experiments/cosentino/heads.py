"""Claim 13: width and depth of the head change the encoder's representation."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import COSENTINO, Claim, Experiment
from experiments.core.gates import learned
from experiments.core.names import level
from experiments.core.panels import Course, Line
from experiments.core.values import Row, Value, log, points

HEADS = ("none", "narrow", "base", "wide", "deep")


def _defect(network: str, variant: str = "trained") -> Row:
    return Row(network, "defect", "feature", "cifar10", variant, level(strength=0.3))


def _log_defect(network: str) -> Value:
    return log(_defect(network))


def _accuracy(network: str, variant: str = "trained") -> Value:
    return points(Row(network, "accuracy", "feature", "cifar10", variant))


def _log_rank(network: str) -> Value:
    return log(Row(network, "erank", "feature", "cifar10"))


def _learned(network: str) -> Contrast:
    return learned(
        13,
        network,
        "cifar10",
        f"With the {network} head training gains {{}} on CIFAR-10.",
        name=f"learned(cifar10), {network}",
    )


EXPERIMENT = Experiment(
    question="What do width and depth of the head do to the encoder?",
    claims=(
        Claim(
            13,
            "the head's shape changes the encoder",
            "Width and depth of the head change the encoder's representation.",
            COSENTINO,
            "Abstract of the paper's second version. It names no direction, so changes in either"
            " direction count.",
            "Heads with a hidden layer of 8, 64 and 256 units, with three hidden layers, and no"
            " head at all are trained alike; the feature before them is compared.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=13,
            name="invariance, narrow beside wide",
            role="primary",
            kind="two_sided",
            unit="times",
            value=_log_defect("narrow") - _log_defect("wide"),
            says="The feature's defect is {} as large under the narrow head as under the wide one.",
        ),
        _learned("narrow"),
        _learned("wide"),
        Contrast(
            claim=13,
            name="the narrow head is narrow",
            role="control",
            kind="no_worse",
            unit="dimensions",
            margin=0.5,
            value=4.0 - Row("narrow", "slope_rank", "embedding", "cifar10", "untrained"),
            says="Untrained, the narrow head's slope has {} less than half its width of 8.",
        ),
        Contrast(
            claim=13,
            name="invariance, deep beside base",
            role="secondary",
            kind="two_sided",
            unit="times",
            value=_log_defect("deep") - _log_defect("base"),
            says="The feature's defect is {} as large under three hidden layers as under one.",
        ),
        Contrast(
            claim=13,
            name="accuracy, narrow less wide",
            role="secondary",
            kind="two_sided",
            value=_accuracy("narrow") - _accuracy("wide"),
            says="The feature's accuracy is {} higher under the narrow head than under the wide"
            " one.",
        ),
        Contrast(
            claim=13,
            name="effective rank, no head beside base",
            role="secondary",
            kind="two_sided",
            unit="times",
            value=_log_rank("none") - _log_rank("base"),
            says="The feature's effective rank is {} as large without a head as with one.",
            beside=True,
        ),
    ),
    panels=(
        Course(
            name="heads-defect",
            claim=13,
            title="Invariance defect of the feature under five heads.",
            levels=HEADS,
            lines=(
                Line(name="trained", values=tuple(_defect(head) for head in HEADS)),
                Line(
                    name="untrained",
                    values=tuple(_defect(head, "untrained") for head in HEADS),
                    is_null=True,
                ),
            ),
            x="head",
            y="defect",
        ),
    ),
    scope="Five heads on one encoder, CIFAR-10 at 16 pixels.",
    literature="With a ResNet-18 trained for 300 epochs on CIFAR-10 (best of a sweep over settings,"
    " the library eb_jepa), a projector lifts the accuracy of a linear probe on the feature from"
    " 87.3 % to 90.1 % under VICReg and from 87.8 % to 91.0 % under SIGReg.",
)
