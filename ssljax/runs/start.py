"""Starting weights of a run, taken from another run or from a file."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ssljax.config.config import Config
from ssljax.runs.export import network_arrays, read_safetensors
from ssljax.runs.saved_run import load_run
from ssljax.system.errors import UsageError
from ssljax.system.progress import notice
from ssljax.training.parallel import Parallel, copy_locally
from ssljax.training.state import Average, TrainState

Tree = dict[str, Any]


class Start(NamedTuple):
    """Weights that a run starts from.

    Attributes:
      source: What they were read from, in words.
      params: Parameters by part, on the host.
      statistics: Running statistics by part.
      parts: Encoder, head, predictor: those that fit the run.
    """

    source: str
    params: Tree
    statistics: Tree
    parts: tuple[str, ...]


def read_start(config: Config, source: Path, parallel: Parallel, shapes: TrainState) -> Start:
    """Return trained weights, and which parts of a run they fit.

    Args:
      config: Of the run that starts; its input must be normalized as the other's.
      source: Folder of a run, finished or not, or a ``.safetensors`` file of an encoder under
        torchvision's names (`ssljax.runs.export`).
      parallel: How the state lies on the devices.
      shapes: Of the state that starts, on one device.

    Raises:
      UsageError: There is no such run or file, or its encoder is another one.
    """
    if source.suffix == ".safetensors":
        params, statistics = network_arrays(read_safetensors(source)[0])
        old: tuple[Tree, Tree] = {"encoder": params}, {"encoder": statistics}
        what = str(source)
    else:
        run = load_run(source, sharding=parallel.replicated)
        _check_same_input(run.config, config, source)
        old = jax.device_get(copy_locally((run.state.params, run.state.statistics)))
        what = f"step {int(run.state.step)} of {source}"
    wanted = shapes.params
    parts = tuple(part for part in wanted if _shapes(old[0].get(part)) == _shapes(wanted[part]))
    if "encoder" in wanted and "encoder" not in parts:
        raise UsageError(
            f"{source} holds an encoder of other shapes than this run's: give the same --encoder"
            " settings"
        )
    return Start(what, old[0], old[1], parts)


def start_from(start: Start, parallel: Parallel, state: TrainState) -> TrainState:
    """Replace the weights of a state at step 0 by trained ones, part by part.

    Encoder, head and predictor are taken over, with their running statistics, where they are there
    in the same shapes. A head or predictor of another shape keeps the weights it was drawn with: a
    new head on a trained encoder.

    Args:
      start: From `read_start`.
      parallel: How the state lies on the devices.
      state: At step 0, placed; given up.

    Returns:
      The state, placed.
    """
    new = jax.device_get(copy_locally(parallel.single_state(state)))
    params = {
        part: (start.params if part in start.parts else new.params)[part] for part in new.params
    }
    statistics = _take_statistics(start.statistics, new.statistics, start.parts)
    others = [part for part in params if part not in start.parts]
    notice(
        f"starting from {start.source}: {', '.join(start.parts) or 'nothing'}"
        + (f"; drawn anew: {', '.join(others)}" if others else "")
    )
    average = new.average
    if average is not None:
        average = jax.tree.map(np.copy, Average(params, statistics))
    return parallel.place_state(new._replace(params=params, statistics=statistics, average=average))


def _check_same_input(old: Config, new: Config, source: Path) -> None:
    for name in ("mean_image", "input_scale"):
        if getattr(old, name) != getattr(new, name):
            option = name.replace("_", "-")
            raise UsageError(
                f"{source} was trained with {option} {getattr(old, name)}, so its encoder expects"
                f" such input: give --{option} {getattr(old, name)}"
            )


def _take_statistics(old: Tree, new: Tree, parts: tuple[str, ...]) -> Tree:
    """Return a network's statistics, those of some parts and of its input taken from another."""
    if "network" in new and "input" in new:
        inner = _take_statistics(old.get("network", old), new["network"], parts)
        return {"network": inner, "input": old.get("input", new["input"])}
    return {name: old[name] if name in parts and name in old else new[name] for name in new}


def _shapes(tree: Any) -> Any:
    return jax.tree.map(np.shape, tree)
