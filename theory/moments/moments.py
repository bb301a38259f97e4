"""Second moments of augmented views: their type, from samples, and merged."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.linalg.arrays import Arr, Matrix, require_float64
from theory.linalg.checks import is_known
from theory.linalg.errors import InputError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Moments:
    """Raw second moments of exactly what the next layer receives; never centered afterwards.

    A pytree of float64 arrays, numbers of images and views included, so that functions of moments
    can be compiled, mapped and differentiated.

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

    def __post_init__(self):
        # Whole numbers as leaves would forbid `jax.grad`; JAX also fills trees with other objects.
        for name in ("images", "views"):
            value = getattr(self, name)
            if isinstance(value, int):
                object.__setattr__(self, name, np.float64(value))


def _covariances(views: Float[Arr, "images views dim"]) -> tuple[Matrix, Matrix]:
    images, count, _ = views.shape
    sums = jnp.sum(views, axis=1)
    covariance = jnp.einsum("ivd,ive->de", views, views) / (images * count)
    pairs = sums.T @ sums / (images * count) - covariance
    return covariance, pairs / (count - 1)


def moments_from_views(views: Float[Arr, "images views dim"]) -> Moments:
    r"""Return the sample moments over all :math:`V(V-1)` ordered pairs of views of each image.

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
    """Return the moments of two disjoint samples of images together.

    Each field is the mean weighted by images; halves are merged half by half, which weighs an odd
    image up by O(1/images). Merging is associative up to rounding.

    Args:
      first: Moments of one sample, with its number of images.
      second: Moments of the other, with as many views an image.

    Returns:
      `Moments`; optional fields that only one side has are dropped.

    Raises:
      InputError: Not float64; numbers of images unknown; sizes or numbers of views that differ.

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
    require_float64(
        covariance=first.covariance,
        cross_covariance=first.cross_covariance,
        **{"second covariance": second.covariance},
    )
    if first.images is None or second.images is None:
        raise InputError("moments without a number of images cannot be merged: give images")
    if first.covariance.shape != second.covariance.shape:
        raise InputError(
            f"moments of sizes {first.covariance.shape[0]} and {second.covariance.shape[0]} cannot"
            " be merged: accumulate both over the same layer"
        )
    known = is_known(first.views, second.views)
    if first.views is None or second.views is None or (known and first.views != second.views):
        raise InputError(
            f"moments over {_format_count(first.views)} and {_format_count(second.views)} views an"
            " image cannot be merged: accumulate both with the same number of views"
        )
    total = first.images + second.images
    weight = first.images / total

    def mean(name: str):
        one, other = getattr(first, name), getattr(second, name)
        return None if one is None or other is None else weight * one + (1.0 - weight) * other

    return Moments(
        covariance=weight * first.covariance + (1.0 - weight) * second.covariance,
        cross_covariance=(
            weight * first.cross_covariance + (1.0 - weight) * second.cross_covariance
        ),
        mean=mean("mean"),
        images=total,
        views=first.views,
        half_covariance=mean("half_covariance"),
        half_cross_covariance=mean("half_cross_covariance"),
    )


def _format_count(count):
    return count if count is None or not is_known(count) else f"{float(count):g}"


def default_range_tolerance(moments: Moments) -> float:
    """Return 1e-6 for sampled moments, accumulated in float32 on devices; 1e-10 for exact ones."""
    return 1e-10 if moments.images is None else 1e-6
