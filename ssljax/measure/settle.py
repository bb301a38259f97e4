"""Training a linear head alone, on features that no longer change.

A head trained together with its encoder for a few hundred steps has neither forgotten its
initialization nor seen one fixed distribution. With the encoder frozen and its features cached,
ten times the steps cost seconds, and the head arrives where theory says it must.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ssljax.losses import spectral_contrastive
from ssljax.system.arrays import Array, Float, PRNGKeyArray
from ssljax.system.errors import UsageError

Weights = tuple[Float[Array, "..."], ...]
PairLoss = Callable[[Array, Array], Array]


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
    """Return weight decay from zero, past its final value and back, and a step size that falls.

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


@partial(jax.jit, static_argnames=("batch_size", "momentum", "loss", "adaptive"))
@jax.default_matmul_precision("highest")
def settle_head(
    weights: Weights,
    features: Float[Array, "images views width"],
    key: PRNGKeyArray,
    path: SettlingPath,
    *,
    batch_size: int = 256,
    momentum: float = 0.9,
    loss: PairLoss = spectral_contrastive,
    adaptive: bool = False,
) -> Weights:
    """Train a linear head by stochastic gradient descent on cached features.

    Each step draws images with replacement, so that the batch estimates the population of the
    cached features and not of a finite sample without the drawn ones, and two distinct views of
    each. The decay is coupled L2 before the momentum, v <- momentum v + (gradient + X W),
    W <- W - rate v.

    Args:
      weights: W_1 ... W_L of the head, each (outputs, inputs); the features enter W_1.
      features: Cached features of several views of each image, centered if the loss should not
        spend its first mode on their mean.
      key: Randomness of the batches.
      path: Step sizes and decays.
      batch_size: Images a step.
      momentum: In [0, 1). Without it a run can be cut into several calls.
      loss: Of the embeddings of two views; the spectral contrastive one unless given. One function
        object is compiled once.
      adaptive: AdamW in place of momentum descent: the step is Adam's with betas (momentum,
        0.999), the decay decoupled, W <- W - rate (Adam(gradient) + X W). No law of balance holds.

    Returns:
      The trained weights, same shapes and precision as given.

    Accuracy:
      Minibatch noise leaves the balance W_{l+1}^T W_{l+1} = W_l W_l^T broken by about
      rate^2 x steps / batch size unless the decay restores it.
    """
    rule = optax.scale_by_adam(b1=momentum) if adaptive else optax.trace(decay=momentum)

    def step(
        carry: tuple[Weights, optax.OptState], now: tuple[Array, Array, Array]
    ) -> tuple[tuple[Weights, optax.OptState], None]:
        weights, state = carry
        number, rate, decay = now
        drawn = _draw_pairs(jax.random.fold_in(key, number), features, batch_size)
        gradient = jax.grad(_head_loss)(weights, *drawn, loss)
        pull = jax.tree.map(lambda w: decay * w, weights)
        if adaptive:
            direction, state = rule.update(gradient, state)
            direction = optax.tree.add(direction, pull)
        else:
            direction, state = rule.update(optax.tree.add(gradient, pull), state)
        weights = jax.tree.map(lambda w, v: w - rate * v, weights, direction)
        return (weights, state), None

    start = (weights, rule.init(weights))
    numbers = jnp.arange(path.learning_rates.shape[0])
    rates = path.learning_rates.astype(features.dtype)
    decays = path.weight_decays.astype(features.dtype)
    (settled, _), _ = jax.lax.scan(step, start, (numbers, rates, decays))
    return settled


@partial(jax.jit, static_argnames=("batch_size", "batches", "loss"))
@jax.default_matmul_precision("highest")
def head_gradients(
    weights: Weights,
    features: Float[Array, "images views width"],
    key: PRNGKeyArray,
    *,
    batches: int,
    batch_size: int = 256,
    loss: PairLoss = spectral_contrastive,
) -> Weights:
    """Return gradients of a fixed linear head on independent batches of cached features.

    Args:
      weights: W_1 ... W_L, (outputs, inputs).
      features: As for `settle_head`.
      key: Randomness of the batches.
      batches: How many.
      batch_size: Images in each.
      loss: As for `settle_head`.

    Returns:
      For each layer its gradients, (batches, outputs, inputs); weight decay is not in them.
    """

    def gradient(key: PRNGKeyArray) -> Weights:
        return jax.grad(_head_loss)(weights, *_draw_pairs(key, features, batch_size), loss)

    return jax.lax.map(gradient, jax.random.split(key, batches))


def _draw_pairs(
    key: PRNGKeyArray, features: Float[Array, "images views width"], batch_size: int
) -> tuple[Array, Array]:
    """Draw two distinct views of each of some images, drawn with replacement."""
    num_images, num_views, _ = features.shape
    draw_images, draw_view, draw_offset = jax.random.split(key, 3)
    image = jax.random.randint(draw_images, (batch_size,), 0, num_images)
    view = jax.random.randint(draw_view, (batch_size,), 0, num_views)
    offset = jax.random.randint(draw_offset, (batch_size,), 1, num_views)
    return features[image, view], features[image, (view + offset) % num_views]


def _head_loss(weights: Weights, first: Array, second: Array, loss: PairLoss) -> Array:
    for weight in weights:
        first, second = first @ weight.T, second @ weight.T
    return loss(first, second)
