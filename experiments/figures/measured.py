"""Layer spectra of one trained network, without a prediction beside them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from experiments.figures.style import FULL_WIDTH, drawing, ordered_colors


def measured_spectra_figure(
    path: Path,
    names: Sequence[str],
    spectra: Sequence[Float[np.ndarray, " _"]],
    alignments: Sequence[Float[np.ndarray, " _"]],
    effective_ranks: Sequence[float],
) -> None:
    """Eigenvalues of each layer's second moment, and alignments of its modes.

    Args:
      path: The PNG.
      names: One name per layer, input first.
      spectra: Layer spectrum of each, descending.
      alignments: Alignments of each, descending.
      effective_ranks: Entropy effective rank of the variances of each.
    """
    with drawing(path, FULL_WIDTH, 3.2) as figure:
        left, right = figure.subplots(1, 2)
        for name, spectrum, values, rank, color in zip(
            names, spectra, alignments, effective_ranks, ordered_colors(len(names))
        ):
            share = spectrum / spectrum[0]
            share = share[share > 1e-7]
            modes = np.arange(1, share.size + 1)
            left.plot(modes, share, color=color, label=f"{name} (effective rank {rank:.1f})")
            right.plot(np.arange(1, values.size + 1), values, color=color)
        left.set_xscale("log")
        left.set_yscale("log")
        left.set_xlabel("mode")
        left.set_ylabel("eigenvalue / largest")
        left.set_title("a  layer spectra")
        right.set_xscale("log")
        right.set_ylim(-0.05, 1.05)
        right.set_xlabel("mode")
        right.set_ylabel("alignment of positive pairs")
        right.set_title("b  alignments")
        figure.legend(loc="outside upper center", ncols=min(3, len(names)))
