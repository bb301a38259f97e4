"""Any number of views of each image: the one place that says which views are paired.

Views are stacked as (batch, views, dim), the views of an image beside each other, so that with the
batch divided over devices no row leaves its device. Losses that compare rows (NT-Xent, SupCon) see
all batch x views rows at once; every other loss of two views becomes its mean over pairs of views.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError

ViewStack = Float[Array, "batch views dim"]


def check_stack(views: Array, *, least: int) -> None:
    """Refuse what is not a (batch, views, dim) array with at least so many views."""
    if views.ndim != 3 or views.shape[1] < least or not views.shape[0]:
        raise UsageError(
            f"views of shape {views.shape} given; give a (batch, views, dim) array with at least "
            f"{least} view{'s' * (least > 1)} of each image"
        )


def stack_pair(first: Float[Array, "batch dim"], second: Float[Array, "batch dim"]) -> ViewStack:
    """Return two views as one stack."""
    return jnp.stack([first, second], axis=1)


def mean_over_pairs(
    loss: Callable[..., Float[Array, ""]], *stacks: ViewStack, **options: Any
) -> Float[Array, ""]:
    r"""Return the mean of a two-view loss over all pairs of different views.

    .. math:: \frac{2}{V(V-1)}\sum_{v<w} \ell(z_v, z_w),

    for V = 2 the loss itself. A loss that is symmetric in its views is thereby averaged over all
    ordered pairs; a one-sided one (`ssljax.losses.info_nce`) has the earlier view as its anchor.

    Args:
      loss: ``loss(first, second, ...)``; of several stacks it receives the two views of the
        first, then the two of the next one, as `ssljax.losses.byol` does.
      stacks: Embeddings (batch, views, dim), at least two views, as many in each stack.
      options: Passed on to the loss.

    Returns:
      The mean.

    Raises:
      UsageError: There are fewer than two views, or what the loss refuses.
    """
    for stack in stacks:
        check_stack(stack, least=2)
    pairs = list(itertools.combinations(range(stacks[0].shape[1]), 2))
    values = [
        loss(*(stack[:, view] for stack in stacks for view in pair), **options) for pair in pairs
    ]
    return values[0] if len(values) == 1 else jnp.mean(jnp.stack(values))


def agreement_with_other_views(rows: Float[Array, "rows dim"], views: int) -> Float[Array, "rows"]:
    """Return for each row its mean inner product with the other views of its image.

    Args:
      rows: batch x views rows, the views of an image beside each other.
      views: Views of each image, at least 2.
    """
    grouped = rows.reshape(-1, views, rows.shape[-1])
    if views == 2:  # the exchanged pair, and not a roll, which XLA differentiates otherwise
        return jnp.sum(rows * grouped[:, ::-1].reshape(rows.shape), axis=1)
    others = [jnp.roll(grouped, -shift, axis=1).reshape(rows.shape) for shift in range(1, views)]
    return jnp.mean(jnp.stack([jnp.sum(rows * other, axis=1) for other in others]), axis=0)


def mean_not_below_zero(
    normalizers: Float[Array, "rows"], positives: Float[Array, "rows"]
) -> Float[Array, ""]:
    """Return the mean over rows of normalizer minus positive, which mathematics bounds by zero.

    Both are of size 1 / temperature and rounded differently: without the bound a pair in perfect
    agreement has a loss of about -1e-7 / temperature. The gradient is that of the difference.
    """
    difference = normalizers - positives
    rounding = jax.lax.stop_gradient(jnp.maximum(difference, 0) - difference)
    return jnp.mean(difference + rounding)
