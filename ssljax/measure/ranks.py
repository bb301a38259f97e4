"""Effective ranks of a layer, from the moments of its augmented views: RankMe, LiDAR, α-ReQ."""

from collections.abc import Mapping

import numpy as np

from ssljax.system.arrays import Float

_RANKME_EPSILON = 1e-7
_LIDAR_DELTA = 1e-4
_LIDAR_EPSILON = 1e-8
_RANGE = 1e-10


def layer_ranks(moments: Mapping[str, Float[np.ndarray, "..."]]) -> dict[str, float]:
    """Return the three ranks of one layer.

    Args:
      moments: Raw ``covariance``, ``cross_covariance`` and ``mean``, float64, as
        `ssljax.measure.moments.layer_moments` gives them.

    Returns:
      ``rankme``, ``lidar`` and ``alpha_req``; NaN where a layer is constant.
    """
    covariance, mean = moments["covariance"], moments["mean"]
    cross, square = moments["cross_covariance"], np.outer(mean, mean)
    return {
        "rankme": rankme(covariance),
        "lidar": lidar(cross - square, covariance - cross),
        "alpha_req": alpha_req(covariance - square),
    }


def rankme(covariance: Float[np.ndarray, "dim dim"]) -> float:
    r"""Return RankMe, exp(−Σ p log p) of the shares p = σ / ‖σ‖₁ + 1e-7.

    σ are the singular values of the features as they are, not centered: the roots of the
    eigenvalues of their raw second moment, whatever the number of features.

    Source:
      Garrido et al., *RankMe*, ICML 2023.
    """
    values = np.sqrt(_eigenvalues(covariance))
    return _exponential_entropy(_shares(values) + _RANKME_EPSILON)


def lidar(between: Float[np.ndarray, "dim dim"], within: Float[np.ndarray, "dim dim"]) -> float:
    r"""Return LiDAR, exp(−Σ p log p) of p = λ / ‖λ‖₁ + 1e-8, images as classes.

    λ are the eigenvalues of (Σ_w + δ)^{-½} Σ_b (Σ_w + δ)^{-½} with δ = 1e-4.

    Args:
      between: Σ_b, covariance of the images' mean features: M − E[x] E[x]ᵀ, estimated without
        bias, so that sampling can make small eigenvalues negative: they count as 0. (The paper's
        means of q views add Σ_w / q.)
      within: Σ_w = Σ − M, mean covariance of the views of one image.

    Source:
      Thilak et al., *LiDAR*, ICLR 2024.
    """
    values, vectors = np.linalg.eigh(within)
    whitening = vectors / np.sqrt(np.maximum(values, 0.0) + _LIDAR_DELTA)
    return _exponential_entropy(
        _shares(_eigenvalues(whitening.T @ between @ whitening)) + _LIDAR_EPSILON
    )


def alpha_req(covariance: Float[np.ndarray, "dim dim"]) -> float:
    r"""Return α-ReQ, the exponent of λ_j ∝ j^{-α} for the eigenvalues of the covariance.

    α is minus the slope of the least-squares line through (log j, log λ_j) over all eigenvalues
    above 1e-10 of the largest; fewer than two of them have no slope: NaN.

    Args:
      covariance: Of the centered features.

    Source:
      Agrawal et al., *α-ReQ*, NeurIPS 2022, for the quantity; the range of the fit is ours.
    """
    values = _eigenvalues(covariance)
    values = values[values > _RANGE * values[0]]
    if len(values) < 2:
        return float("nan")
    return float(-np.polyfit(np.log(np.arange(1, len(values) + 1)), np.log(values), 1)[0])


def _eigenvalues(matrix: Float[np.ndarray, "dim dim"]) -> Float[np.ndarray, " dim"]:
    """Return the eigenvalues, descending, with 0 for those below it from rounding or sampling."""
    return np.maximum(np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1], 0.0)


def _shares(values: Float[np.ndarray, " dim"]) -> Float[np.ndarray, " dim"]:
    total = values.sum()
    return values / total if total > 0 else np.full_like(values, np.nan)


def _exponential_entropy(shares: Float[np.ndarray, " dim"]) -> float:
    return float(np.exp(-np.sum(shares * np.log(shares))))
