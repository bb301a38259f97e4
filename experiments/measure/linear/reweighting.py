"""A linear layer trained under the fixed head diag(κ^−(i−1)), from a small start."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from theory.dynamics.descent import descend
from theory.layers.reweighting import reweighted_weights, reweighting_scales
from theory.losses.quadratic import QuadraticLoss, quadratic_value, spectral_loss

SQUARES = (1.0, 0.7, 0.5, 0.3, 0.15)
"""s², eigenvalues of the end-to-end optimum."""
START = 1e-4
LEARNING_RATE = 0.02


def descend_under_head(ratio: float, seed: int, steps: int) -> Float[np.ndarray, " modes"]:
    """Return the weights of the features before the head, strongest first, by gradient descent.

    The covariance is the identity, the cross-covariance has the eigenvalues `SQUARES` in a random
    frame; the loss is the spectral one of the whole map.

    Args:
      ratio: κ.
      seed: Of frame and start.
      steps: Without momentum, which speeds weak modes up more, so that coordinates would mix.
    """
    rng = np.random.default_rng(seed)
    modes = len(SQUARES)
    frame = np.linalg.qr(rng.normal(size=(modes, modes)))[0]
    start = jnp.asarray(START * rng.normal(size=(modes, modes)))
    head = jnp.diag(jnp.asarray(reweighting_scales(modes, ratio)))
    loss = spectral_loss(jnp.eye(modes), jnp.asarray((frame * np.array(SQUARES)) @ frame.T))
    (path,) = descend(Partial(_value, loss, head), (start,), LEARNING_RATE, steps)
    return np.linalg.norm(np.asarray(path[-1]) @ frame, axis=0)


def weights_errors(ratio: float, seed: int, steps: int) -> dict[str, float]:
    """Return the RMS log error of three guesses at those weights, by variant.

    `theory` is s_i κ^{i−1}; the rivals are the singular values s_i of the end-to-end map, and
    their square roots, which an unfrozen layer would have.

    Args:
      ratio: κ.
      seed: Of frame and start.
      steps: Of descent.
    """
    measured = np.log(descend_under_head(ratio, seed, steps))
    singular = np.sqrt(np.array(SQUARES))
    guesses = {
        "theory": np.asarray(reweighted_weights(jnp.asarray(singular), ratio))[0],
        "rival:s": singular,
        "rival:sqrt_s": np.sqrt(singular),
    }
    return {
        name: float(np.sqrt(np.mean((np.log(guess) - measured) ** 2)))
        for name, guess in guesses.items()
    }


def _value(loss: QuadraticLoss, head: Array, weight: Array) -> Array:
    embedding = head @ weight
    return jnp.asarray(quadratic_value(loss, embedding.T @ embedding))
