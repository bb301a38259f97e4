"""Maps over two settings, and images of the data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from experiments.figures.style import BLACK, drawing

WIDTH = 4.6


def draw_map(
    path: Path,
    values: Float[np.ndarray, "rows columns"],
    x: tuple[str, Sequence[float]],
    y: tuple[str, Sequence[float]],
    what: str,
    *,
    boundary: float | None = None,
) -> None:
    """Draw a quantity over two settings in shades that also print without color.

    Args:
      path: The PNG.
      values: A row for every setting of `y`, from bottom to top.
      x: Words of the horizontal axis, and its settings.
      y: Of the vertical one.
      what: Words and unit of the quantity.
      boundary: Value at which a line is drawn, for instance where two layers are equally good.
    """
    with drawing(path, WIDTH, 3.2) as figure:
        axes = figure.add_subplot()
        picture = axes.imshow(
            values, origin="lower", aspect="auto", cmap="cividis", interpolation="nearest"
        )
        crosses = boundary is not None and values.min() < boundary < values.max()
        if crosses and min(values.shape) > 1:
            axes.contour(values, levels=[boundary], colors=[BLACK], linewidths=1.2)
        axes.grid(visible=False)
        for axis, (_, settings) in ((axes.xaxis, x), (axes.yaxis, y)):
            shown = np.unique(np.linspace(0, len(settings) - 1, 5).round().astype(int))
            axis.set_ticks(shown, [f"{settings[place]:.3g}" for place in shown])
        axes.set_xlabel(x[0])
        axes.set_ylabel(y[0])
        figure.colorbar(picture, ax=axes, label=what)


def draw_images(
    path: Path, images: UInt8[np.ndarray, "rows columns height width 3"], names: Sequence[str]
) -> None:
    """Draw images of the data, a named row for each kind.

    Args:
      path: The PNG.
      images: As a network sees them.
      names: Of the rows.
    """
    rows, columns, height, width, _ = images.shape
    with drawing(path, WIDTH, 0.2 + rows * (0.2 + WIDTH / columns * height / width)) as figure:
        for row, name in enumerate(names):
            axes = figure.add_subplot(rows, 1, row + 1)
            padded = np.pad(images[row], ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
            axes.imshow(
                padded.transpose(1, 0, 2, 3).reshape(height + 2, -1, 3), interpolation="nearest"
            )
            axes.set_title(name)
            axes.set_axis_off()
