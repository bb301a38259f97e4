"""A trained run, read back from its folder."""

from pathlib import Path
from typing import NamedTuple

import jax

from ssljax.config.config import Config
from ssljax.nets.input_normalization import add_input_normalization, no_normalization
from ssljax.nets.network import Network
from ssljax.runs.checkpoint import abstract, best_step, restore_newest
from ssljax.runs.folder import RunDescription, read_config, read_description
from ssljax.system.errors import UsageError
from ssljax.system.progress import notice
from ssljax.training.build import (
    build_average_decay,
    build_network,
    build_optimizer,
    take_evaluated_state,
)
from ssljax.training.state import TrainState, make_state
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
        network = add_input_normalization(network, no_normalization(image_shape))
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
      step: The checkpoint of this step (one of `ssljax.runs.checkpoint.list_saved_steps`) instead.
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
    return Run(config, network, take_evaluated_state(config, restored.state), description)
