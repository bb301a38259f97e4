"""Objectives: what the trainer minimizes, a function of named layers and labels.

A loss knows embeddings; an objective says which layers they come from. Layers arrive as
(batch, views, width), gathered over devices: every objective sees the global batch.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax.sharding import Mesh

from ssljax.losses.multiview import mean_over_pairs
from ssljax.system.arrays import Array, Float, Int

Layers = Mapping[str, Float[Array, "batch views ..."]]
PairLoss = Callable[[Float[Array, "batch dim"], Float[Array, "batch dim"]], Float[Array, ""]]
LabeledLoss = Callable[
    [Float[Array, "batch dim"], Float[Array, "batch dim"], Int[Array, "batch"]], Float[Array, ""]
]


class Objective(NamedTuple):
    """A loss and the layers it reads.

    Attributes:
      value: ``(layers, labels) -> loss``. ``layers`` holds ``embedding``, the layers named below
        and, where ``uses_target``, ``target``: the embedding of the averaged network, through
        which no gradient flows.
      layers: Names of the layers read besides ``embedding``.
      uses_target: Whether the averaged network is applied to the views as well.
    """

    value: Callable[[Layers, Int[Array, "batch"]], Float[Array, ""]]
    layers: tuple[str, ...] = ()
    uses_target: bool = False


class LossContext(NamedTuple):
    """What a loss may need to know of a run besides its own settings.

    Attributes:
      mesh: Where a compiler spreads the batch over the one axis of a mesh, that mesh: the blocks
        of a loss in blocks then travel over it.
      scores: The layer that holds the scores of classes.
    """

    mesh: Mesh | None = None
    scores: str = "embedding"


BuildObjective = Callable[[Any, LossContext], Objective]
"""``(settings of the loss, context) -> objective``."""


def fixed_objective(objective: Objective) -> BuildObjective:
    """Return the builder of a loss without settings."""

    def build(settings: Any, context: LossContext) -> Objective:
        del settings, context
        return objective

    return build


def pair_objective(loss: PairLoss) -> Objective:
    """Return a loss of two views as an objective: its mean over pairs of views."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        del labels
        return mean_over_pairs(loss, layers["embedding"])

    return Objective(value)


def labeled_pair_objective(loss: LabeledLoss) -> Objective:
    """Return a loss of two views and of labels as an objective: its mean over pairs of views."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        return mean_over_pairs(loss, layers["embedding"], labels=labels)

    return Objective(value)


def scaled_objective(objective: Objective, factor: float) -> Objective:
    """Return the objective times a number."""
    if factor == 1.0:
        return objective

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        return factor * objective.value(layers, labels)

    return objective._replace(value=value)
