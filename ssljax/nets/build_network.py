"""From a configuration to the network it describes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ssljax.config.config import Config
from ssljax.config.objective_config import PREDICTED
from ssljax.nets.diagonal import DiagonalEncoder, SubvectorHead, SymmetrizedReLUHead
from ssljax.nets.head import LinearHead, MLPHead, NoHead, ReweightingHead
from ssljax.nets.linear import LinearEncoder
from ssljax.nets.mlp import MLPEncoder
from ssljax.nets.network import HeadBuilder, Network, evaluate_with, make_network
from ssljax.nets.resnet import ResNet, resnet_stages
from ssljax.system.errors import UsageError

_ACTIVATIONS = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


def float_type(config: Config) -> Any:
    """Type of parameters and views.

    Raises:
      UsageError: float64 is asked for outside a float64 context.
    """
    if config.precision != "float64":
        return jnp.float32
    if jnp.result_type(float) != jnp.float64:
        raise UsageError(
            "precision float64 was asked for, JAX computes in float32: call inside"
            " `with jax.enable_x64(True):` (the command line does)"
        )
    return jnp.float64


def build_network(
    config: Config,
    image_shape: tuple[int, int, int],
    axis_name: str | None = None,
    *,
    batch_groups: int = 1,
) -> Network:
    """The network a configuration describes, for images of one shape.

    Args:
      config: Its encoder, head, precision and whether its loss needs a predictor.
      image_shape: (height, width, channels).
      axis_name: The pmap axis over which batch statistics are averaged.
      batch_groups: Parts of the batch as this program sees it that a norm ``batch_per_device``
        treats each for itself.

    Raises:
      UsageError: A part cannot be built as described.
    """
    dtypes = {"param_dtype": float_type(config)}
    precision = None if config.matmul_precision == "default" else config.matmul_precision

    def network(dtype: Any) -> Network:
        computed = dtypes | {"dtype": dtype}
        return make_network(
            _encoder(config, image_shape, batch_groups, dtypes, computed),
            _head(config, batch_groups, dtypes, computed),
            predictor_builder=_predictor(config, batch_groups, computed),
            axis_name=axis_name,
            training_precision=precision,
        )

    if config.precision == "bfloat16":
        return evaluate_with(network(jnp.bfloat16), network(None))
    return network(None)


def _encoder(config, image_shape, batch_groups, dtypes, computed):
    encoder = config.encoder
    nonlinear = computed | {
        "feature_centering": encoder.feature_centering,
        "feature_scale": encoder.feature_scale,
        **_norm(encoder.norm, batch_groups),
    }
    if encoder.kind == "linear":
        return partial(
            LinearEncoder,
            image_shape,
            widths=encoder.widths,
            init=encoder.init,
            scale=encoder.init_scale,
            **dtypes,
        )
    if encoder.kind == "diagonal":
        return partial(DiagonalEncoder, image_shape, scale=encoder.init_scale, **dtypes)
    if encoder.kind == "mlp":
        return partial(
            MLPEncoder,
            image_shape,
            widths=encoder.widths,
            activation=_ACTIVATIONS[encoder.activation],
            feature_activation=encoder.feature_activation,
            **nonlinear,
        )
    stages = encoder.stage_sizes, encoder.block
    stage_sizes, block = resnet_stages(encoder.depth) if encoder.depth else stages
    return partial(
        ResNet,
        image_shape,
        stage_sizes=stage_sizes,
        block=block,
        width=encoder.width,
        stem=encoder.stem,
        zero_residual=encoder.zero_residual,
        remat=encoder.remat,
        **nonlinear,
    )


def _head(config, batch_groups, dtypes, computed):
    head = config.head
    heads: dict[str, Callable[[], Any]] = {
        "none": lambda: NoHead,
        "linear": lambda: partial(
            LinearHead, widths=head.widths, init=head.init, scale=head.init_scale, **dtypes
        ),
        "mlp": lambda: partial(
            MLPHead,
            widths=head.widths,
            bias=head.bias,
            last_bias=head.bias,
            last_norm=head.last_norm,
            activation=_ACTIVATIONS[head.activation],
            **_norm(head.norm, batch_groups),
            **computed,
        ),
        "reweight": lambda: partial(ReweightingHead, kappa=head.kappa, **dtypes),
        "diagonal": lambda: partial(
            SymmetrizedReLUHead,
            scale=head.init_scale,
            threshold=head.threshold,
            shared_threshold=head.shared_threshold,
            **dtypes,
        ),
        "subvector": lambda: partial(SubvectorHead, width=head.widths[0]),
    }
    return heads[head.kind]()


def _predictor(config, batch_groups, computed) -> HeadBuilder | None:
    """What stands on the embedding: a predictor of its width, a classifier, or nothing."""
    head = config.head
    if config.loss.name not in PREDICTED and not head.classes:
        return None

    def predictor(dim: int, *, rngs: nnx.Rngs, axis_name: str | None) -> nnx.Module:
        return MLPHead(
            dim,
            widths=(*head.predictor_widths, head.classes or dim),
            activation=_ACTIVATIONS[head.activation],
            rngs=rngs,
            axis_name=axis_name,
            **_norm(head.norm, batch_groups),
            **computed,
        )

    return predictor


def _norm(norm, batch_groups):
    if norm == "batch_per_device":
        return {"norm": "batch", "batch_groups": batch_groups}
    return {"norm": norm}
