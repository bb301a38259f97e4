"""LARS and LAMB: a trust ratio for each kernel, none for biases and norm scales."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ssljax.training.optimizer import Decay, Schedule, add_weight_decay, check_momentum, is_decayed


class TrustRatioState(NamedTuple):
    """Number of updates made so far."""

    step: jax.Array


def scale_kernels_by_trust_ratio(
    coefficient: float = 1.0, *, largest_rate: Schedule | None = None
) -> optax.GradientTransformation:
    """Multiplies the update u of each kernel W by ``coefficient ‖W‖ / ‖u‖``.

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
    """SGD with layer-wise trust ratios: large batches at one learning rate.

    For kernels ``g ← ∂loss/∂W + λ(t) W`` (coupled decay), ``u = c ‖W‖ / ‖g‖ · g``; for biases
    and norm scales ``u = ∂loss/∂W``: neither decay nor ratio. Then
    ``v ← momentum v + learning_rate(t) u`` and ``W ← W − v``.

    Args:
      learning_rate: Function of the step.
      momentum: In [0, 1).
      weight_decay: λ, coupled; see `ssljax.training.optimizer.add_weight_decay`.
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
    """AdamW with layer-wise trust ratios.

    ``u = m̂ / (√v̂ + eps) + λ(t) W`` (decoupled decay), for kernels times ``‖W‖ / ‖u‖``;
    ``W ← W − learning_rate(t) u``. Biases and norm scales get neither decay nor ratio.

    Args:
      learning_rate: Function of the step.
      weight_decay: λ, decoupled; see `ssljax.training.optimizer.add_weight_decay`.
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
