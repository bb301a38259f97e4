"""Where a run starts that does not start from drawn weights: another run, or a file of weights."""

from pathlib import Path
from typing import Any

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


def start_from(config: Config, source: Path, parallel: Parallel, state: TrainState) -> TrainState:
    """Replace the weights of a state at step 0 by trained ones, part by part.

    Encoder, head and predictor are taken over, with their running statistics, where they are there
    in the same shapes; the encoder must be. A head or predictor of another shape keeps the
    weights it was drawn with: a new head on a trained encoder.

    Args:
      config: Of the run that starts; its input must be normalized as the other's.
      source: Folder of a run, finished or not, or a ``.safetensors`` file of an encoder under
        torchvision's names (`ssljax.runs.export`).
      parallel: How the state lies on the devices.
      state: At step 0, placed; given up.

    Returns:
      The state, placed.

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
    new = jax.device_get(copy_locally(parallel.single_state(state)))
    parts = [part for part in new.params if _shapes(old[0].get(part)) == _shapes(new.params[part])]
    if "encoder" in new.params and "encoder" not in parts:
        raise UsageError(
            f"{source} holds an encoder of other shapes than this run's: give the same --encoder"
            " settings"
        )
    params = {part: (old[0] if part in parts else new.params)[part] for part in new.params}
    statistics = _take_statistics(old[1], new.statistics, parts)
    others = [part for part in params if part not in parts]
    notice(
        f"starting from {what}: {', '.join(parts) or 'nothing'}"
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


def _take_statistics(old: Tree, new: Tree, parts: list[str]) -> Tree:
    """The statistics of a network, those of some parts and of its input from another one."""
    if "network" in new and "input" in new:
        inner = _take_statistics(old.get("network", old), new["network"], parts)
        return {"network": inner, "input": old.get("input", new["input"])}
    return {name: old[name] if name in parts and name in old else new[name] for name in new}


def _shapes(tree: Any) -> Any:
    return jax.tree.map(np.shape, tree)
