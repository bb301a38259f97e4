"""Learning-rate schedules and optimizers as optax gradient transformations.

Weight decay comes in two kinds, and every function says which. *Coupled* decay adds λW to the
gradient before momentum or any rescaling: it is the gradient of (λ/2)‖W‖² and the only kind
the theory speaks of. *Decoupled* decay (SGDW, AdamW, LAMB) is added after them.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ssljax.system.errors import UsageError

Schedule = Callable[[Any], Any]
Decay = float | Schedule | Mapping[str, float | Schedule]


def constant(value: float) -> Schedule:
    """The same value at every step."""
    return lambda step: value


def warmup_cosine(
    peak: float, num_steps: int, warmup_steps: int = 0, final_fraction: float = 0.0
) -> Schedule:
    r"""Linear warm-up from zero, then a cosine down to a fraction of the peak.

    Step s < w has rate ``peak s / w``; later steps have

    .. math:: peak\,[f + (1-f)\tfrac12(1 + \cos\pi u)],\quad u = \min(1, (s-w)/(n-w)).

    Args:
      peak: Largest rate, reached at step ``warmup_steps``.
      num_steps: n, steps of the whole run; from step n on the rate stays at its final value.
      warmup_steps: w, at least 0 and below ``num_steps``.
      final_fraction: f in [0, 1], final rate over peak.

    Returns:
      A function of the step, usable inside compiled code.

    Raises:
      UsageError: If one of the numbers is out of range.
    """
    if not 0 <= warmup_steps < num_steps:
        raise UsageError(
            f"{warmup_steps} warm-up steps of {num_steps} steps given; "
            "warm-up must be shorter than the run"
        )
    if not (math.isfinite(peak) and peak >= 0 and 0 <= final_fraction <= 1):
        raise UsageError(
            f"peak {peak} and final fraction {final_fraction} given; "
            "the peak must be finite and >= 0, the fraction between 0 and 1"
        )

    def rate(step):
        step = jnp.asarray(step, jnp.float32)
        done = jnp.clip((step - warmup_steps) / (num_steps - warmup_steps), 0.0, 1.0)
        cosine = final_fraction + (1 - final_fraction) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        return peak * jnp.where(step < warmup_steps, step / max(warmup_steps, 1), cosine)

    return rate


def is_decayed(params: optax.Params, *, decay_all: bool = False) -> optax.Params:
    """For each array, whether weight decay acts on it: those named ``kernel``, or all.

    Biases and the scales of norms are excluded unless ``decay_all``. The kernels of linear
    heads are always decayed, as the theory needs.
    """

    def is_kernel(path, _):
        return decay_all or getattr(path[-1], "key", None) == "kernel"

    return jax.tree_util.tree_map_with_path(is_kernel, params)


class DecayState(NamedTuple):
    """Number of updates made so far; schedules of the decay are functions of it."""

    step: jax.Array


def add_weight_decay(
    weight_decay: Decay, *, decay_all: bool = False
) -> optax.GradientTransformation:
    """Adds λW to each update; before momentum that is coupled L2, after it decoupled decay.

    Args:
      weight_decay: One λ or schedule for all parameters, or a mapping from the subtrees
        ``encoder``, ``head``, ``predictor`` to theirs. With a mapping every subtree of the
        parameters must be named.
      decay_all: Decay biases and norm scales too; see `is_decayed`.

    Returns:
      A transformation whose ``update`` needs the parameters.

    Raises:
      UsageError: If a λ is negative or not finite, or a subtree has none (when first used).
    """
    values = weight_decay.values() if isinstance(weight_decay, Mapping) else [weight_decay]
    for value in values:
        if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
            raise UsageError(f"weight decay {value} given; it must be finite and >= 0")

    def strength(name: str, count):
        if isinstance(weight_decay, Mapping):
            if name not in weight_decay:
                raise UsageError(
                    f"weight decay given for {', '.join(weight_decay)} but the parameters have "
                    f"a subtree {name!r}; name it too (0 for none)"
                )
            value = weight_decay[name]
        else:
            value = weight_decay
        return value(count) if callable(value) else value

    def init(params):
        del params
        return DecayState(jnp.zeros([], jnp.int32))

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("weight decay needs the parameters: update(grads, state, params)")
        decayed = {}
        for name, subtree in updates.items():
            rate = strength(name, state.step)
            decayed[name] = jax.tree.map(
                lambda g, p, on, rate=rate: g + jnp.asarray(rate, g.dtype) * p if on else g,
                subtree,
                params[name],
                is_decayed(params[name], decay_all=decay_all),
            )
        return decayed, DecayState(jnp.asarray(optax.safe_increment(state.step)))

    return optax.GradientTransformation(init, update)


def check_momentum(momentum: float) -> None:
    """Refuses a momentum outside [0, 1)."""
    if not 0 <= momentum < 1:
        raise UsageError(f"momentum {momentum} given; it must be at least 0 and below 1")


def sgd(
    learning_rate: Schedule,
    momentum: float = 0.0,
    weight_decay: Decay = 0.0,
    *,
    nesterov: bool = False,
    decay_all: bool = False,
) -> optax.GradientTransformation:
    """Stochastic gradient descent with heavy-ball momentum and coupled L2.

    ``g ← ∂loss/∂W + λ(t) W``, ``v ← momentum v + g``, ``W ← W − learning_rate(t) v``
    (Nesterov: ``momentum v + g`` in place of v in the last). With momentum 0 and a constant λ
    this is gradient descent on loss + (λ/2) Σ‖W‖².

    Args:
      learning_rate: Function of the step.
      momentum: In [0, 1).
      weight_decay: λ, coupled; see `add_weight_decay`.
      nesterov: Use Nesterov's form.
      decay_all: Decay biases and norm scales too (default: kernels only).

    Returns:
      The optax transformation.
    """
    check_momentum(momentum)
    accumulate = optax.trace(momentum, nesterov) if momentum else optax.identity()
    return optax.chain(
        add_weight_decay(weight_decay, decay_all=decay_all),
        accumulate,
        optax.scale_by_learning_rate(learning_rate),
    )


def sgdw(
    learning_rate: Schedule,
    momentum: float = 0.0,
    weight_decay: Decay = 0.0,
    *,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum and decoupled weight decay.

    ``v ← momentum v + ∂loss/∂W``, ``W ← W − learning_rate(t) (v + λ(t) W)`` (Nesterov:
    ``momentum v + ∂loss/∂W`` in place of v in the last); biases and norm scales are not decayed.

    Args:
      learning_rate: Function of the step.
      momentum: In [0, 1).
      weight_decay: λ, decoupled but multiplied by the learning rate; see `add_weight_decay`.
      nesterov: Use Nesterov's form.

    Returns:
      The optax transformation.

    Source:
      Loshchilov, Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019; the decay is
      multiplied by the learning rate itself, as in their AdamW as commonly implemented.
    """
    check_momentum(momentum)
    return optax.chain(
        optax.trace(momentum, nesterov) if momentum else optax.identity(),
        add_weight_decay(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def adam(
    learning_rate: Schedule,
    weight_decay: Decay = 0.0,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Adam with coupled weight decay: of the gradient of loss + (λ/2) Σ‖W‖².

    ``g ← ∂loss/∂W + λ(t) W``, ``W ← W − learning_rate(t) m̂ / (√v̂ + eps)`` with bias-corrected
    moments m̂, v̂ of g; biases and norm scales are not decayed.

    Args:
      learning_rate: Function of the step.
      weight_decay: λ, coupled; see `add_weight_decay`.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      eps: Added to the root of the second moment.

    Returns:
      The optax transformation.

    Source:
      Kingma, Ba, *Adam*, ICLR 2015.
    """
    return optax.chain(
        add_weight_decay(weight_decay),
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps),
        optax.scale_by_learning_rate(learning_rate),
    )


def adamw(
    learning_rate: Schedule,
    weight_decay: Decay = 0.0,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    decay_all: bool = False,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay.

    ``W ← W − learning_rate(t) (m̂ / (√v̂ + eps) + λ(t) W)`` with bias-corrected moments m̂, v̂.

    Args:
      learning_rate: Function of the step.
      weight_decay: λ, decoupled but multiplied by the learning rate; see `add_weight_decay`.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      eps: Added to the root of the second moment.
      decay_all: Decay biases and norm scales too (default: kernels only).

    Returns:
      The optax transformation.

    Source:
      Loshchilov, Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019.
    """
    return optax.chain(
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps),
        add_weight_decay(weight_decay, decay_all=decay_all),
        optax.scale_by_learning_rate(learning_rate),
    )
