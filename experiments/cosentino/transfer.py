"""Claim 9: the head's output generalizes more poorly than the encoder's."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import COSENTINO, Claim, Experiment
from experiments.core.gates import learned
from experiments.core.panels import Course, Line
from experiments.core.values import Row, Value, mean, points

NETWORKS = ("weak", "base", "strong")
STRENGTHS = (0.1, 0.5, 1.25)
TRANSFERRED = ("fine", "mnist")


def _accuracy(network: str, layer: str, task: str, variant: str = "trained") -> Row:
    return Row(network, "accuracy", layer, task, variant)


def _over_strengths(layer: str, task: str, variant: str = "trained") -> tuple[Value, ...]:
    return tuple(points(_accuracy(network, layer, task, variant)) for network in NETWORKS)


def _lead(network: str, tasks: tuple[str, ...] = TRANSFERRED) -> Value:
    return mean(
        *(
            points(_accuracy(network, "feature", task))
            - points(_accuracy(network, "embedding", task))
            for task in tasks
        )
    )


def _training(network: str, task: str) -> Value:
    return points(_accuracy(network, "embedding", task, "random_head")) - points(
        _accuracy(network, "embedding", task)
    )


EXPERIMENT = Experiment(
    question="Does the head's output transfer worse than the encoder's?",
    claims=(
        Claim(
            9,
            "transfer is worse after the head",
            "The head's output generalizes more poorly than the encoder's.",
            COSENTINO,
            "Abstract (transfer). It does not say that the gap widens with augmentation.",
            "Networks trained on CIFAR-10 at three strengths are probed on CIFAR-100 (fine classes)"
            " and MNIST, before and after a head whose output is as wide as its input.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=9,
            name="transfer, before less after",
            role="primary",
            value=mean(*map(_lead, NETWORKS)),
            says="Other data sets are read {} better before the head than after it.",
        ),
        learned(9, "base", "cifar10", "Training gains {} on CIFAR-10."),
        Contrast(
            claim=9,
            name="training, not a further layer",
            role="secondary",
            value=mean(*(_training(net, task) for net in NETWORKS for task in TRANSFERRED)),
            says="Other data sets are read {} better after a random head than after the trained"
            " one.",
            beside=True,
        ),
        Contrast(
            claim=9,
            name="on CIFAR-10 itself",
            role="secondary",
            value=mean(*(_lead(network, ("cifar10",)) for network in NETWORKS)),
            says="CIFAR-10 itself is read {} better before the head.",
        ),
        Contrast(
            claim=9,
            name="widening with strength",
            role="noted",
            value=_lead("strong") - _lead("weak"),
            says="From weak to strong augmentation the lead grows by {}.",
        ),
    ),
    panels=tuple(
        Course(
            name=f"transfer-{task}",
            claim=9,
            title=f"{words} read from networks trained on CIFAR-10.",
            levels=STRENGTHS,
            lines=(
                Line(name="before the head", values=_over_strengths("feature", task)),
                Line(name="after the head", values=_over_strengths("embedding", task)),
                Line(
                    name="after a random head",
                    values=_over_strengths("embedding", task, "random_head"),
                    is_null=True,
                ),
                Line(
                    name="untrained",
                    values=_over_strengths("feature", task, "untrained"),
                    is_null=True,
                ),
            ),
            x="strength of the augmentation",
            y="accuracy, points",
            log_x=True,
        )
        for task, words in (("fine", "CIFAR-100"), ("mnist", "MNIST"), ("cifar10", "CIFAR-10"))
    ),
    scope="CIFAR-10 at 16 pixels, one loss, three strengths.",
)
