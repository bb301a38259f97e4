"""Saving and restoring the train state, through Orbax.

Orbax skips a save silently while another one runs, names steps as latest that cannot be read, and
reports damage in pages about handlers. Saves are therefore forced and their answer checked,
restoring tries one step after the other, newest first, and each failure is one line. What Orbax
does not notice, the manifest does (`ssljax.runs.manifest`). Orbax is imported where it is used:
most commands only ask which steps were saved.
"""

import atexit
import contextlib
import gc
import logging
import os
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ssljax.runs.manifest import Manifest, check_files, read_manifest, remove_checkpoint, seal
from ssljax.runs.metrics import NonFiniteMetrics
from ssljax.system.arrays import PyTree
from ssljax.system.distributed import agree, all_agree, is_first
from ssljax.system.errors import UsageError

CHECKPOINTS = "checkpoints"
DAMAGED = "damaged"


class SaveFailed(RuntimeError):
    """A checkpoint could not be written; those before it are intact."""


class Restored(NamedTuple):
    """A state read back, the step it belongs to, and the newer steps that could not be read."""

    step: int
    state: PyTree
    damaged: tuple[tuple[int, str], ...]


class Checkpoints:
    """The checkpoints of one run folder: asynchronous, atomic, the newest few and the best kept.

    All processes of a run save together; the first seals what was saved and removes the old.
    """

    def __init__(self, workdir: Path, keep: int, *, metric_name: str = "loss"):
        self._workdir = workdir
        self._keep = keep
        self._metric_name = metric_name
        self._saver: Any = None
        self._sealing: threading.Thread | None = None
        self._failure: Exception | None = None
        self._silence = contextlib.ExitStack()
        if is_first():
            for path in (workdir / CHECKPOINTS).glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(path)  # of a save that a killed process did not finish

    def save(
        self, step: int, state: PyTree, *, metric: float | None = None, history: bytes = b""
    ) -> None:
        """Start saving; a save still running is waited for, never skipped.

        The arrays may be donated to the next step right away.

        Args:
          step: Steps taken.
          state: Arrays to save.
          metric: Decides which checkpoint is best: see `best_step`.
          history: Lines of metrics up to this step, kept with the state.

        Raises:
          SaveFailed: This checkpoint or the one before could not be written.
        """
        self._finish()
        folder = self._workdir / CHECKPOINTS
        try:
            if self._saver is None:
                from orbax.checkpoint import v1 as ocp  # noqa: PLC0415

                # A failure comes back as an exception; Orbax's threads also print theirs, in pages.
                self._silence.enter_context(silence_orbax())
                self._saver = ocp.training.Checkpointer(str(folder.absolute()))
            response = self._saver.save_async(step, state, force=True, overwrite=True)
        except Exception as error:  # OSError, ValueError of tensorstore, …
            raise self._failed(step, error) from error
        if not response:
            raise SaveFailed(f"Orbax skipped the checkpoint of step {step}")
        manifest = Manifest(metric, self._metric_name)

        def complete() -> None:
            try:
                response.result()
                if is_first():
                    seal(folder / str(step), manifest, history)
                    self._remove_old()
            except Exception as error:
                self._failure = self._failed(step, error)

        self._sealing = threading.Thread(target=complete, name="sealing")
        self._sealing.start()

    def close(self) -> None:
        """Wait until everything is on disk.

        Raises:
          SaveFailed: The last checkpoint could not be written.
        """
        try:
            self._finish()
        finally:
            if self._saver is not None:
                saver, self._saver = self._saver, None
                with contextlib.suppress(Exception):  # what failed was said by _finish
                    saver.close()
            self._silence.close()

    def _finish(self) -> None:
        if self._sealing is not None:
            self._sealing.join()
            self._sealing = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _failed(self, step: int, error: Exception) -> SaveFailed:
        # Writes of the failed save may end later, and complain later: the silence outlives this.
        atexit.register(self._silence.pop_all().close)
        text = " ".join(str(error).split())
        reason = "No space left on device" if "No space left" in text else text[:120]
        return SaveFailed(
            f"the checkpoint of step {step} could not be written ({reason}): those before it are"
            " intact; make room or mend the folder, then the same command resumes"
        )

    def _remove_old(self) -> None:
        steps = list_saved_steps(self._workdir)
        kept = {*steps[-self._keep :], best_step(self._workdir)}
        for step in steps:
            if step not in kept:
                remove_checkpoint(self._workdir / CHECKPOINTS / str(step))


def best_step(workdir: Path) -> int | None:
    """Return the step whose metric is best: the lowest, or the highest where it is an accuracy."""
    values = {}
    for step in list_saved_steps(workdir):
        with contextlib.suppress(UsageError):  # a damaged one is not best
            manifest = read_manifest(workdir / CHECKPOINTS / str(step))
            if manifest is not None and manifest.metric is not None:
                is_accuracy = "accuracy" in manifest.metric_name
                values[step] = -manifest.metric if is_accuracy else manifest.metric
    return min(values, key=lambda step: (values[step], step), default=None)


def list_saved_steps(workdir: Path) -> tuple[int, ...]:
    """Return the steps with a finished checkpoint folder, ascending; no temporary ones."""
    folder = workdir / CHECKPOINTS
    if not folder.is_dir():
        return ()
    return tuple(sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()))


def restore_newest(
    workdir: Path,
    abstract_state: PyTree,
    *,
    step: int | None = None,
    as_saved: tuple[str, ...] = (),
) -> Restored | None:
    """Restore the newest checkpoint that can be read, or none where nothing was saved yet.

    Every process of a run calls it, and all of them read the same step.

    Args:
      workdir: Run folder.
      abstract_state: Shapes, types and shardings of the state (`abstract`).
      step: Only this one, instead of the newest.
      as_saved: Fields of the state whose shapes are taken from the checkpoint, whatever was saved
        there: a reader does not know the observers of the run.

    Returns:
      The state, its step, and the newer steps passed over, with what is wrong with each.

    Raises:
      UsageError: There are checkpoints and none of them can be read.
    """
    steps = agree(lambda: list(list_saved_steps(workdir) if step is None else (step,)))
    if not steps:
        return None
    damaged: list[tuple[int, str]] = []
    for candidate in reversed(steps):
        folder = workdir / CHECKPOINTS / str(candidate)
        reason = agree(lambda folder=folder: _damage(folder))
        if not reason:
            state, reason = None, ""
            try:
                state = _load(folder, abstract_state, as_saved)
            except UsageError as error:
                reason = str(error)
            if all_agree(not reason):
                return Restored(candidate, state, tuple(damaged))
        damaged.append((candidate, reason or "another process cannot read it"))
    raise UsageError(
        f"no checkpoint in {workdir / CHECKPOINTS} can be read (steps"
        f" {', '.join(map(str, steps))}; {damaged[-1][1]}): restore the folder from a copy, or"
        " delete it to start over"
    )


def _damage(folder: Path) -> str:
    try:
        check_files(folder)
    except UsageError as error:
        return str(error)
    return ""


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
    """Return shapes and types of a state, placed by ``sharding``: one for all leaves, or a tree."""
    shardings = (
        jax.tree.map(lambda leaf: sharding, state)
        if isinstance(sharding, jax.sharding.Sharding)
        else sharding
    )
    return jax.tree.map(
        lambda leaf, own: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=own),
        state,
        shardings,
    )


def _load(path: Path, abstract_state: PyTree, as_saved: tuple[str, ...]) -> PyTree:
    from orbax.checkpoint import v1 as ocp  # noqa: PLC0415

    name = str(path.absolute())
    with silence_orbax():
        saved = _read_or_refuse(lambda: ocp.metadata(name, checkpointable_name="state").metadata)
        sharding = jax.tree.leaves(abstract_state)[0].sharding
        for field in as_saved:
            shapes = abstract(saved.get(field, ()), sharding)
            abstract_state = abstract_state._replace(**{field: shapes})
        _check_same_tree(saved, abstract_state)
        return _read_or_refuse(lambda: ocp.load(name, abstract_state, checkpointable_name="state"))


def _check_same_tree(saved: PyTree, abstract_state: PyTree) -> None:
    """Refuse other types and shapes: Orbax casts types silently and reports shapes badly."""
    found = dict(_describe(saved))
    wanted = dict(_describe(abstract_state))
    for leaf in sorted(found.keys() | wanted.keys()):
        if found.get(leaf) != wanted.get(leaf):
            raise UsageError(
                f"{leaf} is {found.get(leaf, 'absent')}, this run wants"
                f" {wanted.get(leaf, 'none of it')}"
            )


def _describe(tree: PyTree) -> list[tuple[str, str]]:
    described = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)  # a key is saved as its integers
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        described.append((name, f"{leaf.dtype}{tuple(leaf.shape)}"))
    return described


def _read_or_refuse(read: Callable[[], Any]) -> Any:
    # Damage surfaces as any exception at all (ValueError, KeyError, RuntimeError, OSError, …).
    try:
        return read()
    except Exception as error:
        text = " ".join(str(error).split())
        raise UsageError(f"{type(error).__name__}: {text[:80]}") from error


@contextlib.contextmanager
def name_newest_checkpoint(workdir: Path) -> Iterator[None]:
    """Add to the message of a run that diverged where it can be taken up again."""
    try:
        yield
    except NonFiniteMetrics as error:
        steps = list_saved_steps(workdir)
        where = (
            f"the newest checkpoint is that of step {steps[-1]} in {workdir / CHECKPOINTS}"
            if steps
            else f"no checkpoint was saved yet in {workdir}"
        )
        raise NonFiniteMetrics(f"{error}; {where}") from error


def _is_of_others(record: logging.LogRecord) -> bool:
    """Return whether a line of absl's log was written by others than Orbax."""
    return "orbax" not in record.pathname and "tensorstore" not in record.getMessage()


def _is_no_forgotten_task(record: logging.LogRecord) -> bool:
    return "never retrieved" not in record.getMessage()


@contextlib.contextmanager
def silence_orbax() -> Iterator[None]:
    """Keep back what Orbax logs, and the complaints of background tasks that it forgot.

    It leaves its event loop at the first array that fails; the arrays still in flight then find it
    closed, and each prints a traceback from a thread of TensorStore.
    """
    filters = {"absl": _is_of_others, "asyncio": _is_no_forgotten_task}
    for name, keep in filters.items():
        logging.getLogger(name).addFilter(keep)
    report = sys.unraisablehook

    def report_others(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    sys.unraisablehook = report_others
    try:
        yield
    except BaseException:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # coroutines that nobody awaited
            gc.collect()
        raise
    finally:
        sys.unraisablehook = report
        for name, keep in filters.items():
            logging.getLogger(name).removeFilter(keep)
