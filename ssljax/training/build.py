"""Build values from a configuration: only the builders and the trainer read one."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from ssljax.augment.views import Ink, MakeViews, ViewGroup, make_views
from ssljax.config.config import Config
from ssljax.data.composites import BACKGROUND_POOL
from ssljax.data.run_data import Reading, read_training_data
from ssljax.data.sources import Dataset, ImageSource, wrap_dataset
from ssljax.losses import table as losses
from ssljax.losses.objective import LossContext, Objective
from ssljax.losses.table import LOSSES
from ssljax.nets import table
from ssljax.nets.network import Network, Numerics
from ssljax.system.errors import UsageError
from ssljax.system.progress import open_loading_counter
from ssljax.training.optimizer import adam, byol_decay, constant, lamb, lars, sgd, warmup_cosine
from ssljax.training.state import TrainState, take_averages

__all__ = [
    "build_average_decay",
    "build_network",
    "build_objective",
    "build_optimizer",
    "build_reading",
    "build_schedule",
    "build_views",
    "float_type",
    "has_slow_loops",
    "open_training_images",
    "steps_per_call",
    "take_evaluated_state",
]


def float_type(config: Config) -> Any:
    """Return the type of parameters and views.

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
    """Return the network a configuration describes, for images of one shape.

    Args:
      config: Its encoder, head, precision and whether its loss needs a predictor.
      image_shape: (height, width, channels).
      axis_name: The pmap axis over which batch statistics are averaged.
      batch_groups: Parts of the batch as this program sees it that a norm ``batch_per_device``
        treats each for itself.

    Raises:
      UsageError: A part cannot be built as described.
    """
    numerics = Numerics(
        param_dtype=float_type(config),
        dtype=jnp.bfloat16 if config.precision == "bfloat16" else None,
        batch_groups=batch_groups,
    )
    return table.build_network(
        config.encoder,
        config.head,
        image_shape,
        numerics,
        predictor=LOSSES[config.loss.name].predictor,
        axis_name=axis_name,
        frozen=config.freeze,
    )


def build_objective(config: Config, mesh: Mesh | None = None) -> Objective:
    """Return what is minimized: a function of the network's layers and the labels.

    Args:
      config: Its loss, and whether a classifier stands on the embedding.
      mesh: Where a compiler spreads the batch over the one axis of a mesh, that mesh.
    """
    scores = "predictor" if config.head.classes else "embedding"
    return losses.build_objective(config.loss, LossContext(mesh=mesh, scores=scores))


def build_reading(config: Config) -> Reading:
    """Return where the images of a run are read from, and how."""
    return Reading(
        name=config.data,
        data_dir=config.data_dir,
        side=config.image_side,
        on_damaged=config.on_damaged,
        stream=config.stream,
        resident_gib=config.resident_gib,
        crops=config.policy.crop_area > 0,
        digit_side=config.digit_side,
    )


def open_training_images(
    config: Config, dataset: Dataset | None = None, progress: bool = False
) -> tuple[Dataset, ImageSource | None]:
    """Return the images to train on, or a sample of them and where the rest is streamed from.

    Args:
      config: Names the data set, and says what is streamed.
      dataset: Images instead of the ones that the configuration names.
      progress: Show how many were read.

    Raises:
      UsageError: The data are missing or damaged, or too large not to be streamed.
    """
    if dataset is not None:
        return dataset, wrap_dataset(dataset) if config.stream == "always" else None
    with open_loading_counter(config.data, enabled=progress) as report:
        return read_training_data(build_reading(config), config.split, report)


def build_views(config: Config, dataset: Dataset) -> MakeViews:
    """Return the function that makes views of a batch of images.

    Args:
      config: Its policy, number of views and, for composites, how digits are shown.
      dataset: Says how its images are stored; backgrounds are redrawn from its last ones.
    """
    ink = None
    if dataset.has_ink:
        first, later = config.digit_drop
        pool = dataset.images[-BACKGROUND_POOL:, ..., :-1] if config.digit_redraw else None
        ink = Ink(
            config.digit_strength,
            (first, later),
            config.digit_redraw,
            None if pool is None else jnp.asarray(pool, float_type(config)) * dataset.pixel_scale,
        )
    side = dataset.squeezed_side or None
    groups = [ViewGroup(config.policy, config.views, side)]
    if config.local_views:
        smallest, largest = config.local_area
        policy = dataclasses.replace(
            config.policy, crop_area=1 - smallest, crop_area_min=1 - largest
        )
        local_side = config.local_side or round(min(dataset.image_shape[:2]) * 3 / 7)
        groups.append(ViewGroup(policy, config.local_views, local_side))
    return make_views(groups, ink=ink, squeezed=side is not None)


def build_schedule(config: Config) -> optax.Schedule:
    """Return the learning rate as a function of the step."""
    return warmup_cosine(
        config.optimizer.learning_rate,
        config.num_steps,
        config.optimizer.warmup_steps,
        config.optimizer.final_fraction,
    )


def build_average_decay(config: Config) -> Callable[[Any], Any] | None:
    """Return the decay of the weights' moving average as a function of the step, or None."""
    if LOSSES[config.loss.name].target:
        return byol_decay(config.loss.target_decay, config.num_steps)
    if config.optimizer.average_decay:
        return constant(config.optimizer.average_decay)
    return None


def take_evaluated_state(config: Config, state: TrainState) -> TrainState:
    """Return the state to measure: with averaged weights if the run asks for them.

    BYOL's average is its target, not what is measured.
    """
    return take_averages(state) if config.optimizer.average_decay else state


def build_optimizer(config: Config) -> optax.GradientTransformation:
    """Return the update rule; it leaves frozen parts alone, weight decay included."""
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
        "sgdw": lambda: sgd(
            rate, settings.momentum, decay, nesterov=settings.nesterov, decoupled=True
        ),
        "adam": lambda: adam(rate, decay, b1=b1, b2=b2),
        "adamw": lambda: adam(rate, decay, b1=b1, b2=b2, decoupled=True),
        "lars": lambda: lars(
            rate,
            settings.momentum,
            decay,
            trust_coefficient=settings.trust_coefficient,
            clip=settings.trust_clip,
        ),
        "lamb": lambda: lamb(rate, decay, b1=b1, b2=b2),
    }
    rule = rules[settings.name]()
    if not config.freeze:
        return rule

    def kinds(params: Any) -> dict[str, str]:
        return {part: "kept" if part in config.freeze else "learned" for part in params}

    return optax.partition({"learned": rule, "kept": optax.set_to_zero()}, kinds)


def has_slow_loops(config: Config) -> bool:
    """Return whether compiled loops around this network should be avoided.

    XLA's CPU convolutions inside a loop are some thirty times slower than outside one (measured:
    150 against 6 ms for two layers).
    """
    return config.encoder.kind == "resnet" and jax.default_backend() == "cpu"


def steps_per_call(config: Config) -> int:
    """Return the steps compiled into one call; 1 for a network with slow loops."""
    if config.steps_per_call:
        return min(config.steps_per_call, config.num_steps)
    if config.encoder.kind == "resnet":
        return 1 if has_slow_loops(config) else min(10, config.num_steps)
    # A length that divides the run spares the compilation of single steps for the remainder.
    longest = min(100, config.num_steps)
    divisor = max(n for n in range(1, longest + 1) if config.num_steps % n == 0)
    return divisor if divisor >= 10 else longest
