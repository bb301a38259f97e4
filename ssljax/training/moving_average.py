"""Exponential moving average of parameters: BYOL's target network, or weights to evaluate."""

import math

import jax
import jax.numpy as jnp

from ssljax.system.arrays import Array, Float, PyTree
from ssljax.system.errors import UsageError
from ssljax.training.optimizer import Schedule


def moving_average(average: PyTree, params: PyTree, decay: float | Float[Array, ""]) -> PyTree:
    """``decay * average + (1 - decay) * params`` leaf by leaf, each in the average's type."""
    return jax.tree.map(lambda a, p: (a + (1 - decay) * (p - a)).astype(a.dtype), average, params)


def byol_decay(base: float, num_steps: int) -> Schedule:
    r"""Decay of BYOL's target, from ``base`` at step 0 to 1 at the end.

    .. math:: 1 - (1 - \text{base})\,(\cos(\pi s/n) + 1)/2.

    Args:
      base: Decay at the first step, in [0, 1]; published: .996 for 1000 epochs.
      num_steps: n, steps of the whole run.

    Returns:
      A function of the step.

    Raises:
      UsageError: If ``base`` is outside [0, 1].

    Source:
      Grill et al., *Bootstrap Your Own Latent*, NeurIPS 2020, section 3.3.
    """
    if not 0 <= base <= 1:
        raise UsageError(f"decay {base} of the moving average given; it must be in [0, 1]")

    def decay(step):
        done = jnp.clip(jnp.asarray(step, jnp.float32) / num_steps, 0.0, 1.0)
        return 1 - (1 - base) * (jnp.cos(math.pi * done) + 1) / 2

    return decay
