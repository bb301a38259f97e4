"""A linear layer trained under the fixed head diag(κ^-(i−1)), from a small start."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ssljax.system.arrays import Float
from theory.dynamics.descent import descend
from theory.layers.reweighting import reweighting_scales
from theory.losses.quadratic import quadratic_value, spectral_loss

START = 1e-4
LEARNING_RATE = 0.02


def descended_weights(
    squares: Float[np.ndarray, " modes"], ratio: float, seed: int, num_steps: int
) -> Float[np.ndarray, "two modes"]:
    """Weights of the features before and after the fixed head, by gradient descent.

    The covariance is the identity, the cross-covariance has the given eigenvalues in a random
    frame; the loss is the spectral one of the whole map, the layer starts at random.

    Args:
      squares: s², eigenvalues of the end-to-end optimum.
      ratio: κ.
      seed: Of frame and start.
      num_steps: Steps; momentum would speed weak modes up more, and coordinates would mix.

    Returns:
      Length of each feature's column, strongest feature first, before the head and after it.
    """
    rng = np.random.default_rng(seed)
    modes = len(squares)
    frame = np.linalg.qr(rng.normal(size=(modes, modes)))[0]
    start = START * rng.normal(size=(modes, modes))
    with jax.enable_x64(True):
        head = jnp.diag(jnp.asarray(reweighting_scales(modes, ratio)))
        loss = spectral_loss(jnp.eye(modes), jnp.asarray((frame * squares) @ frame.T))
        (path,) = descend(
            Partial(_value, loss, head),
            (jnp.asarray(start),),
            LEARNING_RATE,
            num_steps,
        )
        layer = np.asarray(path[-1])
        return np.stack([np.linalg.norm(part @ frame, axis=0) for part in (layer, head @ layer)])


def _value(loss: Any, head: Any, weight: Any) -> Any:
    embedding = head @ weight
    return quadratic_value(loss, embedding.T @ embedding)
