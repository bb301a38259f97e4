"""Schedules, optimizers and averages of weights, made of optax's gradient transformations.

Weight decay comes in two kinds, and every function says which. *Coupled* decay adds λW to the
gradient before momentum or any rescaling: it is the gradient of (λ/2)‖W‖² and the only kind
the theory speaks of. *Decoupled* decay (SGDW, AdamW, LAMB) is added after them.

What optax has is used where its numbers are these: `optax.sgd` and `optax.adamw` with masked decay
agree bit for bit. Ours stay where they are not, measured with optax 0.2.8: its warm-up with a
cosine differs by up to 1e-6 of the rate, which would change the last digits of every run; its
LARS and LAMB take the trust ratio in the parameters' own type, LARS has no clipped form and LAMB
rescales biases (7 % of the weights after 20 steps); its decay has one λ for all parts.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ssljax.system.arrays import Array, Float, PyTree
from ssljax.system.errors import UsageError

Schedule = Callable[[Any], Any]
Decay = float | Schedule | Mapping[str, float | Schedule]


def constant(value: float) -> Schedule:
    """Return a schedule of the same value at every step."""
    return lambda step: value


def warmup_cosine(
    peak: float, num_steps: int, warmup_steps: int = 0, final_fraction: float = 0.0
) -> Schedule:
    r"""Return a linear warm-up from zero, then a cosine down to a fraction of the peak.

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
    """Return for each array whether weight decay acts on it: those named ``kernel``, or all.

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
    """Add λW to each update; before momentum that is coupled L2, after it decoupled decay.

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
    """Refuse a momentum outside [0, 1)."""
    if not 0 <= momentum < 1:
        raise UsageError(f"momentum {momentum} given; it must be at least 0 and below 1")


def sgd(
    learning_rate: Schedule,
    momentum: float = 0.0,
    weight_decay: Decay = 0.0,
    *,
    nesterov: bool = False,
    decoupled: bool = False,
    decay_all: bool = False,
) -> optax.GradientTransformation:
    """Return stochastic gradient descent with heavy-ball momentum and weight decay.

    Coupled: ``g ← ∂loss/∂W + λ(t) W``, ``v ← momentum v + g``, ``W ← W − learning_rate(t) v``.
    With momentum 0 and a constant λ this is gradient descent on loss + (λ/2) Σ‖W‖². Decoupled
    (SGDW): ``v ← momentum v + ∂loss/∂W``, ``W ← W − learning_rate(t) (v + λ(t) W)``. Nesterov:
    ``momentum v + gradient`` in place of v in the last.

    Args:
      learning_rate: Function of the step.
      momentum: In [0, 1).
      weight_decay: λ; see `add_weight_decay`.
      nesterov: Use Nesterov's form.
      decoupled: Add the decay after momentum; it is multiplied by the learning rate even so.
      decay_all: Decay biases and norm scales too (default: kernels only).

    Returns:
      The optax transformation.

    Source:
      Loshchilov, Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019, for the decoupled
      form; multiplied by the learning rate itself, as in their AdamW as commonly implemented.
    """
    check_momentum(momentum)
    decay = add_weight_decay(weight_decay, decay_all=decay_all)
    accumulate = optax.trace(momentum, nesterov) if momentum else optax.identity()
    order = (accumulate, decay) if decoupled else (decay, accumulate)
    return optax.chain(*order, optax.scale_by_learning_rate(learning_rate))


def adam(
    learning_rate: Schedule,
    weight_decay: Decay = 0.0,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    decoupled: bool = False,
    decay_all: bool = False,
) -> optax.GradientTransformation:
    """Return Adam with weight decay.

    Coupled: ``g ← ∂loss/∂W + λ(t) W``, ``W ← W − learning_rate(t) m̂ / (√v̂ + eps)`` with
    bias-corrected moments m̂, v̂ of g, the gradient of loss + (λ/2) Σ‖W‖². Decoupled (AdamW):
    ``W ← W − learning_rate(t) (m̂ / (√v̂ + eps) + λ(t) W)`` with the moments of ∂loss/∂W.

    Args:
      learning_rate: Function of the step.
      weight_decay: λ; see `add_weight_decay`.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      eps: Added to the root of the second moment.
      decoupled: Add the decay after the rescaling; it is multiplied by the learning rate even so.
      decay_all: Decay biases and norm scales too (default: kernels only).

    Returns:
      The optax transformation.

    Source:
      Kingma, Ba, *Adam*, ICLR 2015; Loshchilov, Hutter, *Decoupled Weight Decay Regularization*,
      ICLR 2019.
    """
    decay = add_weight_decay(weight_decay, decay_all=decay_all)
    rescale = optax.scale_by_adam(b1=b1, b2=b2, eps=eps)
    order = (rescale, decay) if decoupled else (decay, rescale)
    return optax.chain(*order, optax.scale_by_learning_rate(learning_rate))


class TrustRatioState(NamedTuple):
    """Number of updates made so far."""

    step: jax.Array


def scale_kernels_by_trust_ratio(
    coefficient: float = 1.0, *, largest_rate: Schedule | None = None
) -> optax.GradientTransformation:
    """Multiply the update u of each kernel W by ``coefficient ‖W‖ / ‖u‖``.

    Biases and norm scales pass unchanged. A ratio with a zero norm is 1. Norms are taken in at
    least float32 over the whole array.

    Args:
      coefficient: Factor on every ratio.
      largest_rate: If given, a function r of the step: the ratio becomes
        ``min(ratio / r(step), 1)``, so that times the learning rate r it never exceeds r.

    Returns:
      A transformation whose ``update`` needs the parameters.
    """

    def init(params):
        del params
        return TrustRatioState(jnp.zeros([], jnp.int32))

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("a trust ratio needs the parameters: update(grads, state, params)")

        def scaled(update, param, is_kernel):
            if not is_kernel:
                return update
            wide = jnp.promote_types(update.dtype, jnp.float32)
            length, change = (jnp.linalg.norm(x.astype(wide).ravel()) for x in (param, update))
            defined = (length > 0) & (change > 0)
            ratio = coefficient * length / jnp.where(defined, change, 1.0)
            if largest_rate is not None:
                ratio = jnp.minimum(ratio / largest_rate(state.step), 1.0)
            return (update * jnp.where(defined, ratio, 1.0)).astype(update.dtype)

        changed = jax.tree.map(scaled, updates, params, is_decayed(params))
        return changed, TrustRatioState(jnp.asarray(optax.safe_increment(state.step)))

    return optax.GradientTransformation(init, update)


def lars(
    learning_rate: Schedule,
    momentum: float = 0.9,
    weight_decay: Decay = 0.0,
    *,
    trust_coefficient: float = 1e-3,
    clip: bool = False,
) -> optax.GradientTransformation:
    """Return SGD with layer-wise trust ratios: large batches at one learning rate.

    For kernels ``g ← ∂loss/∂W + λ(t) W`` (coupled decay), ``u = c ‖W‖ / ‖g‖ · g``; for biases
    and norm scales ``u = ∂loss/∂W``: neither decay nor ratio. Then
    ``v ← momentum v + learning_rate(t) u`` and ``W ← W − v``.

    Args:
      learning_rate: Function of the step.
      momentum: In [0, 1).
      weight_decay: λ, coupled; see `add_weight_decay`.
      trust_coefficient: c: .001 in ImageNet recipes; .02 with ``clip`` in common CIFAR ones.
      clip: Use ``min(c ‖W‖ / ‖g‖, learning_rate)`` as a kernel's rate instead of the product.

    Returns:
      The optax transformation.

    Source:
      You, Gitman, Ginsburg, *Large Batch Training of Convolutional Networks*, 2017; learning
      rate inside the momentum and the exclusions as in the published code of SimCLR and BYOL.
    """
    check_momentum(momentum)
    return optax.chain(
        add_weight_decay(weight_decay),
        scale_kernels_by_trust_ratio(
            trust_coefficient, largest_rate=learning_rate if clip else None
        ),
        optax.scale_by_learning_rate(learning_rate),
        optax.trace(momentum),
    )


def lamb(
    learning_rate: Schedule,
    weight_decay: Decay = 0.0,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
) -> optax.GradientTransformation:
    """Return AdamW with layer-wise trust ratios.

    ``u = m̂ / (√v̂ + eps) + λ(t) W`` (decoupled decay), for kernels times ``‖W‖ / ‖u‖``;
    ``W ← W − learning_rate(t) u``. Biases and norm scales get neither decay nor ratio.

    Args:
      learning_rate: Function of the step.
      weight_decay: λ, decoupled; see `add_weight_decay`.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      eps: Added to the root of the second moment.

    Returns:
      The optax transformation.

    Source:
      You et al., *Large Batch Optimization for Deep Learning: Training BERT in 76 minutes*,
      ICLR 2020, algorithm 2 with φ the identity.
    """
    return optax.chain(
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps),
        add_weight_decay(weight_decay),
        scale_kernels_by_trust_ratio(),
        optax.scale_by_learning_rate(learning_rate),
    )


def moving_average(average: PyTree, params: PyTree, decay: float | Float[Array, ""]) -> PyTree:
    """Return ``decay * average + (1 - decay) * params`` leaf by leaf, in the average's type."""
    return jax.tree.map(lambda a, p: (a + (1 - decay) * (p - a)).astype(a.dtype), average, params)


def byol_decay(base: float, num_steps: int) -> Schedule:
    r"""Return the decay of BYOL's target, from ``base`` at step 0 to 1 at the end.

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
