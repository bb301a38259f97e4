"""The training loop of a run folder: resumes by itself, ends with measurements."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ssljax.build import build_network, build_optimizer
from ssljax.checkpoint import Checkpoints, abstract, restore_newest, saved_steps, set_aside
from ssljax.config import Config
from ssljax.datasets import Dataset, load_dataset
from ssljax.errors import UsageError
from ssljax.files import write_json
from ssljax.input_normalization import no_normalization, normalized_network
from ssljax.measurements import check_layers, measured_run
from ssljax.metrics import MetricsReport, MetricsWriter, NonFiniteMetrics, read_metrics
from ssljax.network import Network
from ssljax.observers import Observer
from ssljax.progress import TrainingProgress, loading_progress, notice
from ssljax.record import ENVIRONMENT_FILE, environment
from ssljax.run_folder import (
    RunDescription,
    check_same_run,
    check_writable,
    claimed,
    describe,
    read_config,
    read_description,
    write_run,
)
from ssljax.signals import StopRequest
from ssljax.state import TrainState, make_state
from ssljax.training import Training, call_lengths, is_normalized, make_training

__all__ = [
    "NonFiniteMetrics",
    "Run",
    "RunResult",
    "StopRequested",
    "fit",
    "load_run",
    "make_training",
]


class StopRequested(RuntimeError):
    """Training was asked to stop by a signal and saved its state."""


class Run(NamedTuple):
    """A trained run, read back from its folder.

    Attributes:
      config: What was trained.
      network: Pure ``init`` and ``apply``.
      state: State at the newest checkpoint, on the first device.
      description: Image shape, pixel scale and layer names.
    """

    config: Config
    network: Network
    state: TrainState
    description: RunDescription


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

    Returns:
      The final state and the metrics.

    Raises:
      UsageError: The configuration, the data or the folder cannot be used; nothing is written.
      NonFiniteMetrics: A loss or gradient is not finite; the checkpoints before it are intact.
      StopRequested: SIGTERM arrived; the state was saved.
    """
    workdir = Path(workdir)
    check_writable(workdir)
    check_same_run(workdir, config, None)
    if dataset is not None and test is None:
        config = dataclasses.replace(
            config, evaluation=dataclasses.replace(config.evaluation, layers=())
        )
    if dataset is None:
        with loading_progress(config.data, enabled=progress) as report:
            dataset = load_dataset(
                config.data, config.split, config.data_dir or None, progress=report
            )
    resuming = bool(saved_steps(workdir))
    training = make_training(
        config,
        dataset,
        observers=observers,
        # A resumed run finds it among its statistics.
        normalization=no_normalization(dataset.images.shape[1:]) if resuming else None,
    )
    check_layers(training.network, config.evaluation.layers)
    if config.moments.views:
        check_layers(training.network, config.moments.layers)
    abstract_state = jax.eval_shape(training.make_state, 0)
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(abstract_state.params))
    description = describe(dataset, training.network.layers, num_parameters)
    check_same_run(workdir, config, description)
    with claimed(workdir):
        restored = restore_newest(workdir, abstract(abstract_state, training.parallel.replicated))
        for step in restored.damaged if restored is not None else ():
            notice(f"checkpoint {step} cannot be read; moved to {set_aside(workdir, step)}")
        write_run(workdir, config, description)
        write_json(workdir / ENVIRONMENT_FILE, environment())
        if restored is None:
            state, step = training.init(config.seed), 0
        else:
            state, step = training.place_state(restored.state), restored.step
            if progress:
                notice(f"resuming {workdir} at step {step}")
        state = _trained(config, workdir, training, state, step, progress)
        evaluation = measured_run(
            config, workdir, training.network, state, dataset, test=test, progress=progress
        )
    return RunResult(state, read_metrics(workdir), training.network, config, evaluation)


def _trained(
    config: Config,
    workdir: Path,
    training: Training,
    state: TrainState,
    step: int,
    progress: bool,
) -> TrainState:
    """The loop: dispatch a call, then read the metrics of the one before while it runs."""
    strength = training.place(np.asarray(config.strength, training.dtype))
    start = step
    with (
        contextlib.closing(MetricsWriter(workdir, step)) as writer,
        contextlib.closing(Checkpoints(workdir, config.keep_checkpoints)) as checkpoints,
        TrainingProgress(config.num_steps, config.batch_size, step, enabled=progress) as bar,
        StopRequest() as stop,
    ):
        report = MetricsReport(
            writer, bar, config.log_every, config.num_steps, training.learning_rates
        )
        for length in call_lengths(config.num_steps - start, training.steps_per_call):
            state, metrics = training.advance(state, strength, length)
            report.add(step, metrics)
            last_save, step = step // config.checkpoint_every, step + length
            is_last = step == config.num_steps
            if step // config.checkpoint_every > last_save or is_last or stop.requested:
                report.flush()
                checkpoints.save(step, training.single_state(state))
            if stop.requested and not is_last:
                raise StopRequested(
                    f"stopped by SIGTERM after step {step}, saved in {workdir}: the same command"
                    " resumes"
                )
    return training.single_state(state)


def load_run(workdir: str | Path) -> Run:
    """A run read back from its folder, at its newest readable checkpoint.

    Args:
      workdir: Folder of a run of `fit`, finished or not.

    Returns:
      Configuration, network, state and description.

    Raises:
      UsageError: The folder holds no run, or nothing readable.
    """
    workdir = Path(workdir)
    config, description = read_config(workdir), read_description(workdir)
    network = build_network(config, description.image_shape)
    if is_normalized(config):
        network = normalized_network(network, no_normalization(description.image_shape))
    optimizer = build_optimizer(config)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    wanted = jax.eval_shape(lambda: make_state(network, optimizer, 0))
    restored = restore_newest(workdir, abstract(wanted, sharding))
    if restored is None:
        raise UsageError(
            f"{workdir} holds no checkpoint yet: let ssljax train run there until it saves one"
        )
    for step in restored.damaged:
        notice(f"checkpoint {step} cannot be read, using {restored.step}")
    return Run(config, network, restored.state, description)
