"""The loop of a training run: steps, metrics, checkpoints, and being told to stop."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.system.arrays import Array, PyTree
from ssljax.training.build import evaluated_state
from ssljax.runs.checkpoint import CHECKPOINTS, Checkpoints, saved_steps
from ssljax.config.config import Config
from ssljax.training.devices import local_copy
from ssljax.system.distributed import EVALUATION_SECONDS, is_first, stop_is_due, wait_for_all
from ssljax.training.feed import INPUT_FILE
from ssljax.system.files import write_json
from ssljax.runs.manifest import saved_history
from ssljax.runs.metrics import MetricsReport, MetricsWriter, NonFiniteMetrics
from ssljax.measure.schedule import Monitor
from ssljax.system.progress import TrainingProgress
from ssljax.system.interruption import StopRequest
from ssljax.training.state import TrainState
from ssljax.training.training import Training, call_lengths
from ssljax.system.watchdog import Watchdog


class StopRequested(RuntimeError):
    """Training was asked to stop by a signal and saved its state."""


def trained(
    config: Config,
    workdir: Path,
    training: Training,
    state: TrainState,
    step: int,
    *,
    progress: bool,
    watchdog_seconds: int | float,
    monitor: Monitor | None = None,
) -> TrainState:
    """Dispatch a call, then read the metrics of the one before while it runs.

    Args:
      config: How many steps, how often to log and to save.
      workdir: Run folder, held by this run.
      training: Compiled functions.
      state: State after ``step`` steps, on the devices; given up.
      step: Steps already taken.
      progress: Show a bar.
      watchdog_seconds: Silence after which the process ends; 0 waits for ever.
      monitor: Measures while training, where anything is scheduled.

    Returns:
      The final state, without the axis of devices that pmap adds.

    Raises:
      NonFiniteMetrics: A loss, gradient or parameter is not finite; the message names the step,
        the last finite metrics and the checkpoint to go back to.
      StopRequested: SIGTERM arrived; the state was saved.
      SaveFailed: A checkpoint could not be written.
      UsageError: A streamed image is damaged and not to be skipped.
    """
    strength = training.place(np.asarray(config.strength, training.dtype))
    start = step
    with contextlib.ExitStack() as stack:
        stack.enter_context(_naming_the_checkpoint(workdir))  # first in, so after all is saved
        writer = None
        if is_first():
            history = saved_history(workdir / CHECKPOINTS / str(step))
            writer = stack.enter_context(contextlib.closing(MetricsWriter(workdir, step, history)))
        checkpoints = stack.enter_context(
            contextlib.closing(
                Checkpoints(workdir, config.keep_checkpoints, metric_name=config.best_metric)
            )
        )
        bar = stack.enter_context(
            TrainingProgress(config.num_steps, config.batch_size, step, enabled=progress)
        )
        stop = stack.enter_context(StopRequest(listen=jax.process_count() == 1))
        watchdog = stack.enter_context(Watchdog(watchdog_seconds))
        report = MetricsReport(
            writer,
            bar,
            config.log_every,
            config.num_steps,
            training.learning_rates,
            best_metric=config.best_metric,
            finished=watchdog.finished,
        )
        feed = stack.enter_context(training.open_feed(state, step, bar.notice))
        if is_first():
            stack.callback(lambda: write_json(workdir / INPUT_FILE, feed.summary()))
        bar.remark = feed.remark
        if monitor is not None and step == 0 and monitor.is_due(0):
            with watchdog.paused():
                _measured(config, monitor, training, state, 0, bar)
        stride = 0 if monitor is None else monitor.stride
        length = math.gcd(training.steps_per_call, stride)
        lengths = call_lengths(config.num_steps - start, length)
        for call, length in enumerate(lengths):
            state, metrics = feed.advance(state, strength, length)
            report.add(step, metrics)
            last_save, step = step // config.checkpoint_every, step + length
            is_last = step == config.num_steps
            is_stop = stop.requested or stop_is_due(call)
            if monitor is not None and monitor.is_due(step):
                report.flush()
                with watchdog.paused():
                    _measured(config, monitor, training, state, step, bar)
            if step // config.checkpoint_every > last_save or is_last or is_stop:
                report.flush()
                _check_finite(state, step)
                checkpoints.save(
                    step,
                    training.single_state(state),
                    metric=report.interval_mean(),
                    history=writer.history() if writer is not None else b"",
                )
            if is_stop and not is_last:
                raise StopRequested(
                    f"stopped by SIGTERM after step {step}, saved in {workdir}: the same command"
                    " resumes"
                )
    return training.single_state(state)


def _measured(
    config: Config,
    monitor: Monitor,
    training: Training,
    state: TrainState,
    step: int,
    bar: TrainingProgress,
) -> None:
    """Measure what falls on a step, before the state is given up."""
    single = evaluated_state(config, training.single_state(state))
    if jax.process_count() > 1:
        single = local_copy(single)
    if is_first():
        bar.notice(monitor.measure(step, single))
    wait_for_all("measured", EVALUATION_SECONDS)


@jax.jit
def _all_finite(params: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))


def _check_finite(state: TrainState, step: int) -> None:
    """Refuse to save what cannot be gone back to: the loss of a step does not see its update.

    Raises:
      NonFiniteMetrics: A parameter is not finite.
    """
    if not _all_finite(state.params):
        raise NonFiniteMetrics(
            f"step {step} left parameters that are not finite; lower --optimizer.learning-rate or"
            " raise --optimizer.warmup-steps, in another --workdir"
        )


@contextlib.contextmanager
def _naming_the_checkpoint(workdir: Path) -> Iterator[None]:
    """Add to the message of a run that diverged where it can be taken up again."""
    try:
        yield
    except NonFiniteMetrics as error:
        steps = saved_steps(workdir)
        where = (
            f"the newest checkpoint is that of step {steps[-1]} in {workdir / CHECKPOINTS}"
            if steps
            else f"no checkpoint was saved yet in {workdir}"
        )
        raise NonFiniteMetrics(f"{error}; {where}") from error


def write_finished(
    config: Config,
    workdir: Path,
    training: Training,
    state: TrainState,
    metrics: dict[str, np.ndarray],
) -> None:
    """Write the metrics and the checkpoint of a run that was trained in one piece.

    Args:
      config: What was trained.
      workdir: Run folder, held by this run.
      training: Its functions.
      state: State after all steps.
      metrics: Each of leading axis ``num_steps``.

    Raises:
      NonFiniteMetrics: A loss or gradient is not finite.
      SaveFailed: The checkpoint could not be written.
    """
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(contextlib.closing(MetricsWriter(workdir, 0)))
        saver = Checkpoints(workdir, config.keep_checkpoints, metric_name=config.best_metric)
        checkpoints = stack.enter_context(contextlib.closing(saver))
        bar = TrainingProgress(config.num_steps, config.batch_size, 0, enabled=False)
        report = MetricsReport(
            writer,
            bar,
            config.log_every,
            config.num_steps,
            training.learning_rates,
            best_metric=config.best_metric,
        )
        report.add(0, metrics)
        report.flush()
        checkpoints.save(
            config.num_steps, state, metric=report.interval_mean(), history=writer.history()
        )
