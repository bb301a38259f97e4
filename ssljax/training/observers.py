"""What is looked at during training, compiled into the step."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ssljax.system.arrays import Array, Float, PyTree


class Observer(NamedTuple):
    """A pure function of one training step, with a state of its own.

    Attributes:
      observe: ``(params, gradients, outputs, state) -> (state, scalars)``. Parameters and
        gradients are those of the step, before the update; ``outputs`` holds ``embedding``,
        the layers asked for and those the loss reads, over the global batch, shape
        ``(batch, 2, …)`` with the views on the second axis, and ``label`` of shape ``(batch,)``;
        ``scalars`` are added to the metrics of the step.
      initial_state: State before the first step: a pytree of arrays, empty by default.
      layers: Names of the layers that ``observe`` wants in ``outputs``.
    """

    observe: Callable[
        [PyTree, PyTree, Mapping[str, Array], PyTree],
        tuple[PyTree, Mapping[str, Float[Array, ""]]],
    ]
    initial_state: PyTree = ()
    layers: tuple[str, ...] = ()
