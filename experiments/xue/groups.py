"""Claim 6: under a shift of groups the layer before the head is the more robust."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import XUE, Claim, Experiment
from experiments.core.names import level
from experiments.core.panels import Course, Images, Line
from experiments.core.values import Row, Smallest, Value, mean, points

GROUPS = range(8)
LOSSES = ("groups-contrastive", "groups-entropy")


def _groups(
    network: str, layer: str, variant: str = "trained", split: str = "test"
) -> tuple[Row, ...]:
    return tuple(
        Row(network, "accuracy", layer, f"group:{group}", variant, level(split=split))
        for group in GROUPS
    )


def _worst(network: str, layer: str, variant: str = "trained") -> Value:
    """Test accuracy of the group that is worst on validation images."""
    validation = _groups(network, layer, variant, "validation")
    return points(Smallest(validation, _groups(network, layer, variant)))


def _average(network: str, layer: str, variant: str = "trained") -> Value:
    return points(mean(*_groups(network, layer, variant)))


def _both(value, layer: str, variant: str = "trained") -> Value:
    """Mean of both losses."""
    return mean(*(value(network, layer, variant) for network in LOSSES))


def _each(layer: str, variant: str = "trained") -> tuple[Value, ...]:
    both = [_groups(network, layer, variant) for network in LOSSES]
    return tuple(points(mean(*rows)) for rows in zip(*both, strict=True))


def _biased(task: str) -> Value:
    return mean(
        *(
            points(Row(network, "accuracy", "feature", task, level=level(probe="biased")))
            for network in LOSSES
        )
    )


EXPERIMENT = Experiment(
    question="Which layer serves groups that shortcuts mislead?",
    claims=(
        Claim(
            6,
            "robustness to a shift of groups",
            "Under a shift of groups the layer before the head is the more robust.",
            XUE,
            "Abstract (UrbanCars). Stand-in: automobiles and horses of CIFAR-10 before backgrounds"
            " and beside digits that go with the class in 95 % of the training images.",
            "The last layer is retrained on balanced held-out images. Every test object stands in"
            " all combinations of background and digit, so that groups hold the same objects."
            " The worst group is chosen on validation images, the effect is the mean of a"
            " supervised contrastive loss and cross-entropy.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=6,
            name="worst group, before less after",
            role="primary",
            value=_both(_worst, "feature") - _both(_worst, "embedding"),
            says="In the worst group the layer before the head is {} better.",
        ),
        Contrast(
            claim=6,
            name="learned(groups)",
            role="gate",
            at_least=5.0,
            value=_both(_average, "feature") - _both(_average, "feature", "untrained"),
            says="Training gains {} on objects, averaged over groups.",
        ),
        Contrast(
            claim=6,
            name="shortcut",
            role="gate",
            at_least=10.0,
            value=_biased("aligned") - _biased("misled"),
            says="A probe on biased images is {} better where shortcuts help than where they"
            " mislead.",
        ),
        Contrast(
            claim=6,
            name="training, not a further layer",
            role="secondary",
            value=_both(_worst, "embedding", "random_head") - _both(_worst, "embedding"),
            says="In the worst group a random head is {} better than the trained one.",
            beside=True,
        ),
        Contrast(
            claim=6,
            name="beside no head",
            role="secondary",
            value=_worst("groups-entropy", "feature") - _worst("groups-none", "feature"),
            says="In the worst group the layer before the head is {} better than that of a network"
            " trained without a head.",
        ),
        Contrast(
            claim=6,
            name="average of groups",
            role="secondary",
            kind="no_worse",
            value=_both(_average, "feature") - _both(_average, "embedding"),
            says="On average over groups the layer before the head is {} better.",
        ),
    ),
    panels=(
        Images(
            name="groups-images",
            claim=6,
            title="One object in front of both kinds of background and beside both digits.",
            kinds=(("groups of one class", Row(LOSSES[0], "images")),),
        ),
        Course(
            name="groups-accuracy",
            claim=6,
            title="Accuracy in every group, mean of both losses.",
            levels=tuple(f"{group}" for group in GROUPS),
            lines=(
                Line(name="before the head", values=_each("feature")),
                Line(name="after the head", values=_each("embedding")),
                Line(
                    name="after a random head",
                    values=_each("embedding", "random_head"),
                    is_null=True,
                ),
                Line(name="untrained", values=_each("feature", "untrained"), is_null=True),
            ),
            x="group",
            y="accuracy, points",
        ),
    ),
    scope="A stand-in for UrbanCars at 16 pixels.",
)
