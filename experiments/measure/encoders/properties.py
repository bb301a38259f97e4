"""How well linear regression reads properties of an image off its representation."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float64, UInt8

from experiments.core.blocks import sum_blocks
from experiments.core.measurements import Measurement
from experiments.measure.encoders.passes import Passes, Place, Rows
from experiments.measure.rows import mean_row, sums_row
from ssljax.measure.probe import regression_probe

PENALTY = 1e-3
_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


def read_properties(*places: Place, task: str = "cifar10") -> Rows:
    """Return the part that measures the explained variance of image properties, at some places.

    Regressions are fitted on clean training images and tested on all test images.
    """

    def measure(passes: Passes) -> Iterator[Measurement]:
        train, test, *_ = passes.subject.task(task)
        wanted, truth = describe_images(train.images), describe_images(test.images)
        for place in places:
            seen, new = (passes.at(place, part.images) for part in (train, test))
            for name in truth:
                key = passes.subject.key("r2", *place, task, property=name)
                rows = [
                    sums_row(
                        key,
                        explain_variance,
                        _sum_residuals(fitted, wanted[name], tested, truth[name]),
                        len(tested),
                    )
                    for fitted, tested in zip(seen, new, strict=True)
                ]
                yield mean_row(key, rows)

    return measure


def describe_images(
    images: UInt8[np.ndarray, "images height width 3"],
) -> dict[str, Float64[np.ndarray, "images numbers"]]:
    """Return the properties of images, each as one or two numbers.

    Returns:
      `brightness`: the mean brightness of the pixels. `contrast`: its standard deviation.
      `color`: red less green, and blue less the mean of both, averaged over pixels. `position`:
      the center of brightness, row and column, from 0 to 1.
    """
    pixels = images / 255.0
    brightness = pixels @ _LUMA
    red, green, blue = np.moveaxis(pixels.mean(axis=(1, 2)), -1, 0)
    weights = brightness + 1e-6  # a black image has its center in the middle
    rows, columns = ((np.arange(size) + 0.5) / size for size in brightness.shape[1:])
    total = weights.sum(axis=(1, 2))
    center = [weights.sum(axis=2) @ rows / total, weights.sum(axis=1) @ columns / total]
    return {
        "brightness": brightness.mean(axis=(1, 2))[:, None],
        "contrast": brightness.std(axis=(1, 2))[:, None],
        "color": np.stack([red - green, blue - (red + green) / 2], axis=1),
        "position": np.stack(center, axis=1),
    }


def explain_variance(
    count: float,
    residuals: Float64[np.ndarray, " numbers"],
    total: Float64[np.ndarray, " numbers"],
    squares: Float64[np.ndarray, " numbers"],
) -> float:
    """Return the share of the variance of numbers that a regression explains, over all numbers.

    Args:
      count: Number of test images.
      residuals: Squared errors, summed over images.
      total: The numbers, summed.
      squares: Their squares, summed.

    Returns:
      1 for a regression without error, 0 for one no better than the mean of the test images.
    """
    return float(1.0 - residuals.sum() / (squares - total**2 / count).sum())


def _sum_residuals(
    seen: Float[np.ndarray, "train width"],
    wanted: Float64[np.ndarray, "train numbers"],
    new: Float[np.ndarray, "test width"],
    truth: Float64[np.ndarray, "test numbers"],
) -> tuple[Float64[np.ndarray, "blocks ..."], ...]:
    # Numbers of one property get equal weight, whatever their unit.
    size = wanted.std(axis=0)
    wanted, truth = wanted / size, truth / size
    found = regression_probe(seen, wanted, new, truth, l2=PENALTY)
    residual = truth - (new @ found.weights + found.bias)
    return tuple(sum_blocks(values) for values in (np.ones(len(new)), residual**2, truth, truth**2))
