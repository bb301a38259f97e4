"""The words that rows of the measurements table may use: layers, variants, tasks, quantities.

The table is shared by everything that measures, predicts, judges and draws; a name that is not here
is refused when a row is written, so that a typing error is no empty panel weeks later.
"""

import re
from typing import NamedTuple

from experiments.errors import InputError

LAYERS = ("", "input", "pixels", "stem", "feature", "embedding", "predictor")
NUMBERED_LAYERS = re.compile(r"(stage|head|layer)[1-9][0-9]*")
VARIANTS = ("trained", "untrained", "random_head", "theory", "moments")
PREFIXED_VARIANTS = re.compile(r"(step:[0-9]+|rival:[a-z0-9_.+-]+|optimizer:[a-z]+)")


class Task(NamedTuple):
    """What a probe reads.

    Attributes:
      images: The test images it is read from. Tasks on the same images share their sampling error.
      chance: Accuracy without any information.
      words: For captions, after "accuracy on".
    """

    images: str
    chance: float
    words: str


TASKS = {
    "cifar10": Task("cifar10", 0.1, "CIFAR-10"),
    "corruptions": Task("cifar10", 0.1, "corrupted CIFAR-10"),
    "fine": Task("cifar100", 0.01, "the fine classes of CIFAR-100"),
    "coarse": Task("cifar100", 0.05, "the coarse classes of CIFAR-100"),
    "mnist": Task("mnist", 0.1, "MNIST"),
    "parity": Task("mnist", 0.5, "the parity of MNIST digits"),
    "digit": Task("composites", 0.1, "digits on natural images"),
    "background": Task("composites", 0.1, "the backgrounds behind digits"),
    "digits": Task("digits", 0.1, "handwritten digits"),
    "object": Task("groups", 0.5, "objects with shortcuts"),
    "group": Task("groups", 0.5, "objects of one group"),
    "misled": Task("groups", 0.5, "objects with both shortcuts misleading"),
    "aligned": Task("groups", 0.5, "objects with both shortcuts aligned"),
}


class Quantity(NamedTuple):
    """What a number is.

    Attributes:
      unit: Of the stored value.
      words: For captions and axes.
    """

    unit: str
    words: str


QUANTITIES = {
    "accuracy": Quantity("fraction", "test accuracy"),
    "loss": Quantity("nats", "loss on held-out images"),
    "defect": Quantity("1", "invariance defect"),
    "erank": Quantity("dimensions", "effective rank of the layer spectrum"),
    "weight_erank": Quantity("dimensions", "effective rank of the weight spectrum"),
    "slope_rank": Quantity("dimensions", "rank of the local slope"),
    "r2": Quantity("1", "explained variance of an image property"),
    "overlap": Quantity("1", "overlap with the tangent plane"),
    "ceiling": Quantity("1", "split-half ceiling of the overlap"),
    "tangent_agreement": Quantity("1", "overlap of sampled and exact tangents"),
    "gap": Quantity("fraction", "lead of the layer before the head"),
    "share": Quantity("1", "share of tasks"),
    "amplitude": Quantity("1", "amplitude of the disrupted features"),
    "log_error": Quantity("log", "error of the prediction"),
    "course_error": Quantity("log", "error of the predicted courses"),
    "size_error": Quantity("log", "error of the predicted final sizes"),
    "time_error": Quantity("log", "error of the predicted half-times"),
    "spectrum_error": Quantity("log", "error of the predicted spectrum"),
    "count_error": Quantity("log", "error of the predicted count"),
    "gram_distance": Quantity("log", "distance of the first layer's Gram"),
    "gram_error": Quantity("1", "largest relative error of a layer's Gram"),
    "defect_error": Quantity("log", "error of the predicted defect"),
    "rank_error": Quantity("log", "error of the predicted effective rank"),
    "slope_error": Quantity("1", "error of the slope of log weights"),
    "weights_error": Quantity("log", "error of the predicted weights"),
    "risk_error": Quantity("log", "error of the predicted risk"),
    "imbalance": Quantity("1", "imbalance of adjacent layers"),
    "imbalance_error": Quantity("log", "error of the predicted imbalance"),
    "ledger_error": Quantity("1", "largest difference from the account, relative"),
    "ledger_bound": Quantity("1", "rounding bound of the account, relative"),
    "identity_error": Quantity("1", "largest relative difference"),
    "modes": Quantity("modes", "number of modes"),
    "forgotten": Quantity("1", "weight decay times step size, summed"),
    "regret": Quantity("1", "regret, as a share of the curve's spread"),
    "spread": Quantity("standard errors", "spread of the risk over depths"),
    "weight_spectrum": Quantity("1", "weight spectrum"),
    "layer_spectrum": Quantity("1", "layer spectrum"),
    "sizes": Quantity("1", "sizes of the modes"),
    "half_times": Quantity("1", "half-times of the modes"),
    "lead_map": Quantity("log2", "labels needed after the head over before it, by settings"),
    "images": Quantity("1", "images as a network sees them"),
    "floor": Quantity("1", "difference between two equally good runs"),
}

_LEVEL = re.compile(r"([a-z_]+=[A-Za-z0-9_.+-]+)(;[a-z_]+=[A-Za-z0-9_.+-]+)*")


def level(**settings: float | int | str) -> str:
    """Return what varies at measuring as one cell of the table: `key=value;key=value`, sorted.

    Example:
      >>> level(strength=0.30, labels=1000)
      'labels=1000;strength=0.3'
    """
    return ";".join(f"{key}={_text(value)}" for key, value in sorted(settings.items()))


def read_level(text: str) -> dict[str, str]:
    """Return the settings of a level by name.

    Example:
      >>> read_level("labels=1000;strength=0.3")
      {'labels': '1000', 'strength': '0.3'}
    """
    return dict(pair.split("=", 1) for pair in text.split(";") if pair)


def task_of(name: str) -> Task:
    """Return the entry of a task; `group:3` is an instance of `group`."""
    return TASKS[name.partition(":")[0]]


def check_names(variant: str, layer: str, task: str, quantity: str, level: str) -> None:
    """Refuse a name that the table does not know.

    Raises:
      InputError: It names the column, the word and the words that are allowed.
    """
    if variant not in VARIANTS and not PREFIXED_VARIANTS.fullmatch(variant):
        raise InputError(_refusal("variant", variant, (*VARIANTS, "step:K", "rival:NAME")))
    if layer not in LAYERS and not NUMBERED_LAYERS.fullmatch(layer):
        raise InputError(_refusal("layer", layer, (*LAYERS[1:], "stageN", "headN", "layerN")))
    if task and task.partition(":")[0] not in TASKS:
        raise InputError(_refusal("task", task, tuple(TASKS)))
    if quantity not in QUANTITIES:
        raise InputError(_refusal("quantity", quantity, tuple(QUANTITIES)))
    if level and (not _LEVEL.fullmatch(level) or _sorted(level) != level):
        raise InputError(f"the level '{level}' is not key=value;key=value, sorted by key")


def _refusal(column: str, name: str, allowed: tuple[str, ...]) -> str:
    return f"the {column} '{name}' is not one of {', '.join(allowed)} (experiments/core/names.py)"


def _sorted(text: str) -> str:
    return ";".join(f"{key}={value}" for key, value in sorted(read_level(text).items()))


def _text(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"
