"""Verdict over several seeds of one head: whether they agree, and on this depth only."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Bool, Float

from theory.comparison.verdict import JointVerdict
from theory.linalg.errors import InputError


class ReplicatedVerdict(NamedTuple):
    """What several heads say together; NumPy.

    Attributes:
      heads: Number of heads.
      exponents: Mean exponent of each layer, (L,).
      low: Lower end of its interval, (L,); NaN for a single head.
      high: Upper end.
      excludes_other_depths: For each hidden layer whether the interval holds neither l/(L-1) nor
        l/(L+1), (L-1,).
      holding: Number of heads whose joint verdict holds.
      verdict: "fails" where any head fails; "holds" where all hold, there are enough of them, and
        every interval excludes the other depths; else "inconclusive".
    """

    heads: int
    exponents: Float[np.ndarray, " depth"]
    low: Float[np.ndarray, " depth"]
    high: Float[np.ndarray, " depth"]
    excludes_other_depths: Bool[np.ndarray, " hidden"]
    holding: int
    verdict: str


def combine_verdicts(
    verdicts: Sequence[JointVerdict], *, level: float = 0.95, min_heads: int = 3
) -> ReplicatedVerdict:
    """Return the verdict over seeds, with an interval for the exponent of every layer.

    A single exponent near l/L may be near l/(L ± 1) too; only its spread over independent heads
    says whether those are excluded.

    Args:
      verdicts: `theory.comparison.verdict.judge_head` of each head; all of one depth L.
      level: Coverage of the intervals, in (0, 1).
      min_heads: Fewest heads that can make the law hold.

    Returns:
      `ReplicatedVerdict`.

    Raises:
      InputError: No head, or heads of several depths.

    Accuracy:
      Student's interval: exact for normal exponents, whatever their number from 2 on.

    Source:
      Student's t for the mean of a few draws.

    Example:
      Three balanced heads with a little noise in their weights:

      >>> import jax, jax.numpy as jnp
      >>> from theory.layers.grams import layer_grams
      >>> from theory.comparison.nulls import balanced_weights
      >>> from theory.comparison.verdict import judge_head
      >>> with jax.enable_x64(True):
      ...     gram = jnp.diag(jnp.array([1.0, 0.4, 0.1]))
      ...     grams, weights = layer_grams(gram, 2), balanced_weights(gram, 2)
      ...     found = []
      ...     for key in jax.random.split(jax.random.key(0), 3):
      ...         noise = 1e-3 * jax.random.normal(key, (3, 3), float)
      ...         heads = tuple(weight + noise for weight in weights)
      ...         found.append(judge_head(grams, heads, jnp.eye(3), {}))
      ...     together = combine_verdicts(found)
      ...     together.verdict, together.excludes_other_depths.tolist()
      ('holds', [True])
    """
    depths = {len(each.agreement.exponents) for each in verdicts}
    if len(depths) != 1:
        raise InputError(
            f"{len(verdicts)} heads of depths {sorted(depths)}: give at least one head, all of one"
            " depth"
        )
    depth, count = depths.pop(), len(verdicts)
    exponents = np.stack([each.agreement.exponents for each in verdicts])
    mean = np.mean(exponents, axis=0)
    half = np.full(depth, np.nan)
    if count > 1:
        quantile = scipy.special.stdtrit(count - 1, 0.5 + 0.5 * level)
        half = quantile * np.std(exponents, axis=0, ddof=1) / np.sqrt(count)
    low, high = mean - half, mean + half
    layers = np.arange(1, depth)
    # Comparisons with NaN are false: a single head excludes nothing.
    excluded = [
        (low[:-1] > layers / other) | (high[:-1] < layers / other)
        for other in (depth - 1, depth + 1)
        if other
    ]
    excludes = np.all(excluded, axis=0)
    holding = sum(each.verdict == "holds" for each in verdicts)
    if any(each.verdict == "fails" for each in verdicts):
        verdict = "fails"
    elif holding == count >= min_heads and np.all(excludes):
        verdict = "holds"
    else:
        verdict = "inconclusive"
    return ReplicatedVerdict(count, mean, low, high, excludes, holding, verdict)
