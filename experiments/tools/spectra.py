"""Draw the layer spectra that a run measured: along training where it did so, and at its end."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.errors import InputError
from experiments.figures.evolution import LayerCourse, Neighbors, evolution_figure
from experiments.figures.measured import measured_spectra_figure
from experiments.files import make_folder, write_bytes
from theory.geometry.invariance import invariance_defect
from theory.geometry.ranks import lidar, variance_effective_rank
from theory.linalg.spectral import symmetric_eigenvalues
from theory.moments.alignment import alignment
from theory.moments.files import read_moments
from theory.moments.moments import Moments

_NOT_LAYERS = ("head_weights", "head_grams")


def run_spectra(folder: Path, out: Path) -> list[Path]:
    """Figures of every measured layer of a run, and the numbers drawn.

    `layer_spectra.png` shows layer spectra and alignments when training ended. Where moments were
    measured on a schedule, `spectra_over_training.png` shows layer spectra (centered), effective
    ranks and invariance defects along training, and k-nearest-neighbor accuracies where there are
    any; `spectra_over_training.json` holds its numbers.

    Args:
      folder: Run folder with `moments/LAYER.npz`, written by training or by `ssljax spectra`, or
        `moments/step_NNNNNNNN/LAYER.npz`, written while training.
      out: Folder of the figures, created.

    Returns:
      The figures' paths.

    Raises:
      InputError: The run has no moments.
    """
    final = _layer_files(folder / "moments")
    steps = _step_folders(folder / "moments")
    if not final and not steps:
        raise InputError(
            f"{folder} holds no moments/*.npz; write them with python -m ssljax spectra {folder},"
            " or train with --moments.views 2 --moments.every N to see them change"
        )
    make_folder(out)
    figures = []
    with jax.enable_x64(True):
        if final:
            figures.append(_draw_final(final, out / "layer_spectra.png"))
        if steps:
            figures.append(_draw_evolution(folder, steps, out / "spectra_over_training.png"))
    for figure in figures:
        print(f"figure: {figure}")
    return figures


def _layer_files(folder: Path) -> list[Path]:
    files = [path for path in folder.glob("*.npz") if path.stem not in _NOT_LAYERS]
    return sorted(files, key=_depth_order)


def _step_folders(folder: Path) -> dict[int, list[Path]]:
    """Files of the layers by step, the layers that every step has."""
    found = {}
    for path in sorted(folder.glob("step_*")):
        match = re.fullmatch(r"step_(\d+)", path.name)
        files = _layer_files(path) if match else []
        if match and files:
            found[int(match.group(1))] = files
    shared = (
        set.intersection(*({file.name for file in files} for files in found.values()))
        if (found)
        else set()
    )
    return {
        step: [file for file in files if file.name in shared]
        for step, files in sorted(found.items())
        if shared
    }


def _draw_final(files: list[Path], figure: Path) -> Path:
    names, spectra, alignments, ranks = [], [], [], []
    for path in files:
        moments = read_moments(path)
        covariance = jnp.asarray(moments.covariance)
        spectrum = symmetric_eigenvalues(covariance)
        kept = alignment(moments)
        names.append(path.stem)
        spectra.append(np.asarray(spectrum))
        alignments.append(np.asarray(kept.values)[: int(kept.rank)])
        ranks.append(float(variance_effective_rank(jnp.clip(spectrum, 0.0))))
    measured_spectra_figure(figure, names, spectra, alignments, ranks)
    for name, rank, spectrum in zip(names, ranks, spectra):
        print(
            f"{name:<12} dim {spectrum.size:>5}   effective rank (entropy of raw variances)"
            f" {rank:8.2f}"
        )
    return figure


class _Shape(NamedTuple):
    spectrum: np.ndarray
    effective_rank: float
    lidar: float
    defect: float


def _shape(moments: Moments, path: Path) -> _Shape:
    """Centered: of a layer behind a ReLU the mean is by far the largest raw direction."""
    if moments.mean is None:
        raise InputError(f"{path} holds no mean; measure it again with python -m ssljax spectra")
    mean = np.asarray(moments.mean)
    covariance = np.asarray(moments.covariance) - np.outer(mean, mean)
    spectrum = np.clip(np.linalg.eigvalsh(covariance)[::-1], 0.0, None)
    rank = float(variance_effective_rank(jnp.asarray(spectrum)))
    defect = invariance_defect(moments.covariance, moments.cross_covariance, mean)
    between = np.asarray(moments.cross_covariance) - np.outer(mean, mean)
    within = np.asarray(moments.covariance) - np.asarray(moments.cross_covariance)
    # In the units of the layer, or a layer of small features would be all delta.
    delta = 1e-4 * float(np.trace(covariance)) / len(covariance)
    classes = lidar(between, within, delta=delta)
    return _Shape(spectrum, rank, float(classes), float(defect))


def _draw_evolution(folder: Path, files: dict[int, list[Path]], figure: Path) -> Path:
    steps = np.array(list(files))
    courses, lidars = [], {}
    for place in range(len(next(iter(files.values())))):
        shapes = [_shape(read_moments(paths[place]), paths[place]) for paths in files.values()]
        name = next(iter(files.values()))[place].stem
        lidars[name] = [shape.lidar for shape in shapes]
        courses.append(
            LayerCourse(
                name,
                np.stack([shape.spectrum for shape in shapes]),
                np.array([shape.effective_rank for shape in shapes]),
                np.array([shape.defect for shape in shapes]),
            )
        )
    neighbors = _neighbors(folder / "neighbors.jsonl")
    evolution_figure(figure, steps, courses, neighbors)
    numbers: dict[str, Any] = {
        "steps": steps.tolist(),
        "layers": {
            course.name: {
                "effective_rank": course.effective_ranks.tolist(),
                "lidar": lidars[course.name],
                "invariance_defect": course.defects.tolist(),
                "centered_layer_spectrum": course.spectra.tolist(),
            }
            for course in courses
        },
    }
    if neighbors is not None:
        numbers["neighbors"] = {
            "steps": neighbors.steps.tolist(),
            "pixels": neighbors.pixels,
            "accuracies": {name: v.tolist() for name, v in neighbors.accuracies.items()},
        }
    write_bytes(figure.with_suffix(".json"), (json.dumps(numbers, indent=1) + "\n").encode())
    for course in courses:
        ranks, classes, defects = course.effective_ranks, lidars[course.name], course.defects
        print(
            f"{course.name:<12} steps {steps[0]} to {steps[-1]}: effective rank (centered)"
            f" {ranks[0]:.2f} to {ranks[-1]:.2f}, LiDAR {classes[0]:.2f} to {classes[-1]:.2f},"
            f" invariance defect {defects[0]:.3f} to {defects[-1]:.3f}"
        )
    return figure


def _neighbors(path: Path) -> Neighbors | None:
    if not path.exists():
        return None
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break  # a killed process leaves at most its last line half-written
    names = [name for name in (lines[0] if lines else {}) if name not in ("step", "pixels")]
    if not names:
        return None
    return Neighbors(
        np.array([line["step"] for line in lines]),
        {name: np.array([line[name] for line in lines]) for name in names},
        float(lines[0]["pixels"]),
    )


def _depth_order(path: Path) -> tuple[int, str]:
    """From the input to the embedding."""
    order = ("input", "stem", "stage", "feature", "head", "embedding", "predictor")
    return next((i for i, name in enumerate(order) if path.stem.startswith(name)), 9), path.stem
