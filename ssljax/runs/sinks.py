"""Where metrics go besides ``metrics.jsonl``: a sink is a function ``write(step, values)``.

`open_sink` opens the ones that a configuration names; `ssljax.fit` takes any others.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ssljax.system.errors import UsageError
from ssljax.system.progress import notice

_FLUSH_SECONDS = 10.0


Sink = Callable[[int, Mapping[str, float | int]], None]
"""``write(step, values)``: takes the numbers of a step; steps ascend, each comes once."""


def open_sink(
    name: str, workdir: Path, step: int, settings: Mapping[str, Any]
) -> contextlib.AbstractContextManager[Sink | None]:
    """Return a context that opens a sink by its name.

    Args:
      name: ``tensorboard`` or ``wandb``.
      workdir: Run folder.
      step: Steps already taken; the next one written is later.
      settings: The run's configuration, shown where a sink has a place for it.

    Returns:
      The context; it gives None where TensorBoard's writer is not installed, after a line.

    Raises:
      UsageError: Weights & Biases is not installed.
    """
    if name == "wandb":
        return _open_wandb(workdir, settings)
    return _open_tensorboard(workdir, step)


@contextlib.contextmanager
def _open_tensorboard(workdir: Path, step: int) -> Iterator[Sink | None]:
    """Open events in ``events/``; those of an earlier attempt from the same step on are hidden.

    They are written by the caller's thread: tensorboardX's own `SummaryWriter` hands them to a
    thread that a full disk ends silently, after which handing over blocks for ever.
    """
    try:
        from tensorboardX import proto  # noqa: PLC0415
        from tensorboardX.event_file_writer import EventsWriter  # noqa: PLC0415
    except ImportError:
        notice("tensorboardX is not installed: no TensorBoard events, metrics.jsonl has all")
        yield None
        return
    messages: Any = proto  # made at run time: no type checker knows what is in them
    make_event, make_summary = messages.event_pb2.Event, messages.summary_pb2.Summary
    folder = workdir / "events"
    folder.mkdir(exist_ok=True)
    writer: Any = EventsWriter(str(folder / "events"), f".{os.getpid()}")
    start = messages.event_pb2.SessionLog(status=messages.event_pb2.SessionLog.START)
    writer.write_event(make_event(step=step + 1, session_log=start))
    flushed = time.monotonic()

    def write(step: int, values: Mapping[str, float | int]) -> None:
        nonlocal flushed
        entries = [
            make_summary.Value(tag=name, simple_value=float(value))
            for name, value in values.items()
        ]
        summary = make_summary(value=entries)
        writer.write_event(make_event(step=step, wall_time=time.time(), summary=summary))
        if time.monotonic() - flushed > _FLUSH_SECONDS:
            writer.flush()
            flushed = time.monotonic()

    try:
        yield write
    finally:
        writer.close()


@contextlib.contextmanager
def _open_wandb(workdir: Path, settings: Mapping[str, Any]) -> Iterator[Sink | None]:
    """Open a run of Weights & Biases named like the folder; a resumed run continues the same one.

    Nothing is sent unless the variable ``WANDB_MODE`` says so: the files lie in ``wandb/`` for
    ``wandb sync``.
    """
    try:
        import wandb  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError(
            "wandb is not installed: install it, or give --sinks tensorboard"
        ) from error
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "ssljax"),
        name=workdir.absolute().name,
        dir=str(workdir),
        config=dict(settings),
        mode=os.environ.get("WANDB_MODE", "offline"),
        resume="allow",
    )
    try:
        yield lambda step, values: run.log(dict(values), step=step)
    finally:
        run.finish()
