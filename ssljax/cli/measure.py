"""``moments``, ``probe`` and ``spectra``: what is measured on data and on trained runs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssljax.augment.policies import DIGITS_POLICY, SIMCLR_POLICY, Policy
from ssljax.cli.options import read_options, read_settings, required_field, take_option
from ssljax.cli.runs import check_output
from ssljax.config.config import Config, find_policy
from ssljax.config.fields import replace_leaves
from ssljax.system.errors import UsageError
from ssljax.system.settings import NONNEGATIVE, POSITIVE, Settings, Wanted, setting

_THE_RUNS = "the run's"


@dataclass(frozen=True, kw_only=True)
class MomentsOptions(Settings):
    """Measure the second moments of a data set's augmented views: what theory predicts from.

    `--policy NAME` (digits, simclr, noise, identity) replaces every --policy.… below.
    """

    dataset: str = setting("", "digits, cifar10, … arrays:FILE.npz, folder:PATH", positional=True)
    out: str = setting("", "file to write, MOMENTS.npz", shown="required")
    strength: float = setting(1.0, "factor on every augmentation range", NONNEGATIVE)
    views: int = setting(16, "views of each image", Wanted("at least 2", lambda n: n >= 2))
    centre: bool = setting(
        False,
        "subtract the mean image of the clean images first",
        bare="true",
        aliases=("--center",),
    )
    split: str = setting("train", "train, test or all")
    images: int = setting(0, "images used, from the first; 0: all")
    image_side: int = setting(
        Config().image_side, "height and width that photographs are decoded to", POSITIVE
    )
    seed: int = setting(0, "of the views", Wanted("an integer of at least 0", lambda n: n >= 0))
    data_dir: str | None = setting(None, "TFDS directory", shown="$TFDS_DATA_DIR")
    policy: Policy = DIGITS_POLICY


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(Settings):
    """Measure accuracies of a run's frozen features: linear probe, nearest neighbors, few shots."""

    run: str = required_field("run folder", positional=True)
    layers: tuple[str, ...] = setting(("feature", "embedding"), "layers; all: each of them")
    probe: Literal["lbfgs", "sgd"] | None = setting(
        None, "to the minimum, or 100 epochs of descent on a cosine schedule", shown=_THE_RUNS
    )
    l2: float | None = setting(None, "penalty on the weights", shown=_THE_RUNS)
    path: tuple[float, ...] | None = setting(
        None,
        "penalties that a held-out tenth of the training images chooses from, with lbfgs",
        shown=_THE_RUNS,
    )
    no_standardize: bool = setting(
        False,
        "leave features as they are, instead of dividing by their standard deviation",
        bare="true",
    )
    few_shot: tuple[int, ...] | None = setting(
        None, "also probes with so many labels a class", shown=_THE_RUNS
    )
    few_shot_draws: int | None = setting(None, "draws of the labels", shown=_THE_RUNS)
    neighbors: int | None = setting(None, "neighbors that vote", shown=_THE_RUNS)
    on: str | None = setting(None, "another data set to probe with", shown=_THE_RUNS)
    image_side: int | None = setting(
        None, "height and width that photographs are decoded to", shown=_THE_RUNS
    )
    out: str | None = setting(
        None,
        "file to write",
        shown="RUN/evaluation.json, with --on RUN/evaluation-DATASET.json",
    )
    data_dir: str | None = setting(None, "TFDS directory", shown=_THE_RUNS)


@dataclass(frozen=True, kw_only=True)
class SpectraOptions(Settings):
    """Write the moments of a run's layers, as files for `python -m theory solve`."""

    run: str = required_field("run folder", positional=True)
    layers: tuple[str, ...] = setting(("feature", "embedding"), "layers; all: each of them")
    views: int = setting(8, "views of each image")
    images: int = setting(0, "images used, from the first; 0: all")
    image_side: int | None = setting(
        None, "height and width that photographs are decoded to", shown=_THE_RUNS
    )
    data_dir: str | None = setting(None, "TFDS directory", shown=_THE_RUNS)


def run_moments(arguments: Sequence[str]) -> int:
    """Write the moments of a data set's augmented views."""
    policies, rest = take_option(arguments, "--policy")
    # Small gray images are written digits or the like; the policy for photographs is SimCLR's.
    is_small = any(word in ("digits", "mnist") for word in rest)
    default = DIGITS_POLICY if is_small else SIMCLR_POLICY
    shown = MomentsOptions(policy=find_policy(policies[-1]) if policies else default)
    values = read_options(
        "moments",
        shown,
        rest,
        "python -m ssljax moments digits --out moments.npz --strength 0.3 --centre\n"
        "  python -m ssljax moments cifar10 --data-dir DIR --out moments.npz --images 5000\n"
        "  python -m ssljax moments folder:PHOTOS --image-side 64 --out moments.npz",
    )
    options = replace_leaves(shown, values)
    if not options.dataset or not options.out:
        raise UsageError("a data set and a file are needed: write moments DATASET --out FILE.npz")
    out = check_output(options.out, ".npz")
    dim, count = _write_moments(options, out)
    print(f"moments of {count} images, {options.views} views, dimension {dim}: {out}")
    return 0


def _write_moments(options: MomentsOptions, out: Path) -> tuple[int, int]:
    """Measure and write; return the dimension and the number of images."""
    import jax  # noqa: PLC0415

    from ssljax.data.clean_images import clean_dataset  # noqa: PLC0415
    from ssljax.data.datasets import load_dataset  # noqa: PLC0415
    from ssljax.measure.moments import (  # noqa: PLC0415
        layer_moments,
        mean_image,
        pixel_layer,
        write_moments,
    )
    from ssljax.system.progress import open_counter, open_loading_counter  # noqa: PLC0415

    with open_loading_counter(options.dataset) as report:
        dataset = load_dataset(
            options.dataset,
            options.split,
            options.data_dir,
            side=options.image_side,
            first=max(options.images, 0),
            progress=report,
        )
    dataset = clean_dataset(dataset, Config().digit_strength)
    images = _first_images(dataset.images, options.images)
    center = mean_image(dataset.images, dataset.pixel_scale) if options.centre else None
    with open_counter("moments", len(images)) as report:
        measured = layer_moments(
            pixel_layer,
            None,
            center,
            images,
            dataset.pixel_scale,
            jax.random.key(options.seed, impl="threefry2x32"),
            options.policy,
            options.strength,
            views=options.views,
            layers=("input",),
            progress=report,
        )
    write_moments(out, measured["input"])
    return measured["input"]["covariance"].shape[0], len(images)


def run_probe(arguments: Sequence[str]) -> int:
    """Print and write the accuracies of a run's features."""
    options = read_settings(
        "probe",
        ProbeOptions,
        arguments,
        "python -m ssljax probe runs/digits_smoke --layers feature,embedding --few-shot 1,5\n"
        "  python -m ssljax probe runs/digits_smoke --layers all --path 1e-1,1e-3,1e-5\n"
        "  python -m ssljax probe RUN --on cifar100 --probe sgd --no-standardize --out FILE.json",
    )
    from ssljax.data.clean_images import resize_dataset_like  # noqa: PLC0415
    from ssljax.measure.evaluation import (  # noqa: PLC0415
        PROTOCOL,
        count_images,
        describe_protocol,
        measure_accuracies,
    )
    from ssljax.measure.measurements import load_pair  # noqa: PLC0415
    from ssljax.runs.report import try_to_write_report  # noqa: PLC0415
    from ssljax.system.files import write_json  # noqa: PLC0415
    from ssljax.system.progress import open_loading_counter  # noqa: PLC0415

    run = _load(options)
    data = options.on or run.config.data
    out = Path(options.out or Path(options.run) / _name_evaluation_file(options.on))
    if not out.absolute().parent.is_dir():
        raise UsageError(
            f"--out {out} is in a folder that does not exist: make {out.absolute().parent} first"
        )
    settings = _probe_settings(options, run.config)
    with open_loading_counter(data) as report:
        pair = load_pair(dataclasses.replace(run.config, data=data), report)
    if pair is None:
        raise UsageError(
            f"{data} has no test images with a class: add some, or name a set with --on"
        )
    train, test = (resize_dataset_like(part, run.description.image_shape) for part in pair)
    accuracies = measure_accuracies(run.network, run.state, train, test, settings)
    write_json(
        out,
        {
            **accuracies,
            PROTOCOL: {**describe_protocol(settings, data), **count_images(train, test)},
        },
    )
    try_to_write_report(Path(options.run))  # it shows the accuracies of the run
    _print_accuracies(accuracies)
    print(f"written to {out}")
    return 0


def _probe_settings(options: ProbeOptions, config: Config) -> Any:
    """Return how to evaluate: as the run does, with what is given replaced."""
    names = ("probe", "l2", "path", "few_shot", "few_shot_draws", "neighbors")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    try:
        return dataclasses.replace(
            config.evaluation,
            layers=_check_layers(options.layers),
            standardize=config.evaluation.standardize and not options.no_standardize,
            **given,
        )
    except UsageError as error:  # names the options of `train`, which are shorter here
        raise UsageError(str(error).replace("evaluation.", "")) from error


def _name_evaluation_file(data: str | None) -> str:
    from ssljax.measure.evaluation import EVALUATION_FILE  # noqa: PLC0415

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


def run_spectra(arguments: Sequence[str]) -> int:
    """Write the moments of a run's layers."""
    options = read_settings(
        "spectra",
        SpectraOptions,
        arguments,
        "python -m ssljax spectra runs/digits_smoke --layers feature,embedding --views 16",
    )
    from ssljax.data.clean_images import clean_dataset  # noqa: PLC0415
    from ssljax.data.run_data import read_measured_images  # noqa: PLC0415
    from ssljax.measure.measurements import MOMENTS, write_layer_moments  # noqa: PLC0415
    from ssljax.runs.report import try_to_write_report  # noqa: PLC0415
    from ssljax.system.progress import open_loading_counter  # noqa: PLC0415
    from ssljax.training.build import build_reading  # noqa: PLC0415

    run = _load(options)
    config = run.config
    with open_loading_counter(config.data) as report:
        dataset = read_measured_images(build_reading(config), config.split, report)
    dataset = clean_dataset(dataset, config.digit_strength)
    dataset = dataclasses.replace(
        dataset,
        images=_first_images(dataset.images, options.images),
        labels=dataset.labels[: options.images or None],
    )
    written = write_layer_moments(
        config,
        Path(options.run) / MOMENTS,
        run.network,
        run.state,
        dataset,
        layers=_check_layers(options.layers),
        views=options.views,
    )
    try_to_write_report(Path(options.run))  # it shows the spectra of these moments
    for path in written:
        print(path)
    return 0


def _load(options: ProbeOptions | SpectraOptions) -> Any:
    """Return the run, with the places of its data replaced where they are given."""
    from ssljax.runs.saved_run import load_run  # noqa: PLC0415

    run = load_run(options.run)
    changes = {
        name: getattr(options, name)
        for name in ("data_dir", "image_side")
        if getattr(options, name) is not None
    }
    return run._replace(config=dataclasses.replace(run.config, **changes))


def _check_layers(layers: tuple[str, ...]) -> tuple[str, ...]:
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
