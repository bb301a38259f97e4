"""The training loop of a run folder: resumes by itself, ends with measurements."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ssljax.training.build import evaluated_state, build_reading
from ssljax.runs.checkpoint import (
    SaveFailed,
    abstract,
    restore_newest,
    saved_steps,
    set_aside,
)
from ssljax.data.composites import blended_dataset
from ssljax.config.config import Config
from ssljax.data.datasets import Dataset
from ssljax.training.devices import local_copy
from ssljax.system.distributed import agreed, ended_where_a_peer_is_lost, is_first
from ssljax.system.errors import UsageError
from ssljax.system.files import write_json
from ssljax.nets.input_normalization import no_normalization
from ssljax.runs.lease import FolderTaken
from ssljax.runs.loop import StopRequested, trained, write_finished
from ssljax.measure.measurements import check_layers, load_pair, measured_run
from ssljax.runs.metrics import NonFiniteMetrics, read_metrics
from ssljax.measure.schedule import Monitor, make_monitor
from ssljax.nets.network import Network
from ssljax.training.observers import Observer
from ssljax.system.progress import loading_progress, notice
from ssljax.system.environment import ENVIRONMENT_FILE, environment
from ssljax.runs.report import REPORT_FILE, write_report
from ssljax.data.run_data import training_data
from ssljax.runs.folder import (
    check_same_run,
    check_writable,
    describe,
    write_run,
)
from ssljax.runs.saved_run import Run, load_run
from ssljax.runs.shared_folder import claimed_together
from ssljax.data.sources import source_of
from ssljax.training.state import TrainState
from ssljax.training.training import Training, make_training

__all__ = [
    "FolderTaken",
    "NonFiniteMetrics",
    "Run",
    "RunResult",
    "SaveFailed",
    "StopRequested",
    "fit",
    "keep_finished",
    "load_run",
    "make_training",
]


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
    watchdog_seconds: int | float = 900.0,
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
      watchdog_seconds: Without a finished step for so long the process ends with code 75, since
        it would otherwise wait for a lost host for ever; 0 waits.

    Returns:
      The final state and the metrics. Where many processes train together, each returns the state;
      the first alone measures.

    Raises:
      FolderTaken: Another process is training in the folder.
      UsageError: The configuration, the data or the folder cannot be used; nothing is written.
      NonFiniteMetrics: A loss or gradient is not finite; the checkpoints before it are intact.
      StopRequested: SIGTERM arrived; the state was saved.
      SaveFailed: A checkpoint could not be written.
    """
    workdir = Path(workdir)
    progress = progress and is_first()
    agreed(lambda: _check_folder(workdir, config))
    if dataset is not None and test is None:
        config = dataclasses.replace(
            config, evaluation=dataclasses.replace(config.evaluation, layers=(), every=0)
        )
    if dataset is None:
        with loading_progress(config.data, enabled=progress) as report:
            dataset, source = training_data(build_reading(config), config.split, report)
    else:
        source = source_of(dataset) if config.stream == "always" else None
    train = dataset if source is None and config.split == "train" else None
    resuming = agreed(lambda: bool(saved_steps(workdir)))
    if training is None:
        training = make_training(
            config,
            dataset,
            source=source,
            observers=observers,
            # A resumed run finds it among its statistics.
            normalization=no_normalization(dataset.image_shape) if resuming else None,
        )
    check_layers(training.network, config.evaluation.layers)
    if config.moments.views:
        check_layers(training.network, config.moments.layers)
    abstract_state = jax.eval_shape(training.make_state, 0)
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(abstract_state.params))
    description = describe(dataset, training.network.layers, num_parameters, source)
    agreed(lambda: check_same_run(workdir, config, description))
    with claimed_together(workdir):
        wanted = abstract(abstract_state, training.parallel.state_shardings(abstract_state))
        restored = restore_newest(workdir, wanted)
        if is_first():
            for damaged, reason in restored.damaged if restored is not None else ():
                aside = set_aside(workdir, damaged)
                notice(f"checkpoint {damaged} cannot be read ({reason}); moved to {aside}")
            write_run(workdir, config, description)
            write_json(workdir / ENVIRONMENT_FILE, environment())
        if restored is None:
            state, step = training.init(config.seed), 0
        else:
            state, step = training.place_state(restored.state), restored.step
            if progress:
                notice(f"resuming {workdir} at step {step}")
        monitor = _monitor(config, workdir, training, dataset, train, test, step, progress)
        with ended_where_a_peer_is_lost():
            state = trained(
                config,
                workdir,
                training,
                state,
                step,
                progress=progress,
                watchdog_seconds=watchdog_seconds,
                monitor=monitor,
            )
        state = local_copy(state) if jax.process_count() > 1 else state
        evaluation = {}
        if is_first():
            evaluation = measured_run(
                config,
                workdir,
                training.network,
                evaluated_state(config, state),
                blended_dataset(dataset, config.digit_strength),
                test=test,
                train=train,
                progress=progress,
            )
            _report(workdir)
    return RunResult(state, read_metrics(workdir), training.network, config, evaluation)


def _monitor(
    config: Config,
    workdir: Path,
    training: Training,
    dataset: Dataset,
    train: Dataset | None,
    test: Dataset | None,
    step: int,
    progress: bool,
) -> Monitor | None:
    """What is measured while training; none where nothing is scheduled or nothing is left."""
    if not (config.moments.every or config.evaluation.every) or step >= config.num_steps:
        return None
    dataset = blended_dataset(dataset, config.digit_strength)
    pair = None
    if config.evaluation.every and test is not None:
        pair = (dataset, test)
    elif config.evaluation.every:
        with loading_progress(config.data, enabled=progress) as report:
            pair = load_pair(config, report, train=train)
    return make_monitor(config, workdir, training.network, dataset, pair, step=step)


def keep_finished(
    config: Config,
    workdir: str | Path,
    training: Training,
    state: TrainState,
    metrics: dict[str, np.ndarray],
    dataset: Dataset,
) -> None:
    """Keep a run that was trained in memory as `fit` would have: folder, checkpoint, measurements.

    Args:
      config: What was trained.
      workdir: Run folder; made if need be.
      training: Its functions.
      state: State after all steps.
      metrics: Each of leading axis ``num_steps``.
      dataset: Images trained on.

    Raises:
      UsageError: The folder cannot be used.
      NonFiniteMetrics: A loss or gradient is not finite.
    """
    workdir = Path(workdir)
    _check_folder(workdir, config)
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    with claimed_together(workdir):
        write_run(workdir, config, describe(dataset, training.network.layers, num_parameters))
        write_json(workdir / ENVIRONMENT_FILE, environment())
        write_finished(config, workdir, training, state, metrics)
        measured_run(
            config,
            workdir,
            training.network,
            evaluated_state(config, state),
            blended_dataset(dataset, config.digit_strength),
            progress=False,
        )
        _report(workdir)


def _report(workdir: Path) -> None:
    """Write the page; what cannot be shown there does not undo a finished run."""
    try:
        write_report(workdir)
    except UsageError as error:
        notice(f"no {REPORT_FILE}: {error}")


def _check_folder(workdir: Path, config: Config) -> None:
    check_writable(workdir)
    check_same_run(workdir, config, None)
