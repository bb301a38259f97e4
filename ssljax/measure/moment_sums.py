"""Sums over images behind a MOMENTS file: they add up, become moments, and are written to disk."""

import os
import uuid
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssljax.system.arrays import Float
from ssljax.system.errors import UsageError


class MomentSums(NamedTuple):
    """Sums over images, float64 on the host; the first axis holds two disjoint halves.

    Sums of different images of the same kind (other data, another shard) add up to the sums of
    all: :func:`merged_sums`.

    Attributes:
        second: sum over images and views of ``x x^T``.
        pairs: sum over images of ``m m^T``, m the sum of an image's views.
        total: sum over images of m.
        images: images in each half.
        views: views of each image.
    """

    second: Float[np.ndarray, "2 dim dim"]
    pairs: Float[np.ndarray, "2 dim dim"]
    total: Float[np.ndarray, "2 dim"]
    images: Float[np.ndarray, "2"]
    views: int


def merged_sums(first: MomentSums, second: MomentSums) -> MomentSums:
    """Sums over the images of both; the halves stay apart.

    Raises:
        UsageError: if the numbers of views or the dimensions differ.
    """
    if first.views != second.views or first.total.shape != second.total.shape:
        raise UsageError(
            f"sums over {first.views} views of dimension {first.total.shape[1]} and over "
            f"{second.views} views of dimension {second.total.shape[1]} do not add up; measure "
            "both with the same layer and number of views"
        )
    return MomentSums(
        first.second + second.second,
        first.pairs + second.pairs,
        first.total + second.total,
        first.images + second.images,
        first.views,
    )


def moment_arrays(sums: MomentSums) -> dict[str, np.ndarray]:
    """The arrays of a moments file (see :func:`layer_moments`) from sums."""
    half_covariance, half_cross = _moments(
        sums.second, sums.pairs, sums.images[:, None, None], sums.views
    )
    covariance, cross = _moments(
        sums.second.sum(0), sums.pairs.sum(0), sums.images.sum(), sums.views
    )
    return {
        "covariance": covariance,
        "cross_covariance": cross,
        "mean": sums.total.sum(0) / (sums.images.sum() * sums.views),
        "images": np.array(int(sums.images.sum())),
        "views": np.array(sums.views),
        "half_covariance": half_covariance,
        "half_cross_covariance": half_cross,
    }


def _moments(second, pairs, images, views):
    return second / (images * views), (pairs - second) / (images * views * (views - 1))


def write_moments(path: str | os.PathLike, moments: dict[str, np.ndarray]) -> None:
    """A moments file in one step: a reader sees the old file or the new, never half of it.

    Raises:
        UsageError: if the folder does not exist or cannot be written.
    """
    path = Path(path)
    partial_path = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with partial_path.open("wb") as file:
            np.savez(file, **moments)  # pyright: ignore[reportArgumentType]
        os.replace(partial_path, path)
    except OSError as error:
        partial_path.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path} ({error.strerror}); name a file in a folder that exists and "
            "can be written"
        ) from error
