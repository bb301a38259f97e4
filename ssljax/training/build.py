"""From a configuration to values: the only files that read one are the builders and the trainer."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from ssljax import losses
from ssljax.config.config import Config
from ssljax.nets.build_network import build_network, float_type
from ssljax.training.large_batch import lamb, lars
from ssljax.training.moving_average import byol_decay
from ssljax.training.objectives import (
    Objective,
    byol_objective,
    cross_entropy_objective,
    labeled_pair_objective,
    mean_squared_error_objective,
    pair_objective,
    scaled_objective,
    simsiam_objective,
)
from ssljax.training.optimizer import adam, adamw, constant, sgd, sgdw, warmup_cosine
from ssljax.training.state import TrainState, averaged_state
from ssljax.training.step import MakeViews
from ssljax.training.views import make_composite_views, make_views

__all__ = [
    "build_average_decay",
    "build_network",
    "build_objective",
    "build_optimizer",
    "build_schedule",
    "build_views",
    "evaluated_state",
    "float_type",
    "has_slow_loops",
    "steps_per_call",
]


def build_objective(config: Config, mesh: Mesh | None = None) -> Objective:
    """What is minimized: a function of the network's layers and the labels.

    Args:
      config: Its loss, and whether a classifier stands on the embedding.
      mesh: Where a compiler spreads the batch over the one axis of a mesh, that mesh: the blocks
        of a loss in blocks then travel over it.
    """
    loss = config.loss
    tempered = {"temperature": loss.temperature}
    if loss.block_size:
        blocks = tempered | {"block_size": loss.block_size, "mesh": mesh}
        nt_xent = partial(losses.nt_xent_blockwise, **blocks)
        supervised = partial(losses.supervised_contrastive_blockwise, **blocks)
    else:
        nt_xent = partial(losses.nt_xent, **tempered)
        supervised = partial(losses.supervised_contrastive, **tempered)
    vicreg = partial(
        losses.vicreg,
        invariance=loss.invariance,
        variance=loss.variance,
        covariance=loss.covariance,
    )
    scores = "predictor" if config.head.classes else "embedding"
    objectives: dict[str, Callable[[], Objective]] = {
        "nt_xent": lambda: pair_objective(nt_xent),
        "info_nce": lambda: pair_objective(partial(losses.info_nce, **tempered)),
        "dot_info_nce": lambda: pair_objective(partial(losses.dot_info_nce, **tempered)),
        "spectral": lambda: pair_objective(losses.spectral_contrastive),
        "spectral_cross_view_biased": lambda: pair_objective(losses.spectral_cross_view_biased),
        "spectral_within_view_biased": lambda: pair_objective(losses.spectral_within_view_biased),
        "supervised_contrastive": lambda: labeled_pair_objective(supervised),
        "supervised_spectral": lambda: labeled_pair_objective(losses.supervised_spectral),
        "vicreg": lambda: pair_objective(vicreg),
        "vicreg_covariance": lambda: pair_objective(
            partial(losses.vicreg_covariance, invariance=loss.invariance)
        ),
        "barlow_twins": lambda: pair_objective(
            partial(losses.barlow_twins, off_diagonal=loss.off_diagonal)
        ),
        "barlow_twins_unnormalized": lambda: pair_objective(losses.barlow_twins_unnormalized),
        "byol": byol_objective,
        "simsiam": simsiam_objective,
        "cross_entropy": lambda: cross_entropy_objective(scores),
        "mean_squared_error": lambda: mean_squared_error_objective(scores),
    }
    return scaled_objective(objectives[loss.name](), loss.scale)


def build_views(config: Config, *, has_ink: bool = False) -> MakeViews:
    """How views are made of a batch of images.

    Args:
      config: Its policy, number of views and, for composites, how strong the digit is.
      has_ink: Whether the last channel of the images is ink that is blended onto the others.
    """
    if not has_ink:
        return make_views(config.policy, config.views)
    first, second = config.digit_drop
    return make_composite_views(
        config.policy,
        config.views,
        digit_strength=config.digit_strength,
        drop_probability=(first, second),
    )


def build_schedule(config: Config) -> optax.Schedule:
    """Learning rate as a function of the step."""
    return warmup_cosine(
        config.optimizer.learning_rate,
        config.num_steps,
        config.optimizer.warmup_steps,
        config.optimizer.final_fraction,
    )


def build_average_decay(config: Config) -> Callable[[Any], Any] | None:
    """Decay of the moving average of the weights as a function of the step; None without one."""
    if config.loss.name == "byol":
        return byol_decay(config.loss.target_decay, config.num_steps)
    if config.optimizer.average_decay:
        return constant(config.optimizer.average_decay)
    return None


def evaluated_state(config: Config, state: TrainState) -> TrainState:
    """The state to measure: with the averages in place of the weights where a run asks for it.

    BYOL's average is its target, not what is measured.
    """
    return averaged_state(state) if config.optimizer.average_decay else state


def build_optimizer(config: Config) -> optax.GradientTransformation:
    """The update rule."""
    settings = config.optimizer
    decay = {
        "encoder": settings.weight_decay,
        "head": settings.head_weight_decay,
        "predictor": settings.head_weight_decay,
    }
    rate = build_schedule(config)
    b1, b2 = settings.momentum, settings.square_decay
    rules: dict[str, Callable[[], optax.GradientTransformation]] = {
        "sgd": lambda: sgd(rate, settings.momentum, decay, nesterov=settings.nesterov),
        "sgdw": lambda: sgdw(rate, settings.momentum, decay, nesterov=settings.nesterov),
        "adam": lambda: adam(rate, decay, b1=b1, b2=b2),
        "adamw": lambda: adamw(rate, decay, b1=b1, b2=b2),
        "lars": lambda: lars(
            rate,
            settings.momentum,
            decay,
            trust_coefficient=settings.trust_coefficient,
            clip=settings.trust_clip,
        ),
        "lamb": lambda: lamb(rate, decay, b1=b1, b2=b2),
    }
    return rules[settings.name]()


def has_slow_loops(config: Config) -> bool:
    """Whether compiled loops around this network are to be avoided.

    XLA's CPU convolutions inside a loop are some thirty times slower than outside one (measured:
    150 against 6 ms for two layers).
    """
    return config.encoder.kind == "resnet" and jax.default_backend() == "cpu"


def steps_per_call(config: Config) -> int:
    """Steps compiled into one call; a network with slow loops is called step by step."""
    if config.steps_per_call:
        return min(config.steps_per_call, config.num_steps)
    if config.encoder.kind == "resnet":
        return 1 if has_slow_loops(config) else min(10, config.num_steps)
    # A length that divides the run spares the compilation of single steps for the remainder.
    longest = min(100, config.num_steps)
    divisor = max(n for n in range(1, longest + 1) if config.num_steps % n == 0)
    return divisor if divisor >= 10 else longest
