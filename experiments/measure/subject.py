"""A network as it is measured, and the signature of every measurement."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from experiments.core.measurements import Key, Measurement
from experiments.core.names import level
from experiments.networks.images import Labeled, Split
from experiments.networks.sizes import Size
from experiments.networks.trainings import Training
from experiments.networks.variant import Images, Variant
from ssljax.augment.policies import IDENTITY, Policy

__all__ = ["Curve", "Labeled", "Measure", "Split", "Subject"]


class Curve(NamedTuple):
    """An array that only figures need, with the key of a row."""

    key: Key
    values: np.ndarray


def _refuse_views(
    images: Images, strength: float, number: int
) -> Float32[np.ndarray, "images height width channels"]:
    raise ValueError("this network has no policy to make views with")


def _refuse_examples(count: int) -> UInt8[np.ndarray, "images views height width channels"]:
    raise ValueError("this network is not trained on views")


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A network of a seed, ready to be measured.

    Attributes:
      network: Its name in the table of trainings.
      seed: Of the training; draws made at measuring are keyed on it.
      training: Its entry in the table.
      size: Of the tier.
      task: The images of a task, by its name in `core.names.TASKS` (`group` and `object` alike);
        a model may ask for them, too.
      variants: The network at several parameters, by name: `trained`, `untrained` (its own first
        step), and `random_head:0` … `:4` (a new head on the trained encoder). Called with images,
        each returns the features of all layers from one pass; `map_to(layer)` and `head_map()` are
        maps in JAX, which have derivatives; `head_weights()` are the matrices of the head.
      view: ``view(images, strength, number)``: view `number` of each image under the policy of
        the training at some strength, from 0 to 1 in float32. A view depends on the seed, the
        place of the image in the array, and `number`.
      examples: ``examples(count)``: both views of the first training images as the network saw
        them in its first step, for figures.
      policy: Augmentation of the training at strength 1.
      observed: What observers recorded, by name: scalars, one a step, and arrays of final states
        as `OBSERVER/NAME`; `step` and `loss` are always there for a trained network.
      after: The networks of the same seed that heads are trained on, by name.
      config: Digest of the configuration; empty for a model.
      data: Fingerprint of the training images.
      steps: Training steps.
      final_loss: Of the last step; NaN where nothing was trained.
    """

    network: str
    seed: int
    training: Training
    size: Size
    task: Callable[[str], Split]
    variants: Mapping[str, Variant] = dataclasses.field(default_factory=dict)
    view: Callable[[Images, float, int], Float32[np.ndarray, "images height width channels"]] = (
        _refuse_views
    )
    examples: Callable[[int], UInt8[np.ndarray, "images views height width channels"]] = (
        _refuse_examples
    )
    policy: Policy = IDENTITY
    observed: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    after: Mapping[str, "Subject"] = dataclasses.field(default_factory=dict)
    config: str = ""
    data: str = ""
    steps: int = 0
    final_loss: float = math.nan

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
