"""Saving and restoring the train state, through Orbax.

Three habits of Orbax are worked around here: its default policy skips a save silently while
another one runs, `latest` names steps that cannot be read, and every kind of damage comes back
as pages about handlers. Saves are therefore forced and their answer checked, restoring tries one
step after the other, newest first, and each failure is one line.
"""

import contextlib
import gc
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from orbax.checkpoint import v1 as ocp

from ssljax.arrays import PyTree
from ssljax.errors import UsageError

CHECKPOINTS = "checkpoints"
DAMAGED = "damaged"


class Restored(NamedTuple):
    """A state read back, the step it belongs to, and the newer steps that could not be read."""

    step: int
    state: PyTree
    damaged: tuple[int, ...]


class Checkpoints:
    """The checkpoints of one run folder: asynchronous, atomic, the newest few kept."""

    def __init__(self, workdir: Path, keep: int):
        self._workdir = workdir
        self._keep = keep
        self._saver: Any = None
        for path in (workdir / CHECKPOINTS).glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path)  # of a save that a killed process did not finish

    def save(self, step: int, state: PyTree) -> None:
        """Start saving; a save still running is waited for, never skipped.

        The arrays may be donated to the next step right away.
        """
        if self._saver is None:
            policy: Any = ocp.training.preservation_policies.LatestN(self._keep)
            self._saver = ocp.training.Checkpointer(
                str((self._workdir / CHECKPOINTS).absolute()),
                preservation_policy=policy,
            )
        if not self._saver.save_async(step, state, force=True, overwrite=True):
            raise RuntimeError(f"Orbax skipped the checkpoint of step {step}")

    def close(self) -> None:
        """Wait until everything is on disk."""
        if self._saver is not None:
            self._saver.close()
            self._saver = None


def saved_steps(workdir: Path) -> tuple[int, ...]:
    """Steps with a finished checkpoint folder, ascending; temporary ones are not counted."""
    folder = workdir / CHECKPOINTS
    if not folder.is_dir():
        return ()
    return tuple(sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()))


def restore_newest(workdir: Path, abstract_state: PyTree) -> Restored | None:
    """The newest checkpoint that can be read, or none where nothing was saved yet.

    Args:
      workdir: Run folder.
      abstract_state: Shapes, types and shardings of the state (`abstract`).

    Returns:
      The state, its step, and the newer steps passed over because they are damaged.

    Raises:
      UsageError: There are checkpoints and none of them can be read.
    """
    steps = saved_steps(workdir)
    if not steps:
        return None
    damaged: list[int] = []
    reason = ""
    for step in reversed(steps):
        try:
            state = _load(workdir / CHECKPOINTS / str(step), abstract_state)
        except UsageError as error:
            reason = str(error)
            damaged.append(step)
        else:
            return Restored(step, state, tuple(damaged))
    raise UsageError(
        f"no checkpoint in {workdir / CHECKPOINTS} can be read (steps"
        f" {', '.join(map(str, steps))}; {reason}): restore the folder from a copy, or delete it"
        " to start over"
    )


def set_aside(workdir: Path, step: int) -> Path:
    """Move a damaged step out of the way of the saves to come, without deleting it."""
    folder = workdir / DAMAGED
    folder.mkdir(exist_ok=True)
    target, count = folder / str(step), 1
    while target.exists():
        target, count = folder / f"{step}-{count}", count + 1
    os.replace(workdir / CHECKPOINTS / str(step), target)
    return target


def abstract(state: PyTree, sharding: Any) -> PyTree:
    """Shapes and types of a state (or of a function's answer), placed as ``sharding`` says."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state
    )


def _load(path: Path, abstract_state: PyTree) -> PyTree:
    name = str(path.absolute())
    with _quiet():
        _check_same_tree(name, abstract_state)
        return _readable(lambda: ocp.load(name, abstract_state, checkpointable_name="state"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Orbax reports a failure to read in pages, and again for its forgotten background tasks."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        gc.collect()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_same_tree(name: str, abstract_state: PyTree) -> None:
    """Orbax casts a wrong type silently and calls a wrong shape an incompatible handler."""
    saved = _readable(lambda: ocp.metadata(name, checkpointable_name="state").metadata)
    found = dict(_described(saved))
    wanted = dict(_described(abstract_state))
    for leaf in sorted(found.keys() | wanted.keys()):
        if found.get(leaf) != wanted.get(leaf):
            raise UsageError(
                f"{leaf} is {found.get(leaf, 'absent')}, this run wants"
                f" {wanted.get(leaf, 'none of it')}"
            )


def _described(tree: PyTree) -> list[tuple[str, str]]:
    described = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)  # a key is saved as its integers
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        described.append((name, f"{leaf.dtype}{tuple(leaf.shape)}"))
    return described


def _readable(read: Callable[[], Any]) -> Any:
    # Damage surfaces as any exception at all (ValueError, KeyError, RuntimeError, OSError, …).
    try:
        return read()
    except Exception as error:
        text = " ".join(str(error).split())
        raise UsageError(f"{type(error).__name__}: {text[:80]}") from error
