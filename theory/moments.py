"""Second moments of augmented views: accumulated, merged, checked, and their noise."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.alignment import alignment
from theory.arrays import Arr, Matrix, require_float64
from theory.errors import InputError


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True)
class Moments:
    """Raw second moments of exactly what the next layer receives; never centered afterwards.

    Attributes:
      covariance: Σ = E[x xᵀ] over augmented views, ``(dim, dim)``.
      cross_covariance: M = E[x x⁺ᵀ] over positive pairs, ``(dim, dim)``, symmetric.
      mean: E[x], ``(dim,)``.
      images: Number of images sampled; ``None`` for population moments.
      views: Number of views of each image.
      half_covariance: Σ of two disjoint halves of the images, ``(2, dim, dim)``.
      half_cross_covariance: M of the same halves, ``(2, dim, dim)``.
    """

    covariance: Arr
    cross_covariance: Arr
    mean: Arr | None = None
    images: Arr | int | float | None = None
    views: Arr | int | float | None = None
    half_covariance: Arr | None = None
    half_cross_covariance: Arr | None = None

    def tree_flatten(self):
        """The fields, in order."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self)), None

    @classmethod
    def tree_unflatten(cls, _, fields):
        """Without the constructor: JAX also fills trees with things that are not arrays."""
        moments = object.__new__(cls)
        for field, value in zip(dataclasses.fields(cls), fields, strict=True):
            object.__setattr__(moments, field.name, value)
        return moments


def _covariances(views: Float[Arr, "images views dim"]) -> tuple[Matrix, Matrix]:
    images, count, _ = views.shape
    sums = jnp.sum(views, axis=1)
    covariance = jnp.einsum("ivd,ive->de", views, views) / (images * count)
    pairs = sums.T @ sums / (images * count) - covariance
    return covariance, pairs / (count - 1)


def moments_from_views(views: Float[Arr, "images views dim"]) -> Moments:
    r"""Sample moments over all :math:`V(V-1)` ordered pairs of views of each image.

    With :math:`m_i = \sum_v x_{iv}`: :math:`\hat\Sigma = \sum x x^\top / nV` and
    :math:`\hat M = (\sum_i m_i m_i^\top - nV\hat\Sigma) / (nV(V-1))`. The two halves are the even
    and the odd images.

    Args:
      views: Views of each image, in the units of the data; at least 2 images and 2 views.

    Returns:
      `Moments` with every field filled.

    Raises:
      InputError: Fewer than 2 images or views, or views not float64.

    Accuracy:
      Both moments are unbiased; the error of an entry falls as 1/√images. The cross-covariance is
      not positive: its alignments reach down to −1/(V − 1).

    Source:
      Derived: the pairs of a sum of views, less the diagonal.

    Example:
      Two views that only ever agree up to sign are not aligned at all:

      >>> with jax.enable_x64(True):
      ...     moments = moments_from_views(jnp.array([[[1.0], [1.0]], [[1.0], [-1.0]]]))
      ...     float(moments.covariance[0, 0]), float(moments.cross_covariance[0, 0])
      (1.0, 0.0)
    """
    require_float64(views=views)
    images, count, _ = views.shape
    if images < 2 or count < 2:
        raise InputError(
            f"views hold {images} images with {count} views each, wanted at least 2 of both:"
            " moments of pairs and of two halves need them"
        )
    covariance, cross_covariance = _covariances(views)
    halves = [_covariances(views[start::2]) for start in (0, 1)]
    return Moments(
        covariance=covariance,
        cross_covariance=cross_covariance,
        mean=jnp.mean(views, axis=(0, 1)),
        images=images,
        views=count,
        half_covariance=jnp.stack([half[0] for half in halves]),
        half_cross_covariance=jnp.stack([half[1] for half in halves]),
    )


def merge_moments(first: Moments, second: Moments) -> Moments:
    """Moments of two disjoint samples of images together.

    Each field is the mean weighted by images; halves are merged half by half, which weighs an odd
    image up by O(1/images). Merging is associative up to rounding.

    Args:
      first: Moments of one sample, with its number of images.
      second: Moments of the other, with as many views an image.

    Returns:
      `Moments`; optional fields that only one side has are dropped.

    Raises:
      InputError: Numbers of images unknown, or sizes or numbers of views that differ.

    Accuracy:
      Exact, apart from the halves of odd samples.

    Source:
      Derived: means of means.

    Example:
      >>> with jax.enable_x64(True):
      ...     one = Moments(jnp.eye(1), jnp.zeros((1, 1)), images=1, views=2)
      ...     three = Moments(jnp.zeros((1, 1)), jnp.eye(1), images=3, views=2)
      ...     merge_moments(one, three).covariance.item()
      0.25
    """
    if first.images is None or second.images is None:
        raise InputError("moments without a number of images cannot be merged: give images")
    if first.covariance.shape != second.covariance.shape:
        raise InputError(
            f"moments of sizes {first.covariance.shape[0]} and {second.covariance.shape[0]} cannot"
            " be merged: accumulate both over the same layer"
        )
    if first.views is None or second.views is None or int(first.views) != int(second.views):
        raise InputError(
            f"moments over {first.views} and {second.views} views an image cannot be merged:"
            " accumulate both with the same number of views"
        )
    total = first.images + second.images
    weight = first.images / total

    def mean(name: str):
        one, other = getattr(first, name), getattr(second, name)
        return None if one is None or other is None else weight * one + (1.0 - weight) * other

    return Moments(
        covariance=mean("covariance"),
        cross_covariance=mean("cross_covariance"),
        mean=mean("mean"),
        images=total,
        views=first.views,
        half_covariance=mean("half_covariance"),
        half_cross_covariance=mean("half_cross_covariance"),
    )


def default_range_tolerance(moments: Moments) -> float:
    """1e-6 for sampled moments, which devices accumulate in float32; 1e-10 for exact ones."""
    return 1e-10 if moments.images is None else 1e-6


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
      >>> with jax.enable_x64(True):
      ...     report = check_moments(Moments(jnp.eye(2), jnp.diag(jnp.array([0.5, -0.1]))))
      ...     report.rank, report.negative, round(report.most_negative, 12)
      (2, 1, -0.1)
    """
    tolerance = default_range_tolerance(moments) if range_tolerance is None else range_tolerance
    require_float64(
        covariance=moments.covariance, cross_covariance=moments.cross_covariance, mean=moments.mean
    )
    _check_counts(moments)
    dim = _checked_dim("covariance", moments.covariance)
    if _checked_dim("cross_covariance", moments.cross_covariance) != dim:
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
            raise InputError(f"{name} is {value}, wanted a whole number of at least 2")


def _checked_dim(name: str, matrix: Arr) -> int:
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
    eigenvalues = np.linalg.eigvalsh(0.5 * (covariance + covariance.T))
    scale = eigenvalues[-1]
    if scale <= 0 or eigenvalues[0] < -tolerance * scale:
        raise InputError(
            f"{where}covariance is not positive semi-definite: eigenvalues from"
            f" {eigenvalues[0]:.3g} to {scale:.3g}; give E[x xᵀ] over views, or a larger range"
            " tolerance if it was rounded"
        )
    found = alignment(covariance, cross_covariance, range_tolerance=tolerance)
    rank = int(found.rank)
    values, directions = np.asarray(found.values)[:rank], np.asarray(found.directions)[:, :rank]
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
