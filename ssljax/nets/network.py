"""The one adapter: a Flax NNX module becomes two pure functions of plain dictionaries.

Modules are only declared with NNX. Everything after this file sees nested dictionaries with
string keys: `params` (trained) and `statistics` (running means, not trained). Merging and
splitting happen while tracing, so a compiled step never pays for them, and a trained module
cannot lose its statistics: they are returned or they do not exist.

Evaluation mode is for measuring, whatever training computes in: its products are taken at the
highest precision of the device, and `evaluate_with` gives a network that trains in bfloat16 an
evaluation in float32. Layers are asked for by name: `resolve_layers` checks, `layer_dims` measures.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx

from ssljax.system.arrays import Array, PRNGKeyArray
from ssljax.system.errors import UsageError

Tree = dict[str, Any]


class Numerics(NamedTuple):
    """How a network computes, whatever it is.

    Attributes:
      param_dtype: Type of the parameters.
      dtype: Type of the computation of nonlinear parts; None follows ``param_dtype``.
      batch_groups: Parts of the batch as a program sees it that a norm ``batch_per_device``
        treats each for itself.
    """

    param_dtype: Any = jnp.float32
    dtype: Any = None
    batch_groups: int = 1


@runtime_checkable
class EncoderBuilder(Protocol):
    """Builds an encoder: a module with `image_shape`, `feature_dim` and the names `layers`."""

    def __call__(self, *, rngs: nnx.Rngs, axis_name: str | None) -> nnx.Module:
        """Return the encoder, its parameters drawn from ``rngs``."""
        ...


@runtime_checkable
class HeadBuilder(Protocol):
    """Builds a head or predictor: a module with `embedding_dim` and `depth`."""

    def __call__(self, dim: int, *, rngs: nnx.Rngs, axis_name: str | None) -> nnx.Module:
        """Return the head for inputs of width ``dim``, its parameters drawn from ``rngs``."""
        ...


class Network(NamedTuple):
    """A module as two pure functions of plain dictionaries.

    Attributes:
      init: ``init(key) -> (params, statistics)``. ``params`` has the subtrees ``encoder``,
        ``head`` and ``predictor``, each present only where it holds arrays; kernels of dense
        layers are (in, out), so the matrix of layer l is ``kernel.T``.
      apply: ``apply(params, statistics, images, *, train, layers=()) -> (outputs, statistics)``.
        ``images`` (batch, height, width, channels), float. ``train`` is static: True takes
        normalization statistics from the batch and returns the updated running ones, False
        uses the running ones, returns them unchanged and takes every product at the highest
        precision of the device. ``outputs`` holds ``embedding`` and
        every name asked for in ``layers``; what is not asked for costs nothing once compiled.
      layers: Every pooled layer name, in order: ``input``, ``stem``, ``stage1``..., ``feature``,
        ``head1``..., ``embedding`` and, where there is one, ``predictor``. Convolutional layers
        also answer to ``NAME/map``, the map before pooling.
    """

    init: Callable[[PRNGKeyArray], tuple[Tree, Tree]]
    apply: Callable[..., tuple[dict[str, Array], Tree]]
    layers: tuple[str, ...]


class _Model(nnx.Module):
    def __init__(self, encoder_builder, head_builder, predictor_builder, rngs, axis_name, frozen):
        self.frozen = frozen
        self.encoder = encoder_builder(rngs=rngs, axis_name=axis_name)
        self.head = head_builder(self.encoder.feature_dim, rngs=rngs, axis_name=axis_name)
        self.has_predictor = predictor_builder is not None
        if predictor_builder is not None:
            self.predictor = predictor_builder(
                self.head.embedding_dim, rngs=rngs, axis_name=axis_name
            )

    def __call__(self, images, *, train):
        outputs = {"input": images.reshape(images.shape[0], -1)}
        outputs |= self.encoder(images, train=train and "encoder" not in self.frozen)
        hidden = self.head(outputs["feature"], train=train and "head" not in self.frozen)
        outputs |= {f"head{i}": layer for i, layer in enumerate(hidden, start=1)}
        outputs["embedding"] = hidden[-1] if hidden else outputs["feature"]
        if self.has_predictor:
            outputs["predictor"] = self.predictor(outputs["embedding"], train=train)[-1]
        return outputs


def make_network(
    encoder_builder: EncoderBuilder,
    head_builder: HeadBuilder,
    *,
    predictor_builder: HeadBuilder | None = None,
    axis_name: str | None = None,
    frozen: tuple[str, ...] = (),
) -> Network:
    """Return an encoder, a projection head and optionally a predictor as two pure functions.

    Args:
      encoder_builder: Called as ``encoder_builder(rngs=..., axis_name=...)``; for example
        ``functools.partial(ResNet, image_shape, stage_sizes=(2, 2, 2, 2))``.
      head_builder: Called as ``head_builder(feature_dim, rngs=..., axis_name=...)``; for
        example ``functools.partial(LinearHead, widths=(64, 32))``.
      predictor_builder: As ``head_builder``, on top of the embedding (BYOL, SimSiam).
      axis_name: Name of the ``jax.pmap`` axis over which batch statistics are averaged. Leave
        None under ``jax.jit``: there statistics are those of the global batch by construction.
      frozen: Parts, of ``encoder`` and ``head``, that compute in training as in evaluation: they
        normalize by their running statistics, which stay.

    Returns:
      The `Network`. Two networks that differ only in ``axis_name`` have the same trees.
    """

    def build(rngs: nnx.Rngs) -> _Model:
        return _Model(encoder_builder, head_builder, predictor_builder, rngs, axis_name, frozen)

    abstract = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    graph, _, _ = nnx.split(abstract, nnx.Param, ...)
    encoder, head = abstract.encoder, abstract.head
    image_shape = encoder.image_shape
    # Multi-crop trains on smaller views; what is measured has the shape of the data.
    takes_any_size = getattr(encoder, "takes_any_size", False)
    names = ("input", *encoder.layers, "feature")
    names += (*(f"head{i}" for i in range(1, head.depth + 1)), "embedding")
    names += ("predictor",) * abstract.has_predictor

    def init(key: PRNGKeyArray) -> tuple[Tree, Tree]:
        _, params, statistics = nnx.split(build(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(statistics)

    def forward(params, statistics, images, train):
        model = nnx.merge(graph, nnx.State(params), nnx.State(statistics))
        with nullcontext() if train else jax.default_matmul_precision("highest"):
            outputs = model(images, train=train)
        return outputs, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param)))

    def apply(
        params: Tree,
        statistics: Tree,
        images: Array,
        *,
        train: bool,
        layers: tuple[str, ...] = (),
    ) -> tuple[dict[str, Array], Tree]:
        is_other_size = takes_any_size and train and images.shape[3:] == image_shape[2:]
        if images.shape[1:] != image_shape and not is_other_size:
            raise UsageError(
                f"images of shape {images.shape[1:]} given to a network for {image_shape}; "
                "build the network with the shape of the data"
            )
        outputs, new_statistics = forward(params, statistics, images, train)
        unknown = [name for name in layers if name not in outputs]
        if unknown:
            raise UsageError(
                f"no layer {unknown[0]!r} in this network; it has {', '.join(outputs)}"
            )
        wanted = {"embedding": outputs["embedding"]} | {name: outputs[name] for name in layers}
        return wanted, new_statistics if train else statistics

    return Network(init, apply, names)


def make_head_map(head_builder: HeadBuilder, dim: int) -> Callable[[Tree, Tree, Array], Array]:
    """Return a projection head alone, as it computes in evaluation.

    Args:
      head_builder: As for `make_network`.
      dim: Width of the feature.

    Returns:
      ``(params, statistics, features (batch, dim)) -> embeddings (batch, out)``, pure JAX, where
      ``params`` and ``statistics`` are those of a whole network with such a head; products are
      taken at the highest precision.
    """
    abstract = nnx.eval_shape(lambda: head_builder(dim, rngs=nnx.Rngs(0), axis_name=None))
    graph, _, _ = nnx.split(abstract, nnx.Param, ...)

    def embed(params: Tree, statistics: Tree, features: Array) -> Array:
        parts = (nnx.State(tree.get("head", {})) for tree in (params, statistics))
        head = cast("Callable[..., list[Array]]", nnx.merge(graph, *parts))
        with jax.default_matmul_precision("highest"):
            hidden = head(features, train=False)
        return hidden[-1] if hidden else features

    return embed


def evaluate_with(network: Network, evaluated: Network) -> Network:
    """Replace what a network computes in evaluation mode.

    Rounding a feature to bfloat16 adds to its covariance a floor of relative size 1e-5 in every
    direction, so that a collapsed representation looks full-rank.

    Args:
      network: Trains in bfloat16.
      evaluated: The same modules built for float32, with the same trees of parameters.

    Returns:
      ``network`` in training mode and ``evaluated`` in evaluation mode.
    """

    def apply(
        params: Tree,
        statistics: Tree,
        images: Array,
        *,
        train: bool,
        layers: tuple[str, ...] = (),
    ) -> tuple[dict[str, Array], Tree]:
        chosen = network if train else evaluated
        return chosen.apply(params, statistics, images, train=train, layers=layers)

    return network._replace(apply=apply)


ALL_LAYERS = "all"


def resolve_layers(network: Network, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the layers asked for; ``all`` means each once, except the input.

    (The last layer of a head is the embedding, and not named twice then.)

    Raises:
      UsageError: There is no such layer.
    """
    if layers == (ALL_LAYERS,):
        heads = [name for name in network.layers if name.startswith("head")]
        left_out = ("input", *heads[-1:])
        return tuple(name for name in network.layers if name not in left_out)
    for name in layers:
        if name not in network.layers:
            raise UsageError(
                f"no layer {name!r} in this network: it has {', '.join(network.layers)}"
            )
    return layers


def layer_dims(
    network: Network, image_shape: tuple[int, int, int], layers: tuple[str, ...]
) -> dict[str, int]:
    """Return the width of each of the named, pooled layers; nothing is computed."""

    def outputs(key: PRNGKeyArray) -> dict[str, Array]:
        images = jnp.zeros((1, *image_shape))
        return network.apply(*network.init(key), images, train=False, layers=layers)[0]

    shapes = jax.eval_shape(outputs, jax.random.key(0))
    return {name: shapes[name].shape[1] for name in layers}
