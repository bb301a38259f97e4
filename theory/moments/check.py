"""Which moments are possible, and what is unusual in those that are."""

from typing import NamedTuple

import numpy as np

from theory.linalg.arrays import Arr, require_float64
from theory.linalg.errors import InputError
from theory.moments.moments import Moments, default_range_tolerance


class MomentsReport(NamedTuple):
    """What a check of moments found.

    Attributes:
      rank: Dimension of the range of the covariance.
      alignment: Alignments on that range, descending, ``(rank,)``.
      negative: Number of alignments below zero by more than rounding; they count as 0.
      most_negative: The lowest of these; 0 if there is none.
    """

    rank: int
    alignment: np.ndarray
    negative: int
    most_negative: float


def check_moments(moments: Moments, *, range_tolerance: float | None = None) -> MomentsReport:
    """Refuse moments that no pair of views can have, and report what is unusual in the rest.

    Sampled cross-covariances may be indefinite; that is reported, not refused.

    Args:
      moments: Any moments; checked outside of compiled code.
      range_tolerance: What fraction of the largest covariance eigenvalue is rounding; ``None`` for
        `default_range_tolerance`. An alignment beyond 1 is refused if a change of both moments by
        this fraction could not explain it.

    Returns:
      `MomentsReport`.

    Raises:
      InputError: NaN, unequal sizes, not square, not symmetric, covariance not positive
        semi-definite, alignment outside [−1, 1], or fewer than 2 images or views.

    Accuracy:
      Decisions are sharp at first order in the tolerance.

    Source:
      Derived: |vᵀMv| ≤ vᵀΣv by Cauchy and Schwarz.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     report = check_moments(Moments(np.eye(2), np.diag([0.5, -0.1])))
      ...     report.rank, report.negative, round(report.most_negative, 12)
      (2, 1, -0.1)
    """
    tolerance = default_range_tolerance(moments) if range_tolerance is None else range_tolerance
    require_float64(
        covariance=moments.covariance, cross_covariance=moments.cross_covariance, mean=moments.mean
    )
    _check_counts(moments)
    dim = _check_dim("covariance", moments.covariance)
    if _check_dim("cross_covariance", moments.cross_covariance) != dim:
        raise InputError(
            f"covariance is {dim} × {dim} but cross_covariance has shape"
            f" {moments.cross_covariance.shape}: give both over the same features"
        )
    _check_optional_shapes(moments, dim)
    report = _check_pair(
        "", np.asarray(moments.covariance), np.asarray(moments.cross_covariance), tolerance
    )
    if moments.half_covariance is not None and moments.half_cross_covariance is not None:
        for half in (0, 1):
            _check_pair(
                f"half {half + 1} of ",
                np.asarray(moments.half_covariance[half]),
                np.asarray(moments.half_cross_covariance[half]),
                tolerance,
            )
    return report


def _check_counts(moments: Moments) -> None:
    for name in ("images", "views"):
        value = getattr(moments, name)
        if value is None:
            continue
        if np.ndim(value) != 0 or not np.isfinite(value) or value < 2 or value != int(value):
            raise InputError(f"{name} is {value:g}, wanted a whole number of at least 2")


def _check_dim(name: str, matrix: Arr) -> int:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise InputError(f"{name} has shape {matrix.shape}, wanted a square matrix (dim, dim)")
    return matrix.shape[0]


def _check_optional_shapes(moments: Moments, dim: int) -> None:
    if (moments.half_covariance is None) != (moments.half_cross_covariance is None):
        raise InputError(
            "only one of half_covariance and half_cross_covariance is given, wanted both or neither"
        )
    wanted = {
        "mean": (dim,),
        "half_covariance": (2, dim, dim),
        "half_cross_covariance": (2, dim, dim),
    }
    for name, shape in wanted.items():
        array = getattr(moments, name)
        if array is None:
            continue
        if array.shape != shape:
            raise InputError(f"{name} has shape {array.shape}, wanted {shape} as the covariance")
        if not np.all(np.isfinite(array)):
            raise InputError(f"{name} holds NaN or infinity, wanted finite numbers")


def _check_pair(
    where: str, covariance: np.ndarray, cross_covariance: np.ndarray, tolerance: float
) -> MomentsReport:
    for name, matrix in (("covariance", covariance), ("cross_covariance", cross_covariance)):
        if not np.all(np.isfinite(matrix)):
            raise InputError(f"{where}{name} holds NaN or infinity, wanted finite numbers")
        largest = np.max(np.abs(matrix))
        asymmetry = np.max(np.abs(matrix - matrix.T))
        if asymmetry > tolerance * largest:
            raise InputError(
                f"{where}{name} is not symmetric: entries differ by {asymmetry / largest:.1e} of"
                f" the largest, wanted at most {tolerance:.0e}; average it with its transpose"
            )
    # In NumPy: nothing here is differentiated, and compiling costs more than small moments do.
    eigenvalues, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    scale = eigenvalues[-1]
    if scale <= 0 or eigenvalues[0] < -tolerance * scale:
        raise InputError(
            f"{where}covariance is not positive semi-definite: eigenvalues from"
            f" {eigenvalues[0]:.3g} to {scale:.3g}; give E[x xᵀ] over views, or a larger range"
            " tolerance if it was rounded"
        )
    inside = eigenvalues > tolerance * scale
    frame = vectors[:, inside] / np.sqrt(eigenvalues[inside])
    values, turns = np.linalg.eigh(0.5 * frame.T @ (cross_covariance + cross_covariance.T) @ frame)
    rank, values, directions = len(values), values[::-1], frame @ turns[:, ::-1]
    slack = tolerance * scale * np.sum(directions**2, axis=0)
    beyond = np.abs(values) - 1.0 > slack
    if np.any(beyond):
        raise InputError(
            f"{where}moments have an alignment of {values[beyond][0]:.6g}, wanted [-1, 1]: the"
            " cross_covariance is too large for the covariance; accumulate both over the same"
            " views, uncentered or centered alike"
        )
    negative = values[values < -slack]
    return MomentsReport(
        rank=rank,
        alignment=values,
        negative=negative.size,
        most_negative=float(min(negative, default=0.0)),
    )
