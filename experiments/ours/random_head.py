"""What share of the loss behind a head is training's, and what share any such map's."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import Experiment
from experiments.core.names import level
from experiments.core.panels import Losses
from experiments.core.values import Row, Value, mean, points

TASKS = (
    ("base", "cifar10", "CIFAR-10, trained on itself"),
    ("weak", "cifar10", "CIFAR-10, weak augmentation"),
    ("strong", "cifar10", "CIFAR-10, strong augmentation"),
    ("base", "corruptions", "corrupted CIFAR-10"),
    ("base", "fine", "CIFAR-100 from CIFAR-10"),
    ("base", "mnist", "MNIST from CIFAR-10"),
    ("coarse-contrastive", "coarse", "coarse classes, their own"),
    ("coarse-contrastive", "fine", "fine classes from coarse ones"),
    ("coarse-entropy", "fine", "fine from coarse, cross-entropy"),
    ("parity-contrastive", "parity", "parity, its own"),
    ("parity-contrastive", "mnist", "digits from their parity"),
    ("digits-full", "digit", "digits, never dropped"),
    ("digits-dropped", "digit", "digits, in one of ten views"),
    ("digits-split", "digit", "digits, in one view of a pair"),
    ("groups-contrastive", "object", "objects with shortcuts"),
    ("groups-entropy", "object", "the same, cross-entropy"),
)
"""Network, task, words."""


def _accuracy(network: str, task: str, layer: str, variant: str = "trained") -> Value:
    return points(Row(network, "accuracy", layer, task, variant, level()))


def _losses(network: str, task: str) -> tuple[Value, Value]:
    """Return what a random head and what the trained head lose of the feature, in points."""
    before = _accuracy(network, task, "feature")
    at_random = _accuracy(network, task, "embedding", "random_head")
    return before - at_random, before - _accuracy(network, task, "embedding")


def _contrasts(words: str, at_random: Value, trained: Value) -> tuple[Contrast, ...]:
    return (
        Contrast(
            claim=0,
            name=f"{words}: any such map",
            role="noted",
            value=at_random,
            says=f"{words[0].upper()}{words[1:]}: a random head loses {{}}.",
        ),
        Contrast(
            claim=0,
            name=words,
            role="noted",
            value=trained - at_random,
            beside=True,
            says=f"{words[0].upper()}{words[1:]}: the trained head loses {{}} more.",
        ),
    )


_LOSSES = {words: _losses(network, task) for network, task, words in TASKS}
_ALL = tuple(mean(*values) for values in zip(*_LOSSES.values(), strict=True))

EXPERIMENT = Experiment(
    question="How much of what is lost behind the head does a head with random weights lose too?",
    claims=(),
    contrasts=(
        Contrast(
            claim=0,
            name="all tasks: the share that training adds",
            role="noted",
            unit="share",
            value=(_ALL[1] - _ALL[0]) / _ALL[1],
            says="Over all tasks together, {} of what is lost behind the trained head is lost by"
            " training it; a random head loses the rest.",
        ),
        *(contrast for words, values in _LOSSES.items() for contrast in _contrasts(words, *values)),
    ),
    panels=(
        Losses(
            name="random-head",
            claim=0,
            title="Accuracy of a linear probe before the head less that after it.",
            tasks=tuple((words, *values) for words, values in _LOSSES.items()),
            null="random head",
        ),
    ),
    answers=(
        "The trained head loses more than a random one",
        "It loses less than a random one",
        "The two cannot be told apart",
    ),
    scope="Both papers explain what a head loses by what training makes of it. A head of the same"
    " architecture with random weights, on the same trained encoder, loses something too: a"
    " linear probe reads less after any map of that kind. The mechanism of the papers is visible"
    " for a task where the trained head loses more than the random one: where the interval of"
    " the difference lies above zero. Random heads are means of five draws.",
)
