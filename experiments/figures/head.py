"""The settled head: which modes a projection head with weight decay keeps."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from experiments.figures.style import COLORS, FULL_WIDTH, GRAY, drawing


def settled_head_figure(
    path: Path,
    predicted: Float[np.ndarray, "seeds modes"],
    settled: Float[np.ndarray, "seeds modes"],
    unsettled: Float[np.ndarray, "seeds modes"],
    gap: Float[np.ndarray, " seeds"],
    *,
    active: Int[np.ndarray, "seeds 2"] | None = None,
    shown: int = 16,
) -> None:
    """The embedding's layer spectrum, predicted, settled and unsettled, one panel per seed.

    Every seed has its own encoder and so its own prediction.

    Args:
      path: The PNG.
      predicted: Eigenvalues of the embedding's covariance from the feature's moments, descending.
      settled: The same, measured after the head settled on the frozen encoder.
      unsettled: The same, measured at the end of joint training.
      gap: Upper edge of the spectral gap: no eigenvalue between 0 and here can last.
      active: Number of active modes, predicted and measured.
      shown: Number of leading modes drawn.
    """
    seeds = predicted.shape[0]
    columns = min(seeds, 3)
    rows = -(-seeds // columns)
    shown = min(shown, predicted.shape[1])
    modes = np.arange(1, shown + 1)
    with drawing(path, FULL_WIDTH, 0.7 + 2.1 * rows) as figure:
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for seed, axes in enumerate(panels.ravel()):
            if seed >= seeds:
                axes.remove()
                continue
            axes.axhspan(0, gap[seed], color="#e9e4d8", linewidth=0, label="spectral gap")
            axes.plot(
                modes,
                unsettled[seed, :shown],
                "s",
                color=GRAY,
                markerfacecolor="white",
                label="measured, before settling",
            )
            axes.plot(
                modes, predicted[seed, :shown], color=COLORS[0], drawstyle="steps-mid",
                label="predicted",
            )  # fmt: skip
            axes.plot(
                modes,
                settled[seed, :shown],
                "o",
                color=COLORS[1],
                markeredgecolor="white",
                markeredgewidth=0.4,
                markersize=5,
                label="measured, settled",
            )
            if active is not None:
                axes.set_title(f"{active[seed, 0]} modes predicted, {active[seed, 1]} kept")
            axes.set_xlabel("mode index")
            axes.set_xlim(0.3, shown + 0.7)
            axes.set_ylim(-0.03, None)
        for axes in panels[:, 0]:
            axes.set_ylabel("eigenvalue of the\nembedding's covariance")
        figure.legend(
            *panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4
        )
