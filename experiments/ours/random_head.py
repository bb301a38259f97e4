"""What share of the loss behind a head is training's, and what share any such map's."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import Experiment
from experiments.core.names import level
from experiments.core.values import Row, Value, points

TASKS = (
    ("base", "cifar10", "CIFAR-10, trained on itself"),
    ("base", "corruptions", "Corrupted CIFAR-10"),
    ("base", "fine", "CIFAR-100 from CIFAR-10"),
    ("base", "mnist", "MNIST from CIFAR-10"),
    ("strong", "cifar10", "CIFAR-10, strong augmentation"),
    ("coarse-contrastive", "fine", "Fine classes from coarse ones"),
    ("coarse-entropy", "fine", "Fine classes, cross-entropy"),
    ("parity-contrastive", "mnist", "Digits from their parity"),
    ("digits-full", "digit", "Digits never dropped"),
    ("digits-dropped", "digit", "Digits dropped in nine of ten views"),
    ("digits-split", "digit", "Digits in one view of a pair"),
    ("groups-contrastive", "object", "Objects with shortcuts"),
)
"""Network, task, words."""


def _accuracy(network: str, task: str, layer: str, variant: str = "trained") -> Value:
    return points(Row(network, "accuracy", layer, task, variant, level()))


def _pair(network: str, task: str, words: str) -> tuple[Contrast, ...]:
    before = _accuracy(network, task, "feature")
    at_random = _accuracy(network, task, "embedding", "random_head")
    after = _accuracy(network, task, "embedding")
    return (
        Contrast(
            claim=0,
            name=f"{words}: any such map",
            role="noted",
            value=before - at_random,
            says=f"{words}: a random head loses {{}}.",
        ),
        Contrast(
            claim=0,
            name=f"{words}: training",
            role="noted",
            value=at_random - after,
            beside=True,
            says=f"{words}: the trained head loses {{}} more.",
        ),
    )


EXPERIMENT = Experiment(
    question="How much of what is lost behind the head does a head with random weights lose too?",
    claims=(),
    contrasts=tuple(contrast for task in TASKS for contrast in _pair(*task)),
    scope="Random heads have the architecture of the trained one; means of five draws.",
)
