"""What the commands do, given their parsed arguments; each returns the exit code."""

import argparse
import contextlib
import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ssljax.augment.policies import DIGITS_POLICY, SIMCLR_POLICY
from ssljax.cli.run_actions import RUN_ACTIONS, as_one_of_many, with_exit_code
from ssljax.cli.run_commands import taken_cluster
from ssljax.config.config import NAMED_POLICIES, Config, PolicyChoice
from ssljax.config.overrides import overridden
from ssljax.config.presets import preset
from ssljax.data.clean_images import clean_dataset, dataset_like
from ssljax.data.datasets import load_dataset
from ssljax.data.run_data import measured_images
from ssljax.measure.evaluation import EVALUATION_FILE, PROTOCOL, evaluation, protocol
from ssljax.measure.measurements import MOMENTS, load_pair, write_layer_moments
from ssljax.measure.moment_sums import write_moments
from ssljax.measure.moments import layer_moments, mean_image, pixel_layer
from ssljax.runs.export import export_safetensors
from ssljax.runs.fit import RunResult, fit
from ssljax.runs.saved_run import Run, load_run
from ssljax.system.distributed import is_first
from ssljax.system.errors import UsageError
from ssljax.system.files import write_json
from ssljax.system.progress import counted, loading_progress
from ssljax.training.build import build_reading


def train(values: argparse.Namespace) -> int:
    """Train a preset, or resume it; alone or as one of many processes."""
    given = dict(vars(values))
    cluster, watchdog_seconds = taken_cluster(given), given.pop("watchdog_seconds")
    workdir = given.pop("workdir") or f"runs/{values.preset}"
    make_observers = given.pop("make_observers")
    del given["action"], given["preset"]
    if not 0 <= watchdog_seconds < threading.TIMEOUT_MAX:
        raise UsageError(f"watchdog-seconds is {watchdog_seconds}: give at least 0, 0 for never")
    config = overridden(preset(values.preset), given, {"policy": NAMED_POLICIES})

    def run() -> int:
        with _precision(config):
            result = fit(
                config,
                workdir,
                observers=make_observers(config),
                watchdog_seconds=watchdog_seconds,
            )
        if is_first():
            _print_result(result, workdir)
        return 0

    return as_one_of_many(lambda: with_exit_code(run), cluster)


def _print_result(result: RunResult, workdir: str) -> None:
    last = result.metrics[-1]
    print(f"{'step':24} {last['step']}")
    print(f"{'loss':24} {last['loss']:.6g}")
    for layer, accuracies in result.evaluation.items():
        for name, value in accuracies.items():
            print(f"{layer + ' ' + name:24} {value:.4f}")
    print(f"{'results in':24} {Path(workdir)}")


def _precision(config: Config) -> Any:
    is_wide = config.precision == "float64"
    return jax.enable_x64(True) if is_wide else contextlib.nullcontext()


def moments(values: argparse.Namespace) -> int:
    """Write the moments of a data set's augmented views."""
    out = _checked_output(values.out, ".npz")
    # Small gray images are written digits or the like; the policy for photographs is SimCLR's.
    default = DIGITS_POLICY if values.dataset in ("digits", "mnist") else SIMCLR_POLICY
    given = {name: value for name, value in vars(values).items() if name.split(".")[0] == "policy"}
    policy = overridden(PolicyChoice(policy=default), given, {"policy": NAMED_POLICIES}).policy
    if not values.strength >= 0:
        raise UsageError(f"strength is {values.strength}: give --strength a number of at least 0")
    if values.seed < 0:
        raise UsageError(f"seed is {values.seed}: give --seed an integer of at least 0")
    with loading_progress(values.dataset) as report:
        dataset = load_dataset(
            values.dataset,
            values.split,
            values.data_dir,
            first=max(values.images, 0),
            progress=report,
        )
    dataset = clean_dataset(dataset, Config().digit_strength)
    images = _first_images(dataset.images, values.images)
    center = mean_image(dataset.images, dataset.pixel_scale) if values.centre else None
    with counted("moments", len(images)) as report:
        measured = layer_moments(
            pixel_layer,
            None,
            center,
            images,
            dataset.pixel_scale,
            jax.random.key(values.seed, impl="threefry2x32"),
            policy,
            values.strength,
            views=values.views,
            layers=("input",),
            progress=report,
        )
    write_moments(out, measured["input"])
    dim = measured["input"]["covariance"].shape[0]
    print(f"moments of {len(images)} images, {values.views} views, dimension {dim}: {out}")
    return 0


def probe(values: argparse.Namespace) -> int:
    """Print and write the accuracies of a run's features."""
    run = _loaded(values)
    data = values.on or run.config.data
    out = Path(values.out or Path(values.run) / _evaluation_file(values.on))
    if not out.absolute().parent.is_dir():
        raise UsageError(
            f"--out {out} is in a folder that does not exist: make {out.absolute().parent} first"
        )
    given = {
        name: getattr(values, name)
        for name in ("probe", "l2", "path", "few_shot", "few_shot_draws", "neighbors")
        if getattr(values, name) is not None
    }
    try:
        settings = dataclasses.replace(
            run.config.evaluation,
            layers=_layers(values.layers),
            standardize=run.config.evaluation.standardize and not values.no_standardize,
            **given,
        )
    except UsageError as error:  # names the options of `train`, which are shorter here
        raise UsageError(str(error).replace("evaluation.", "")) from error
    with loading_progress(data) as report:
        pair = load_pair(dataclasses.replace(run.config, data=data), report)
    if pair is None:
        raise UsageError(f"{data} has no test images: add test_images and test_labels to the file")
    train, test = (dataset_like(part, run.description.image_shape) for part in pair)
    accuracies = evaluation(run.network, run.state, train, test, settings)
    write_json(out, {**accuracies, PROTOCOL: protocol(settings, data)})
    _print_accuracies(accuracies)
    print(f"written to {out}")
    return 0


def _evaluation_file(data: str | None) -> str:
    if data is None:
        return EVALUATION_FILE
    name = "".join(letter if letter.isalnum() else "-" for letter in data.split("/")[-1])
    return EVALUATION_FILE.replace(".json", f"-{name}.json")


def _print_accuracies(accuracies: dict[str, dict[str, float]]) -> None:
    names = {"probe_accuracy": "PROBE", "knn_accuracy": "K-NN"}
    columns = dict.fromkeys(name for row in accuracies.values() for name in row)
    extra = [
        name
        for name in columns
        if name.endswith("accuracy") and name not in ("probe_train_accuracy", *names)
    ]
    names |= {name: name.removesuffix("_accuracy").upper().replace("_", "-") for name in extra}
    print(f"{'LAYER':16}" + "".join(f" {title:>8}" for title in names.values()))
    for layer, row in accuracies.items():
        cells = (f" {row[name]:{max(8, len(title))}.4f}" for name, title in names.items())
        print(f"{layer:16}" + "".join(cells))


def spectra(values: argparse.Namespace) -> int:
    """Write the moments of a run's layers."""
    run = _loaded(values)
    config = run.config
    with loading_progress(config.data) as report:
        dataset = measured_images(build_reading(config), config.split, report)
    dataset = clean_dataset(dataset, config.digit_strength)
    dataset = dataclasses.replace(
        dataset,
        images=_first_images(dataset.images, values.images),
        labels=dataset.labels[: values.images or None],
    )
    written = write_layer_moments(
        config,
        Path(values.run) / MOMENTS,
        run.network,
        run.state,
        dataset,
        layers=_layers(values.layers),
        views=values.views,
    )
    for path in written:
        print(path)
    return 0


def export(values: argparse.Namespace) -> int:
    """Write a run's weights."""
    out = _checked_output(values.out, ".npz", ".safetensors")
    run = load_run(values.run)
    if out.suffix == ".safetensors":
        arrays = export_safetensors(run, out)
        print(f"{len(arrays)} arrays of the encoder of step {int(run.state.step)}: {out}")
        return 0
    arrays = {}
    for group in ("params", "statistics"):
        tree = jax.device_get(getattr(run.state, group))
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            arrays[f"{group}/{name}"] = np.asarray(leaf)
    write_moments(out, arrays)
    print(f"{len(arrays)} arrays of step {int(run.state.step)}: {out}")
    return 0


def _loaded(values: argparse.Namespace) -> Run:
    run = load_run(values.run)
    if values.data_dir is not None:
        run = run._replace(config=dataclasses.replace(run.config, data_dir=values.data_dir))
    return run


def _layers(text: str) -> tuple[str, ...]:
    layers = tuple(part.strip() for part in text.split(",") if part.strip())
    if not layers:
        raise UsageError("no layers were named: give --layers a list such as feature,embedding")
    return layers


def _first_images(images: np.ndarray, count: int) -> np.ndarray:
    if not 0 <= count <= len(images):
        raise UsageError(
            f"{count} images were asked for, {len(images)} are there: give --images a number up to"
            " that, or 0 for all"
        )
    return images[:count] if count else images


def _checked_output(out: str, *suffixes: str) -> Path:
    path = Path(out)
    if path.suffix not in suffixes:
        raise UsageError(
            f"--out {out} must end in {' or '.join(suffixes)}: give --out FILE{suffixes[0]}"
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"--out {out} is in a folder that does not exist: make {path.absolute().parent} first"
        )
    return path


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "train": train,
    **RUN_ACTIONS,
    "moments": moments,
    "probe": probe,
    "spectra": spectra,
    "export": export,
}
