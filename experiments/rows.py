"""Rows of kinds that many claims share: a small error, a monotone trend, a bound kept."""

from collections.abc import Sequence

import numpy as np

from experiments.results import Row


def spread_of(values: Sequence[float] | np.ndarray) -> float:
    """Half the range over seeds; 0 for one seed."""
    values = np.asarray(values, float)
    if values.size < 2 or not np.all(np.isfinite(values)):
        return 0.0
    return float(np.max(values) - np.min(values)) / 2


def error_row(
    number: int,
    claim: str,
    source: str,
    errors: Sequence[float] | np.ndarray,
    null: float | None,
    tolerance: float,
) -> Row:
    """An error that should be small: its mean over seeds, with half their range as spread.

    Args:
      number: The claim's number.
      claim: Its text.
      source: Where it comes from.
      errors: One per seed, >= 0.
      null: The same error of the best null.
      tolerance: Largest error accepted.

    Returns:
      The row, with 0 as prediction.
    """
    mean = float(np.mean(errors))
    return Row(number, claim, source, 0.0, mean, mean, null, tolerance, spread_of(errors))


def monotone_row(number: int, claim: str, source: str, taus: Sequence[float]) -> Row:
    """A trend that should be monotone: Kendall's tau with 1 as prediction, 0 as null.

    Args:
      number: The claim's number.
      claim: Its text.
      source: Where it comes from.
      taus: Kendall's tau of each seed.

    Returns:
      The row; accepted up to 1 - tau = 0.3.
    """
    errors = 1.0 - np.array(taus)
    return Row(
        id=number,
        claim=claim,
        source=source,
        predicted=1.0,
        measured=float(np.mean(taus)),
        error=float(np.mean(errors)),
        null=1.0,
        tolerance=0.3,
        spread=spread_of(errors),
    )


def bound_row(
    number: int,
    claim: str,
    source: str,
    bound: float,
    values: Sequence[float] | np.ndarray,
    *,
    null: float | None = None,
    tolerance: float = 0.0,
) -> Row:
    """A number that should be at least as large as a bound: the error is what it falls short.

    Args:
      number: The claim's number.
      claim: Its text.
      source: Where it comes from.
      bound: Least value expected.
      values: One per seed.
      null: What a null would fall short.
      tolerance: Shortfall accepted.

    Returns:
      The row, with the bound as prediction.
    """
    shortfall = np.maximum(bound - np.asarray(values, float), 0.0)
    return Row(
        number,
        claim,
        source,
        bound,
        float(np.mean(values)),
        float(np.mean(shortfall)),
        null,
        tolerance,
        spread_of(shortfall),
    )


def kendall(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's tau-a of two sequences; NaN pairs are left out.

    Example:
      >>> kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])).__round__(3)
      0.333
    """
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    count = len(first)
    if count < 2:
        return float("nan")
    signs = np.sign(first[:, None] - first[None]) * np.sign(second[:, None] - second[None])
    return float(np.sum(signs)) / (count * (count - 1))
