"""Commands that measure: the moments of a data set, and what a trained run has learned."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ssljax.build import NAMED_POLICIES
from ssljax.datasets import load_dataset
from ssljax.errors import UsageError
from ssljax.files import write_json
from ssljax.measurements import (
    EVALUATION_FILE,
    evaluation,
    load_pair,
    write_layer_moments,
)
from ssljax.moment_sums import write_moments
from ssljax.moments import layer_moments, mean_image, pixel_layer
from ssljax.overrides import add_settings, overridden
from ssljax.policies import DIGITS_POLICY, SIMCLR_POLICY
from ssljax.progress import counted, loading_progress
from ssljax.train import Run, load_run


def add_parsers(commands: Any) -> None:
    """Add the parsers of moments, probe, spectra and export."""
    _add_moments(commands)
    probe = _run_parser(
        commands,
        "probe",
        "accuracy of a linear probe and of k nearest neighbors on a run's features",
        "python -m ssljax probe runs/digits_smoke --layers feature,embedding",
    )
    _add_data_dir(probe)
    probe.set_defaults(command=_probe)
    spectra = _run_parser(
        commands,
        "spectra",
        "moments of a run's layers, as files for `python -m theory solve`",
        "python -m ssljax spectra runs/digits_smoke --layers feature,embedding --views 16",
    )
    spectra.add_argument("--views", type=int, default=8, help="views of each image (default: 8)")
    spectra.add_argument(
        "--images", type=int, default=0, help="images used, from the first; 0: all (default: 0)"
    )
    _add_data_dir(spectra)
    spectra.set_defaults(command=_spectra)
    export = commands.add_parser(
        "export",
        help="a run's weights as one NumPy file",
        description="A run's weights and running statistics as one NumPy file.",
        epilog="example:\n  python -m ssljax export runs/digits_smoke --out weights.npz",
    )
    export.add_argument("run", metavar="RUN", help="run folder")
    export.add_argument("--out", required=True, metavar="FILE.npz", help="file to write")
    export.set_defaults(command=_export)


def _run_parser(commands: Any, name: str, text: str, example: str) -> Any:
    parser = commands.add_parser(
        name, help=text, description=text.capitalize() + ".", epilog=f"example:\n  {example}"
    )
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument(
        "--layers",
        metavar="A,B,...",
        default="feature,embedding",
        help="layers to measure (default: feature,embedding)",
    )
    return parser


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", default=None, metavar="DIR", help="TFDS directory (default: the run's)"
    )


def _add_moments(commands: Any) -> None:
    moments = commands.add_parser(
        "moments",
        help="second moments of a data set's augmented views",
        usage="python -m ssljax moments DATASET --out MOMENTS.npz [options]",
        description="Second moments of a data set's augmented views: what theory predicts from.",
        epilog=(
            "examples:\n"
            "  python -m ssljax moments digits --out moments.npz --strength 0.3 --centre\n"
            "  python -m ssljax moments cifar10 --data-dir DIR --out moments.npz --images 5000"
        ),
    )
    moments.add_argument("dataset", metavar="DATASET", help="digits, cifar10, … arrays:FILE.npz")
    moments.add_argument("--out", required=True, metavar="MOMENTS.npz", help="file to write")
    moments.add_argument("--strength", type=float, default=1.0, help="(default: 1.0)")
    moments.add_argument("--views", type=int, default=16, help="views of each image (default: 16)")
    moments.add_argument(
        "--centre",
        "--center",
        dest="centre",
        action="store_true",
        help="subtract the mean image of the clean images first (default: off)",
    )
    moments.add_argument("--split", default="train", help="train, test or all (default: train)")
    moments.add_argument(
        "--images", type=int, default=0, help="images used, from the first; 0: all (default: 0)"
    )
    moments.add_argument("--seed", type=int, default=0, help="of the views (default: 0)")
    _add_data_dir(moments)
    add_settings(moments, _PolicyChoice(), {"policy": NAMED_POLICIES})
    moments.set_defaults(command=_moments)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _PolicyChoice:
    policy: Any = DIGITS_POLICY


def _moments(values: argparse.Namespace) -> int:
    out = _checked_output(values.out)
    # Small gray images are written digits or the like; the policy for photographs is SimCLR's.
    default = DIGITS_POLICY if values.dataset in ("digits", "mnist") else SIMCLR_POLICY
    given = {name: value for name, value in vars(values).items() if name.split(".")[0] == "policy"}
    policy = overridden(_PolicyChoice(policy=default), given, {"policy": NAMED_POLICIES}).policy
    if not values.strength >= 0:
        raise UsageError(f"strength is {values.strength}: give --strength a number of at least 0")
    if values.seed < 0:
        raise UsageError(f"seed is {values.seed}: give --seed an integer of at least 0")
    with loading_progress(values.dataset) as report:
        dataset = load_dataset(values.dataset, values.split, values.data_dir, progress=report)
    images = _first_images(dataset.images, values.images)
    center = mean_image(dataset.images, dataset.pixel_scale) if values.centre else None
    with counted("moments", len(images)) as report:
        moments = layer_moments(
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
    write_moments(out, moments["input"])
    dim = moments["input"]["covariance"].shape[0]
    print(f"moments of {len(images)} images, {values.views} views, dimension {dim}: {out}")
    return 0


def _probe(values: argparse.Namespace) -> int:
    run = _loaded(values)
    settings = dataclasses.replace(run.config.evaluation, layers=_layers(values.layers))
    with loading_progress(run.config.data) as report:
        pair = load_pair(run.config, report)
    if pair is None:
        raise UsageError(
            f"{run.config.data} has no test images: add test_images and test_labels to the file"
        )
    accuracies = evaluation(run.network, run.state, *pair, settings, progress=False)
    write_json(Path(values.run) / EVALUATION_FILE, accuracies)
    print(f"{'LAYER':16} {'PROBE':>8} {'K-NN':>8}")
    for name, row in accuracies.items():
        print(f"{name:16} {row['probe_accuracy']:8.4f} {row['knn_accuracy']:8.4f}")
    print(f"written to {Path(values.run) / EVALUATION_FILE}")
    return 0


def _spectra(values: argparse.Namespace) -> int:
    run = _loaded(values)
    config = run.config
    with loading_progress(config.data) as report:
        dataset = load_dataset(config.data, config.split, config.data_dir or None, progress=report)
    dataset = dataclasses.replace(
        dataset,
        images=_first_images(dataset.images, values.images),
        labels=dataset.labels[: values.images or None],
    )
    written = write_layer_moments(
        config,
        Path(values.run),
        run.network,
        run.state,
        dataset,
        layers=_layers(values.layers),
        views=values.views,
    )
    for path in written:
        print(path)
    return 0


def _export(values: argparse.Namespace) -> int:
    out = _checked_output(values.out)
    run = load_run(values.run)
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


def _checked_output(out: str) -> Path:
    path = Path(out)
    if path.suffix != ".npz":
        raise UsageError(f"--out {out} must end in .npz: give --out FILE.npz")
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"--out {out} is in a folder that does not exist: make {path.absolute().parent} first"
        )
    return path
