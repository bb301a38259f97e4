"""Training a linear head alone, on features that no longer change.

A head trained together with its encoder for a few hundred steps has neither forgotten its
initialization nor seen one fixed distribution. With the encoder frozen and its features cached,
ten times the steps cost seconds, and the head arrives where theory says it must.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ssljax.arrays import Array, Float, PRNGKeyArray
from ssljax.errors import UsageError
from ssljax.losses import spectral_contrastive

Weights = tuple[Float[Array, "_ _"], ...]


class SettlingPath(NamedTuple):
    """What changes during settling, one value a step.

    Attributes:
      learning_rates: Step sizes, shape (steps,).
      weight_decays: Coupled L2 coefficients X, the gradient adds X W, shape (steps,).
    """

    learning_rates: Float[Array, " steps"]
    weight_decays: Float[Array, " steps"]


def settling_path(
    num_steps: int, *, learning_rate: float, weight_decay: float, overshoot: float = 1.25
) -> SettlingPath:
    """Weight decay from zero, past its final value, and back; the step size falls at the end.

    Modes that died early cannot come back, since with decay the origin is a minimum for depth
    two and more; starting from zero decay lets every mode live that can. The overshoot removes
    those that sit at the edge of their existence, where neither side can say which way they go.

    Args:
      num_steps: Length, >= 20.
      learning_rate: Step size of the first 70 %; a cosine then takes it to 1 %.
      weight_decay: Final coefficient X >= 0: zero for 25 %, up to the overshoot at 50 %, there
        until 60 %, back at X from 65 %.
      overshoot: Largest coefficient as a multiple of the final one, >= 1.

    Returns:
      Both paths, shape (steps,).
    """
    if num_steps < 20:
        raise UsageError(f"num_steps is {num_steps}, settling needs at least 20; give more steps")
    fraction = jnp.arange(num_steps) / num_steps
    decay = jnp.interp(
        fraction,
        jnp.array([0.0, 0.25, 0.5, 0.6, 0.65, 1.0]),
        weight_decay * jnp.array([0.0, 0.0, overshoot, overshoot, 1.0, 1.0]),
    )
    falling = jnp.clip((fraction - 0.7) / 0.3, 0.0, 1.0)
    rate = learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + jnp.cos(jnp.pi * falling)))
    return SettlingPath(rate, decay)


@partial(jax.jit, static_argnames=("batch_size", "momentum"))
def settle_head(
    weights: Weights,
    features: Float[Array, "images views width"],
    key: PRNGKeyArray,
    path: SettlingPath,
    *,
    batch_size: int = 256,
    momentum: float = 0.9,
) -> Weights:
    """A linear head after stochastic gradient descent on cached features.

    Each step draws images with replacement, so that the batch estimates the population of the
    cached features and not of a finite sample without the drawn ones, and two distinct views of
    each. The loss is the spectral contrastive one, unbiased; the decay is coupled L2 before the
    momentum, v <- momentum v + (gradient + X W), W <- W - rate v.

    Args:
      weights: W_1 ... W_L of the head, each (outputs, inputs); the features enter W_1.
      features: Cached features of several views of each image, centered if the loss should not
        spend its first mode on their mean.
      key: Randomness of the batches.
      path: Step sizes and decays.
      batch_size: Images a step.
      momentum: In [0, 1).

    Returns:
      The trained weights, same shapes and precision as given.

    Accuracy:
      Minibatch noise leaves the balance W_{l+1}^T W_{l+1} = W_l W_l^T broken by about
      rate^2 x steps / batch size unless the decay restores it.
    """
    num_images, num_views, _ = features.shape

    def loss(weights: Weights, first: Array, second: Array) -> Array:
        for weight in weights:
            first, second = first @ weight.T, second @ weight.T
        return spectral_contrastive(first, second)

    def step(
        carry: tuple[Weights, Weights], now: tuple[Array, Array, Array]
    ) -> tuple[tuple[Weights, Weights], None]:
        weights, velocity = carry
        number, rate, decay = now
        draw_images, draw_view, draw_offset = jax.random.split(jax.random.fold_in(key, number), 3)
        image = jax.random.randint(draw_images, (batch_size,), 0, num_images)
        view = jax.random.randint(draw_view, (batch_size,), 0, num_views)
        offset = jax.random.randint(draw_offset, (batch_size,), 1, num_views)
        other = (view + offset) % num_views
        gradient = jax.grad(loss)(weights, features[image, view], features[image, other])
        velocity = jax.tree.map(
            lambda v, g, w: momentum * v + (g + decay * w), velocity, gradient, weights
        )
        weights = jax.tree.map(lambda w, v: w - rate * v, weights, velocity)
        return (weights, velocity), None

    start = (weights, jax.tree.map(jnp.zeros_like, weights))
    numbers = jnp.arange(path.learning_rates.shape[0])
    rates = path.learning_rates.astype(features.dtype)
    decays = path.weight_decays.astype(features.dtype)
    (settled, _), _ = jax.lax.scan(step, start, (numbers, rates, decays))
    return settled
