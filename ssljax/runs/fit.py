"""Train a run, from its data to its report: it resumes by itself and ends with measurements.

`fit` is the whole of it, read from top to bottom; `run_training_loop` is its loop.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ssljax.config.config import Config
from ssljax.config.fields import config_dict
from ssljax.data.clean_images import clean_dataset
from ssljax.data.datasets import Dataset
from ssljax.measure.measurements import check_layers, load_pair, measure_run
from ssljax.measure.schedule import Monitor, make_monitor
from ssljax.nets.input_normalization import no_normalization
from ssljax.nets.network import Network
from ssljax.runs.checkpoint import (
    CHECKPOINTS,
    Checkpoints,
    SaveFailed,
    abstract,
    list_saved_steps,
    name_newest_checkpoint,
    restore_newest,
    set_aside,
)
from ssljax.runs.folder import (
    FolderTaken,
    check_folder,
    check_same_run,
    describe,
    hold_folder,
    write_run,
)
from ssljax.runs.manifest import read_saved_history
from ssljax.runs.metrics import (
    MetricsFile,
    MetricsReport,
    NonFiniteMetrics,
    check_finite,
    read_metrics,
)
from ssljax.runs.report import try_to_write_report
from ssljax.runs.sinks import Sink, open_sink
from ssljax.runs.start import read_start, start_from
from ssljax.system.distributed import (
    EVALUATION_SECONDS,
    agree,
    end_where_a_peer_is_lost,
    is_first,
    is_stop_due,
    wait_for_all,
)
from ssljax.system.environment import ENVIRONMENT_FILE, environment
from ssljax.system.files import write_json
from ssljax.system.interruption import StopRequest, Watchdog
from ssljax.system.profiler import Profiler
from ssljax.system.progress import TrainingProgress, notice, open_loading_counter
from ssljax.training.build import open_training_images, take_evaluated_state
from ssljax.training.compiled import Call, Training
from ssljax.training.feed import INPUT_FILE
from ssljax.training.observers import Observer
from ssljax.training.parallel import copy_locally
from ssljax.training.state import TrainState
from ssljax.training.training import make_training

__all__ = [
    "FolderTaken",
    "NonFiniteMetrics",
    "RunResult",
    "SaveFailed",
    "StopRequested",
    "fit",
    "run_training_loop",
]


class StopRequested(RuntimeError):
    """Training was asked to stop by a signal and saved its state."""


class RunResult(NamedTuple):
    """What `fit` returns.

    Attributes:
      state: Final state, without the axis of devices that pmap adds.
      metrics: The lines of ``metrics.jsonl``, one dictionary for each logged step.
      network: Pure ``init`` and ``apply``.
      config: The configuration trained.
      evaluation: Accuracies by layer, as in ``evaluation.json``; empty where nothing was asked.
    """

    state: TrainState
    metrics: list[dict[str, float]]
    network: Network
    config: Config
    evaluation: dict[str, Any]


def fit(
    config: Config,
    workdir: str | Path,
    progress: bool = True,
    observers: tuple[Observer, ...] = (),
    *,
    dataset: Dataset | None = None,
    test: Dataset | None = None,
    training: Training | None = None,
    trained: tuple[TrainState, dict[str, np.ndarray]] | None = None,
    sinks: tuple[Sink, ...] = (),
    watchdog_seconds: int | float = 900.0,
    profile_steps: int = 0,
    force: bool = False,
) -> RunResult:
    """Train in a run folder; the same call again resumes where the last one was interrupted.

    A run that was killed and resumed ends with the same parameters, bit for bit, as one that was
    not, on the same devices and versions.

    Args:
      config: What to train.
      workdir: Run folder; made if need be.
      progress: Show a bar with rates on the error stream.
      observers: Compiled into the step; the same ones must be given when resuming.
      dataset: Images to train on instead of the ones the configuration names; accuracies are
        then measured only where ``test`` is given.
      test: Test images that belong to ``dataset``.
      training: Of this configuration on this data set, where one was made before (`make_training`;
        the seed and the strength may be others, the input normalization is its own).
      trained: State and metrics after all steps of a run that was trained in memory, to be kept
        as if it had been trained here on the configuration's own ``dataset``.
      sinks: Given the numbers of every line of ``metrics.jsonl``, besides the configuration's own.
      watchdog_seconds: Without a finished step for so long the process ends with code 75, since
        it would otherwise wait for a lost host for ever; 0 waits.
      profile_steps: Steps that JAX's profiler traces into ``profile/``, after the first calls.
      force: Train on a file system without locks.

    Returns:
      The final state and the metrics, in every process where many train together.

    Raises:
      FolderTaken: Another process is training in the folder.
      UsageError: The configuration, the data or the folder cannot be used; nothing is written.
      NonFiniteMetrics: A loss or gradient is not finite; the checkpoints before it are intact.
      StopRequested: SIGTERM arrived; the state was saved.
      SaveFailed: A checkpoint could not be written.
    """
    workdir = Path(workdir)
    progress = progress and is_first()
    agree(lambda: check_folder(workdir, config))

    # Data: all of it in memory, or a sample, and where the rest is streamed from.
    if dataset is not None and test is None and trained is None:
        config = replace(config, evaluation=replace(config.evaluation, layers=(), every=0))
    images, source = open_training_images(config, dataset, progress)
    is_own = dataset is None or trained is not None

    # Network and step; a resumed run finds its input normalization among its statistics.
    is_resumed = agree(lambda: bool(list_saved_steps(workdir)))
    training = training or make_training(
        config,
        images,
        source=source,
        observers=observers,
        normalization=no_normalization(images.image_shape) if is_resumed else None,
    )
    check_layers(training.network, config.evaluation.layers)
    check_layers(training.network, config.moments.layers if config.moments.views else ())
    shapes = jax.eval_shape(training.make_state, 0)
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes.params))
    description = describe(images, training.network.layers, num_parameters, source)
    agree(lambda: check_same_run(workdir, config, description))

    # State at step 0: trained already, from another run's weights, or drawn from the seed.
    state, step = None if trained is None else trained[0], 0
    if state is None and not is_resumed:
        start = None
        if config.start_from:
            start = read_start(config, Path(config.start_from), training.parallel, shapes)
        if progress:
            notice(
                f"training {num_parameters} parameters on {config.data} for {config.num_steps}"
                f" steps in {workdir}; compiling takes a moment"
            )
        state = training.init(config.seed)
        if start is not None:
            state = start_from(start, training.parallel, state)

    with hold_folder(workdir, force=force):
        # Folder: the newest readable checkpoint, if any; what the first process writes about a run.
        restored = restore_newest(
            workdir, abstract(shapes, training.parallel.state_shardings(shapes))
        )
        if is_first():
            for damaged, reason in restored.damaged if restored is not None else ():
                aside = set_aside(workdir, damaged)
                notice(f"checkpoint {damaged} cannot be read ({reason}); moved to {aside}")
            write_run(workdir, config, description)
            write_json(
                workdir / ENVIRONMENT_FILE,
                {**environment(), "matmul_precision": config.matmul_precision},
            )
        if restored is not None:
            state, step = training.parallel.place_state(restored.state), restored.step
            if progress:
                notice(f"resuming {workdir} at step {step}")
        assert state is not None

        # Loop: steps, metrics, checkpoints, measurements on a schedule.
        clean = clean_dataset(images, config.digit_strength)
        # Squeezed photographs are decoded again for probes, as `ssljax probe` shows them.
        is_shown = source is None and config.split == "train" and not images.squeezed_side
        own_train = images if is_own and is_shown else None
        pair = None if test is None else (clean, test)
        monitor = None
        if (config.moments.every or config.evaluation.every) and step < config.num_steps:
            if config.evaluation.every and pair is None:
                with open_loading_counter(config.data, enabled=progress) as report:
                    pair = load_pair(config, report, train=own_train)
            monitor = make_monitor(config, workdir, training.network, clean, pair, step=step)
        with end_where_a_peer_is_lost():
            state = run_training_loop(
                config,
                workdir,
                training,
                state,
                step,
                metrics=None if trained is None else trained[1],
                sinks=sinks,
                progress=progress,
                watchdog_seconds=watchdog_seconds,
                profile_steps=profile_steps,
                monitor=monitor,
            )

        # Measurements when training ends, and the page.
        state = copy_locally(state) if jax.process_count() > 1 else state
        evaluation = measure_run(
            config,
            workdir,
            training.network,
            take_evaluated_state(config, state),
            clean,
            test=test,
            train=own_train,
            progress=progress,
        )
        if is_first():
            try_to_write_report(workdir)
    return RunResult(state, read_metrics(workdir), training.network, config, evaluation)


def run_training_loop(
    config: Config,
    workdir: Path,
    training: Training,
    state: TrainState,
    step: int,
    *,
    metrics: dict[str, np.ndarray] | None = None,
    sinks: Sequence[Sink] = (),
    progress: bool = False,
    watchdog_seconds: int | float = 0,
    profile_steps: int = 0,
    monitor: Monitor | None = None,
) -> TrainState:
    """Start a call, then read the metrics of those before while it runs.

    Args:
      config: How many steps, how often to log and to save.
      workdir: Run folder, held by this run.
      training: The compiled step.
      state: State after ``step`` steps, on the devices; given up.
      step: Steps already taken.
      metrics: Of a run that has been trained, whose last state is given: nothing is computed.
      sinks: Given the numbers of every line, besides the configuration's own.
      progress: Show a bar.
      watchdog_seconds: Silence after which the process ends; 0 waits for ever.
      profile_steps: Steps that JAX's profiler traces.
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
    with contextlib.ExitStack() as stack:
        stack.enter_context(name_newest_checkpoint(workdir))  # first in, so after all is saved
        bar = stack.enter_context(
            TrainingProgress(config.num_steps, config.batch_size, step, enabled=progress)
        )
        feed = stack.enter_context(training.open_feed(state, step, bar.notice))
        bar.remark = feed.remark

        # What only the first process writes.
        file = None
        if is_first():
            history = read_saved_history(workdir / CHECKPOINTS / str(step))
            file = stack.enter_context(contextlib.closing(MetricsFile(workdir, step, history)))
            opened = [
                stack.enter_context(open_sink(name, workdir, step, config_dict(config)))
                for name in config.sinks
            ]
            sinks = [*sinks, *(sink for sink in opened if sink is not None)]
            stack.callback(lambda: write_json(workdir / INPUT_FILE, feed.summary()))

        # What all processes take part in.
        saver = Checkpoints(workdir, config.keep_checkpoints, metric_name=config.best_metric)
        checkpoints = stack.enter_context(contextlib.closing(saver))
        stop = stack.enter_context(StopRequest(listen=jax.process_count() == 1))
        watchdog = stack.enter_context(Watchdog(watchdog_seconds))
        profiler = stack.enter_context(
            Profiler(workdir / "profile", profile_steps if is_first() else 0)
        )
        report = MetricsReport(
            file,
            sinks,
            bar,
            config.log_every,
            training.learning_rates,
            best_metric=config.best_metric,
            finished=watchdog.finished,
        )

        def measure(state: TrainState) -> dict[str, float]:
            with watchdog.paused():
                assert monitor is not None
                single = training.parallel.single_state(state)
                if jax.process_count() > 1:
                    single = copy_locally(single)
                measured = monitor.measure(step, single)
                bar.notice(measured.text)
                wait_for_all("measured", EVALUATION_SECONDS)
            return measured.scalars

        if monitor is not None and step == 0 and monitor.is_due(0):
            report.flush(lambda: measure(state))
        if metrics is not None:
            calls: Iterable[Call] = [(state, metrics, config.num_steps)]
        else:
            every = () if monitor is None else monitor.every
            calls = training.take_steps(state, config.strength, feed, start=step, every=every)
        for number, (state, metrics, length) in enumerate(calls):
            report.add(step, metrics)
            last_save, step = step // config.checkpoint_every, step + length
            is_last = step == config.num_steps
            is_stop = stop.requested or is_stop_due(number)
            profiler.advance(
                length,
                lambda state=state: jax.block_until_ready(state.step),
                is_last=is_last or is_stop,
            )
            if monitor is not None and monitor.is_due(step):
                report.flush(lambda state=state: measure(state))
            if step // config.checkpoint_every > last_save or is_last or is_stop:
                report.flush()
                check_finite(state.params, step)
                with watchdog.paused():  # until the save before is on the disk
                    checkpoints.save(
                        step,
                        training.parallel.single_state(state),
                        metric=report.interval_mean(),
                        history=b"" if file is None else file.history(),
                    )
            if is_stop and not is_last:
                raise StopRequested(
                    f"stopped by SIGTERM after step {step}, saved in {workdir}: the same command"
                    " resumes"
                )
    return training.parallel.single_state(state)
