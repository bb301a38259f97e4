"""From a configuration to values: the only file, with `ssljax.train`, that reads one."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ssljax.config import Config
from ssljax.errors import UsageError
from ssljax.losses import nt_xent, spectral_contrastive
from ssljax.models.head import LinearHead, MLPHead, NoHead, ReweightingHead
from ssljax.models.linear import LinearEncoder
from ssljax.models.mlp import MLPEncoder
from ssljax.models.resnet import ResNet
from ssljax.network import Network, make_network
from ssljax.objectives import Objective, pair_objective
from ssljax.optimizer import adamw, sgd, warmup_cosine
from ssljax.step import MakeViews
from ssljax.views import make_view_pairs


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
    config: Config, image_shape: tuple[int, int, int], axis_name: str | None = None
) -> Network:
    """The network a configuration describes, for images of one shape.

    Args:
      config: Its encoder, head and precision.
      image_shape: (height, width, channels).
      axis_name: The pmap axis over which batch statistics are averaged.

    Raises:
      UsageError: A part cannot be built as described.
    """
    param_dtype = float_type(config)
    dtypes = {"param_dtype": param_dtype}
    computed = dtypes | {"dtype": jnp.bfloat16 if config.precision == "bfloat16" else None}
    encoder, head = config.encoder, config.head
    centered = {
        "feature_centering": encoder.feature_centering,
        "feature_scale": encoder.feature_scale,
    }
    encoders = {
        "linear": partial(
            LinearEncoder,
            image_shape,
            widths=encoder.widths,
            init=encoder.init,
            scale=encoder.init_scale,
            **dtypes,
        ),
        "mlp": partial(
            MLPEncoder,
            image_shape,
            widths=encoder.widths,
            norm=encoder.norm,
            feature_activation=encoder.feature_activation,
            **centered,
            **computed,
        ),
        "resnet": partial(
            ResNet,
            image_shape,
            stage_sizes=encoder.stage_sizes,
            block=encoder.block,
            width=encoder.width,
            stem=encoder.stem,
            norm=encoder.norm,
            zero_residual=encoder.zero_residual,
            **centered,
            **computed,
        ),
    }
    heads = {
        "none": NoHead,
        "linear": partial(
            LinearHead, widths=head.widths, init=head.init, scale=head.init_scale, **dtypes
        ),
        "mlp": partial(MLPHead, widths=head.widths, norm=head.norm, **computed),
        "reweight": partial(ReweightingHead, kappa=head.kappa, **dtypes),
    }
    return make_network(encoders[encoder.kind], heads[head.kind], axis_name=axis_name)


def build_objective(config: Config) -> Objective:
    """What is minimized: a function of the network's layers and the labels."""
    if config.loss.name == "spectral":
        return pair_objective(spectral_contrastive)
    return pair_objective(partial(nt_xent, temperature=config.loss.temperature))


def build_views(config: Config) -> MakeViews:
    """How views are made of a batch of images."""
    return make_view_pairs(config.policy)


def build_schedule(config: Config) -> optax.Schedule:
    """Learning rate as a function of the step."""
    return warmup_cosine(
        config.optimizer.learning_rate,
        config.num_steps,
        config.optimizer.warmup_steps,
        config.optimizer.final_fraction,
    )


def build_optimizer(config: Config) -> optax.GradientTransformation:
    """The update rule."""
    settings = config.optimizer
    schedule = build_schedule(config)
    decay = {"encoder": settings.weight_decay, "head": settings.head_weight_decay}
    if settings.name == "adamw":
        return adamw(schedule, decay)
    return sgd(schedule, settings.momentum, decay)


def steps_per_call(config: Config) -> int:
    """Steps compiled into one call.

    XLA's CPU convolutions inside a loop are some thirty times slower than outside one (measured:
    150 against 6 ms for two layers), so a convolutional network is called step by step there.
    """
    if config.steps_per_call:
        return min(config.steps_per_call, config.num_steps)
    if config.encoder.kind == "resnet":
        return 1 if jax.default_backend() == "cpu" else min(10, config.num_steps)
    # A length that divides the run spares the compilation of single steps for the remainder.
    longest = min(100, config.num_steps)
    divisor = max(n for n in range(1, longest + 1) if config.num_steps % n == 0)
    return divisor if divisor >= 10 else longest
