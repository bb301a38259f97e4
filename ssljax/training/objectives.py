"""Objectives: what the trainer minimizes, a function of named layers and labels.

A loss knows embeddings; an objective says which layers they come from. Layers arrive as
(batch, views, width), gathered over devices: every objective sees the global batch.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ssljax.losses import byol, cross_entropy, mean_squared_error, simsiam
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


def pair_objective(loss: PairLoss) -> Objective:
    """A loss of the embeddings of the first and the second views."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        del labels
        embedding = layers["embedding"]
        return loss(embedding[:, 0], embedding[:, 1])

    return Objective(value)


def labeled_pair_objective(loss: LabeledLoss) -> Objective:
    """A loss of the embeddings of both views and of the labels."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        embedding = layers["embedding"]
        return loss(embedding[:, 0], embedding[:, 1], labels)

    return Objective(value)


def cross_entropy_objective(layer: str) -> Objective:
    """Cross-entropy of the scores in a layer, every view an example of its own."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        scores = layers[layer]
        return cross_entropy(*_examples(scores, labels))

    return Objective(value, _beside_embedding(layer))


def mean_squared_error_objective(layer: str) -> Objective:
    """Half the squared distance of a layer from the one-hot labels, every view an example."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        scores, labels = _examples(layers[layer], labels)
        return mean_squared_error(scores, jax.nn.one_hot(labels, scores.shape[1]))

    return Objective(value, _beside_embedding(layer))


def simsiam_objective() -> Objective:
    """SimSiam: the predictor of one view meets the other view's own embedding."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        del labels
        prediction, embedding = layers["predictor"], layers["embedding"]
        return simsiam(prediction[:, 0], prediction[:, 1], embedding[:, 0], embedding[:, 1])

    return Objective(value, ("predictor",))


def byol_objective() -> Objective:
    """BYOL: the predictor of one view meets the averaged network's embedding of the other."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        del labels
        prediction, target = layers["predictor"], layers["target"]
        return byol(prediction[:, 0], prediction[:, 1], target[:, 0], target[:, 1])

    return Objective(value, ("predictor",), uses_target=True)


def scaled_objective(objective: Objective, factor: float) -> Objective:
    """The objective times a number."""
    if factor == 1.0:
        return objective

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        return factor * objective.value(layers, labels)

    return objective._replace(value=value)


def _beside_embedding(layer):
    return () if layer == "embedding" else (layer,)


def _examples(scores, labels):
    """Views as rows of their own, each with its image's label."""
    views = scores.shape[1]
    return scores.reshape(-1, scores.shape[-1]), jnp.repeat(labels, views)
