"""Fine classes inside coarse ones: how much of a layer's variance each level holds."""

from typing import NamedTuple

import numpy as np

from experiments.errors import InputError
from ssljax.system.arrays import Float, Int

Covariance = Float[np.ndarray, "dim dim"]


class NestedCovariances(NamedTuple):
    """Covariances that add up to that of all examples, to within the sampling correction.

    Attributes:
      coarse: Of the coarse classes' means.
      fine: Of the fine classes' means around the mean of their coarse class.
      within: Of examples around the mean of their fine class.
      coarse_means: (classes, dim), around the mean of all.
      shares: Share of the examples in each coarse class.
    """

    coarse: Covariance
    fine: Covariance
    within: Covariance
    coarse_means: Float[np.ndarray, "classes dim"]
    shares: Float[np.ndarray, " classes"]


def nested_covariances(
    features: Float[np.ndarray, "n dim"],
    coarse: Int[np.ndarray, " n"],
    fine: Int[np.ndarray, " n"],
) -> NestedCovariances:
    r"""Analysis of variance at two levels, free of the bias of finite classes.

    The scatter of class means holds noise of the examples they are means of. With N examples, F
    fine and C coarse classes and W the unbiased covariance within fine classes, the scatter
    between fine classes around their coarse means carries (F − C) W, that between coarse means
    (C − 1) W; both are subtracted. Classes are taken as fixed, examples as random.

    Args:
      features: One row an example.
      coarse: Coarse class of each.
      fine: Fine class of each; each lies in one coarse class.

    Returns:
      The covariances, float64; small ones may have slightly negative eigenvalues.

    Raises:
      InputError: A fine class lies in two coarse ones, or no class has two examples.
    """
    features = np.asarray(features, np.float64)
    fine_names, fine_rows = np.unique(fine, return_inverse=True)
    coarse_names, coarse_rows = np.unique(coarse, return_inverse=True)
    pairs = np.unique(np.stack([fine_rows, coarse_rows]), axis=1)
    count, num_fine, num_coarse = len(features), len(fine_names), len(coarse_names)
    if pairs.shape[1] != num_fine:
        raise InputError("a fine class lies in two coarse classes; give labels that are nested")
    if count <= num_fine:
        raise InputError(f"{count} examples of {num_fine} fine classes: give two of some class")
    centered = features - np.mean(features, axis=0)
    fine_means, fine_sizes = _means(centered, fine_rows, num_fine)
    coarse_means, coarse_sizes = _means(centered, coarse_rows, num_coarse)
    parent = pairs[1]
    residual = centered - fine_means[fine_rows]
    inside = fine_means - coarse_means[parent]
    within = residual.T @ residual / (count - num_fine)
    between_fine = inside.T @ (fine_sizes[:, None] * inside)
    between_coarse = coarse_means.T @ (coarse_sizes[:, None] * coarse_means)
    return NestedCovariances(
        (between_coarse - (num_coarse - 1) * within) / count,
        (between_fine - (num_fine - num_coarse) * within) / count,
        within,
        coarse_means,
        coarse_sizes / count,
    )


def _means(features, rows, number):
    sizes = np.bincount(rows, minlength=number)
    sums = np.zeros((number, features.shape[1]))
    np.add.at(sums, rows, features)
    return sums / sizes[:, None], sizes


class CollapseShares(NamedTuple):
    """How far a layer has collapsed the coarse classes.

    Attributes:
      inside: Share of its variance inside coarse classes; 0 is collapse.
      fine: Variance between the fine classes of a coarse one, over that between coarse classes.
    """

    inside: float
    fine: float


def collapse_shares(
    covariances: NestedCovariances, gram: Covariance | None = None
) -> CollapseShares:
    """Traces of the three covariances, of a layer itself or behind a linear map of it.

    Args:
      covariances: Of a layer.
      gram: WᵀW of a linear map W after it; by default none.

    Returns:
      The shares.
    """

    def size(covariance: np.ndarray) -> float:
        return float(np.trace(covariance) if gram is None else np.sum(gram * covariance))

    coarse, fine, within = map(size, covariances[:3])
    return CollapseShares((fine + within) / (coarse + fine + within), fine / coarse)
