"""A trained run: read back from its folder, and as the start of another one."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ssljax.config.config import Config
from ssljax.nets.input_normalization import no_normalization, normalized_network
from ssljax.nets.network import Network
from ssljax.runs.checkpoint import abstract, best_step, restore_newest
from ssljax.runs.folder import RunDescription, read_config, read_description
from ssljax.system.errors import UsageError
from ssljax.system.progress import notice
from ssljax.training.build import (
    build_average_decay,
    build_network,
    build_optimizer,
    evaluated_state,
)
from ssljax.training.parallel import Parallel, copy_locally
from ssljax.training.state import Average, TrainState, make_state
from ssljax.training.training import is_normalized


class Run(NamedTuple):
    """A trained run, read back from its folder.

    Attributes:
      config: What was trained.
      network: Pure ``init`` and ``apply``.
      state: State at the newest checkpoint, on the first device; where the run averages its
        weights to evaluate them, the averages are in their place.
      description: Image shape, pixel scale and layer names.
    """

    config: Config
    network: Network
    state: TrainState
    description: RunDescription


def run_network(config: Config, image_shape: tuple[int, int, int]) -> Network:
    """Return the network of a run; the mean of its input is among its statistics.

    Args:
      config: Its encoder, head, loss, precision and whether its input is centered or scaled.
      image_shape: (height, width, channels).

    Returns:
      Pure ``init`` and ``apply``.
    """
    network = build_network(config, image_shape)
    if is_normalized(config):
        network = normalized_network(network, no_normalization(image_shape))
    return network


def load_run(
    workdir: str | Path,
    *,
    best: bool = False,
    step: int | None = None,
    network: Network | None = None,
    sharding: jax.sharding.Sharding | None = None,
) -> Run:
    """Read a run back from its folder, at its newest readable checkpoint.

    Args:
      workdir: Folder of a run of `fit`, finished or not.
      best: The checkpoint with the best metric (`ssljax.runs.checkpoint.best_step`) instead.
      step: The checkpoint of this step (one of `ssljax.runs.checkpoint.saved_steps`) instead.
      network: Its `run_network`, where one was built before: what is compiled for it serves again.
      sharding: Where its arrays are put; the first device by default.

    Returns:
      Configuration, network, state and description.

    Raises:
      UsageError: The folder holds no run, or nothing readable.
    """
    workdir = Path(workdir)
    config, description = read_config(workdir), read_description(workdir)
    network = network or run_network(config, description.image_shape)
    optimizer = build_optimizer(config)
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    averaged = build_average_decay(config) is not None
    wanted = jax.eval_shape(lambda: make_state(network, optimizer, 0, averaged=averaged))
    step = best_step(workdir) if best else step
    restored = restore_newest(
        workdir, abstract(wanted, sharding), step=step, as_saved=("observer_states",)
    )
    if restored is None:
        raise UsageError(
            f"{workdir} holds no checkpoint yet: let ssljax train run there until it saves one"
        )
    for damaged, reason in restored.damaged:
        notice(f"checkpoint {damaged} cannot be read ({reason}); using {restored.step}")
    return Run(config, network, evaluated_state(config, restored.state), description)


def start_from_run(
    config: Config, workdir: Path, parallel: Parallel, state: TrainState
) -> TrainState:
    """Replace the weights of a state at step 0 by those of a trained run, part by part.

    Encoder, head and predictor are taken over, with their running statistics, where both runs have
    them in the same shapes; the encoder must be. A head or predictor of another shape keeps the
    weights it was drawn with: a new head on a trained encoder.

    Args:
      config: Of the run that starts; its input must be normalized as the other's.
      workdir: Folder of the run it starts from, finished or not.
      parallel: How the state lies on the devices.
      state: At step 0, placed; given up.

    Returns:
      The state, placed.

    Raises:
      UsageError: The folder holds no run, or its encoder is another one.
    """
    run = load_run(workdir, sharding=parallel.replicated)
    for name in ("mean_image", "input_scale"):
        if getattr(run.config, name) != getattr(config, name):
            raise UsageError(
                f"{workdir} was trained with {name.replace('_', '-')} {getattr(run.config, name)},"
                f" so its encoder expects such input: give --{name.replace('_', '-')}"
                f" {getattr(run.config, name)}"
            )
    old = jax.device_get(copy_locally((run.state.params, run.state.statistics)))
    new = jax.device_get(copy_locally(parallel.single_state(state)))
    params, statistics, taken = dict(new.params), new.statistics, []
    for part in new.params:
        if _shapes(old[0].get(part)) == _shapes(new.params[part]):
            params[part] = old[0][part]
            taken.append(part)
        elif part == "encoder":
            raise UsageError(
                f"{workdir} holds an encoder of other shapes than this run's: give the same"
                " --encoder settings, see its config.json"
            )
    statistics = _take_statistics(old[1], statistics, tuple(taken))
    others = [part for part in params if part not in taken]
    notice(
        f"starting from step {int(run.state.step)} of {workdir}: {', '.join(taken) or 'nothing'}"
        + (f"; drawn anew: {', '.join(others)}" if others else "")
    )
    average = state.average
    if average is not None:
        average = jax.tree.map(np.copy, Average(params, statistics))
    return parallel.place_state(new._replace(params=params, statistics=statistics, average=average))


def _take_statistics(old: Any, new: Any, parts: tuple[str, ...]) -> Any:
    """The statistics of a network, those of some parts and of its input from another one."""
    if "network" in new and "input" in new:
        inner = _take_statistics(old["network"], new["network"], parts)
        return {"network": inner, "input": old["input"]}
    return {name: old[name] if name in parts and name in old else new[name] for name in new}


def _shapes(tree: Any) -> Any:
    return jax.tree.map(np.shape, tree)
