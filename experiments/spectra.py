"""Draw the layer spectra that a run measured, with effective ranks by their names."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.errors import InputError
from experiments.figures.measured import measured_spectra_figure
from experiments.files import make_folder
from theory.alignment import alignment
from theory.comparison import mode_values
from theory.files import read_moments
from theory.moments import default_range_tolerance
from theory.ranks import variance_effective_rank


def run_spectra(folder: Path, out: Path) -> Path:
    """One figure: layer spectra and alignments of every measured layer of a run.

    Args:
      folder: Run folder with `moments/LAYER.npz`, written by training or by `ssljax spectra`.
      out: Folder of `layer_spectra.png`, created.

    Returns:
      The figure's path.

    Raises:
      InputError: The run has no moments.
    """
    files = sorted((folder / "moments").glob("*.npz"))
    files = [path for path in files if path.stem != "head_weights"]
    if not files:
        raise InputError(
            f"{folder} holds no moments/*.npz; write them with python -m ssljax spectra {folder}"
        )
    names, spectra, alignments, ranks = [], [], [], []
    with jax.enable_x64(True):
        for path in sorted(files, key=_depth_order):
            moments = read_moments(path)
            covariance = jnp.asarray(moments.covariance)
            spectrum = mode_values(jnp.eye(covariance.shape[0]), covariance)
            kept = alignment(
                moments.covariance,
                moments.cross_covariance,
                range_tolerance=default_range_tolerance(moments),
            )
            names.append(path.stem)
            spectra.append(np.asarray(spectrum))
            alignments.append(np.asarray(kept.values)[: int(kept.rank)])
            ranks.append(float(variance_effective_rank(jnp.clip(spectrum, 0.0))))
    make_folder(out)
    figure = out / "layer_spectra.png"
    measured_spectra_figure(figure, names, spectra, alignments, ranks)
    for name, rank, spectrum in zip(names, ranks, spectra):
        print(
            f"{name:<12} dim {spectrum.size:>5}   effective rank (entropy of raw variances)"
            f" {rank:8.2f}"
        )
    print(f"figure: {figure}")
    return figure


def _depth_order(path: Path) -> tuple[int, str]:
    """From the input to the embedding."""
    order = ("input", "stem", "stage", "feature", "head", "embedding", "predictor")
    return next((i for i, name in enumerate(order) if path.stem.startswith(name)), 9), path.stem
