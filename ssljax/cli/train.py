"""``train``: one run, alone or as one of many processes."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ssljax.cli.options import read_options, take_option
from ssljax.config.config import Config, change_config, find_policy
from ssljax.config.fields import list_leaves
from ssljax.config.presets import PRESETS, find_preset
from ssljax.system.distributed import Cluster, is_first
from ssljax.system.errors import UsageError
from ssljax.system.settings import NONNEGATIVE, POSITIVE, Wanted, setting

_EXAMPLE = """python -m ssljax train digits_smoke
  python -m ssljax train digits_mlp --optimizer.learning-rate 0.001 --strength 0.8
  python -m ssljax train digits_resnet --data arrays:images.npz --workdir runs/mine
  python -m ssljax train digits_resnet --from runs/mine --freeze encoder --workdir runs/head"""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Config):
    """Train a preset in a run folder; the same command resumes an interrupted run.

    `--policy NAME` (digits, simclr, noise, identity) replaces every --policy.… below.
    """

    workdir: str = setting("", "run folder", shown="runs/PRESET")
    force: bool = setting(
        False, "train although the folder's file system has no locks", bare="true"
    )
    profile: int = setting(
        0,
        "steps traced by JAX's profiler into WORKDIR/profile; the option alone: 10",
        NONNEGATIVE,
        bare="10",
    )
    watchdog_seconds: float = setting(
        900.0,
        "end with code 75 when no step finishes for so long; 0: never",
        Wanted("zero or more", lambda seconds: 0 <= seconds < threading.TIMEOUT_MAX),
    )
    distributed: Literal["no", "auto"] = setting(
        "no",
        "many hosts: start the same command on every host, with a shared run folder; auto, or the"
        " option alone: join the processes that Slurm, Open MPI, Kubernetes or a TPU's metadata"
        " name",
        bare="auto",
    )
    coordinator: str | None = setting(
        None, "many hosts, instead: HOST:PORT where the first process answers", shown="none"
    )
    process_id: int | None = setting(None, "this process, from 0", shown="none")
    num_processes: int | None = setting(None, "how many there are", shown="none")
    heartbeat_seconds: int = setting(
        Cluster().heartbeat_seconds,
        "silence after which a process counts as lost",
        POSITIVE,
    )


_OWN = [
    entry.name
    for entry in dataclasses.fields(TrainOptions)
    if entry.name not in {field.name for field in dataclasses.fields(Config)}
]


def run_train(
    arguments: Sequence[str], *, make_observers: Callable[[Config], tuple[Any, ...]]
) -> int:
    """Train a preset, or resume it."""
    name, rest = _take_preset(arguments)
    config = find_preset(name) if name else Config()
    policies, rest = take_option(rest, "--policy")
    if policies:
        config = dataclasses.replace(config, policy=find_policy(policies[-1]))
    shown = TrainOptions(
        **{entry.name: getattr(config, entry.name) for entry in dataclasses.fields(Config)}
    )
    values = read_options(f"train {name or 'PRESET'}", shown, rest, _EXAMPLE)
    if not name:
        raise UsageError(f"no preset given: write train PRESET, one of {', '.join(PRESETS)}")
    given = {word.partition("=")[0].replace("_", "-") for word in rest if word.startswith("--")}
    own = {option: values.pop(option) for option in _OWN}
    changes = {
        leaf.path: values[leaf.path]
        for leaf in list_leaves(config)
        if leaf.flag in given or values[leaf.path] != leaf.value
    }
    config = change_config(config, changes)
    return _train(config, own["workdir"] or f"runs/{name}", own, make_observers)


def _take_preset(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of the preset, which may stand anywhere, and the other arguments."""
    rest = list(arguments)
    if rest and not rest[0].startswith("-"):
        return rest[0], rest[1:]
    found = next((word for word in rest if word in PRESETS), "")
    if found:
        rest.remove(found)
    return found, rest


def _train(
    config: Config,
    workdir: str,
    own: dict[str, Any],
    make_observers: Callable[[Config], tuple[Any, ...]],
) -> int:
    # Heavy, and not needed to refuse a mistyped option.
    import jax  # noqa: PLC0415

    from ssljax.cli.endings import run_as_one_of_many, run_with_exit_code  # noqa: PLC0415
    from ssljax.runs.fit import fit  # noqa: PLC0415

    cluster = Cluster(*(own[field] for field in Cluster._fields))
    addresses = (cluster.coordinator, cluster.process_id, cluster.num_processes)
    alone = own["distributed"] == "no" and all(part is None for part in addresses)
    is_wide = config.precision == "float64"

    def run() -> int:
        with jax.enable_x64(True) if is_wide else contextlib.nullcontext():
            result = fit(
                config,
                workdir,
                observers=make_observers(config),
                watchdog_seconds=own["watchdog_seconds"],
                profile_steps=own["profile"],
                force=own["force"],
            )
        if is_first():
            _print_result(result, workdir)
        return 0

    return run_as_one_of_many(lambda: run_with_exit_code(run), None if alone else cluster)


def _print_result(result: Any, workdir: str) -> None:
    last = result.metrics[-1]
    print(f"{'step':24} {last['step']}")
    print(f"{'loss':24} {last['loss']:.6g}")
    for layer, accuracies in result.evaluation.items():
        for name, value in accuracies.items():
            print(f"{layer + ' ' + name:24} {value:.4f}")
    print(f"{'results in':24} {Path(workdir)}")
