"""A network as it is measured, and the signature of every measurement."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, UInt8

from experiments.core.measurements import Key, Measurement
from experiments.core.names import level
from experiments.networks.sizes import Size
from experiments.networks.trainings import Training

Images = UInt8[np.ndarray, "images height width channels"]
Features = Mapping[str, Float32[np.ndarray, "images width"]]
"""By layer: `stage1` … , `feature`, `head1` … , `embedding`; float32 at the highest precision."""


class Labeled(NamedTuple):
    """Images of a task, in stored order, with their labels."""

    images: Images
    labels: Int[np.ndarray, " images"]


class Split(NamedTuple):
    """What a probe of a task is fitted on and tested on."""

    train: Labeled
    test: Labeled


class Curve(NamedTuple):
    """An array that only figures need, with the key of a row."""

    key: Key
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network of a seed, ready to be measured.

    Attributes:
      network: Its name in the table of trainings.
      seed: Of the training; draws made at measuring are keyed on it.
      training: Its entry in the table.
      size: Of the tier.
      variants: What puts features out, by variant: `trained`, `untrained`, `random_head:0` … `:4`
        (embedding of a new head on the trained encoder), `step:K`. Each takes images and returns
        the features of all layers, from one pass.
      task: The images of a task, by its name in `core.names.TASKS`.
      weights: Of a linear head, by variant: matrices W1 … WL (out, in).
    """

    network: str
    seed: int
    training: Training
    size: Size
    variants: Mapping[str, Callable[[Images], Features]]
    task: Callable[[str], Split]
    weights: Mapping[str, tuple[np.ndarray, ...]] = dataclasses.field(default_factory=dict)

    def key(
        self,
        quantity: str,
        variant: str = "trained",
        layer: str = "",
        task: str = "",
        **settings: float | int | str,
    ) -> Key:
        """Return the key of a number of this network; `settings` become its level."""
        return Key(self.network, self.seed, variant, layer, task, quantity, level(**settings))


Measure = Callable[[Subject], Iterator[Measurement | Curve]]
"""A measurement: yields rows and curves of a network, whatever claim reads them."""
