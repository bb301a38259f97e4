"""Where training ends: the optimum of a loss, and what every layer of the network makes of it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from theory.linalg.arrays import Arr, Scalar
from theory.linalg.checks import (
    is_known,
    require_branch,
    require_depth,
    require_rank,
    require_weight_decay,
)
from theory.linalg.powers import leading_power
from theory.linalg.spectral import derivative_from, factor_modes, symmetric_eigenvalues
from theory.losses.quadratic import QuadraticLoss
from theory.optimum.decay import decayed_optimum
from theory.optimum.low_rank import low_rank_layer_spectra, low_rank_optimum
from theory.optimum.quadratic import Optimum, quadratic_optimum


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prediction:
    """Every layer of a balanced linear network at the optimum of its loss; a pytree.

    Attributes:
      factor: End-to-end map F up to a rotation of its outputs, ``(k, dim)`` with k the rank;
        strongest mode first, rows of dropped modes are zero.
      grams: Layer Grams, ``(depth, dim, dim)``; the last is FᵀF.
      weight_spectra: Eigenvalues of the layer Grams, descending, ``(depth, dim)``.
      layer_spectra: Eigenvalues of the covariance of what each layer puts out, descending,
        ``(depth + 1, dim)``; row 0 is the data.
      loss: Value of the loss, with its penalty, ``()``.
      active: Number of modes kept, ``()``.
    """

    factor: Arr
    grams: Arr
    weight_spectra: Arr
    layer_spectra: Arr
    loss: Arr
    active: Arr


def solve(
    loss: QuadraticLoss,
    *,
    depth: int = 2,
    rank: int | None = None,
    weight_decay: float | Scalar = 0.0,
    branch: str = "continued",
) -> Prediction:
    r"""Return the optimum of a quadratic loss and what it makes of each layer.

    Layers are balanced, so that layer l of L has the Gram :math:`G^{l/L}` of the end-to-end
    optimum G, which `theory.optimum.quadratic.quadratic_optimum` gives, and with weight decay
    `theory.optimum.decay.decayed_optimum`.

    Args:
      loss: Made by `theory.losses.family` from moments, or any other quadratic loss.
      depth: Number of layers L, at least 1.
      rank: Narrowest width of the network; ``None`` for no limit.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖², at least 0; a traced negative one gives NaN.
      branch: With weight decay, ``"continued"`` from zero decay or ``"global"`` for the global
        minimum.

    Returns:
      `Prediction`.

    Raises:
      InputError: The loss is not float64, or a depth, rank, weight decay or branch that does not
        exist; a rank above the number of features.

    Accuracy:
      That of the optimum; layers to machine precision from there. Compiles, maps and
      differentiates with respect to the loss (so to moments, temperature, …) and weight decay.
      Derivatives of Grams, loss and FᵀF are exact in every order, also at equal eigenvalues, zeros
      and dropped modes, where the last mode kept and the first dropped one differ. Single entries
      of spectra have them where they are distinct, their sums at equal entries to first order.
      At depth 2 and more a mode of zero alignment that is about to enter has none: its weight rises
      as a root.

    Source:
      Derived: balance makes every layer Gram a power of the first.

    Example:
      How fast does the loss change as views lose what they share? Differentiate:

      >>> from theory.losses.family import spectral
      >>> from theory.moments.moments import Moments
      >>> with jax.enable_x64(True):
      ...     def best_loss(shared):
      ...         return solve(spectral(Moments(jnp.eye(2), shared * jnp.eye(2)))).loss
      ...     prediction = solve(spectral(Moments(jnp.eye(2), 0.25 * jnp.eye(2))))
      ...     print(prediction.weight_spectra[:, 0], jax.grad(best_loss)(0.25))
      [0.5  0.25] -1.0
    """
    optimum = find_optimum(loss, depth=depth, rank=rank, weight_decay=weight_decay, branch=branch)
    return _predict(loss, optimum, depth=depth)


def find_optimum(
    loss: QuadraticLoss,
    *,
    depth: int = 2,
    rank: int | None = None,
    weight_decay: float | Scalar = 0.0,
    branch: str = "continued",
) -> Optimum:
    """Return the end-to-end optimum that `solve` reads the layers from, with the same arguments.

    A narrow network on wide, regular moments without weight decay is solved through its leading
    eigenpairs alone; the Gram of such an optimum is FᵀF.

    Args:
      loss: As in `solve`.
      depth: As in `solve`; matters under weight decay alone.
      rank: As in `solve`.
      weight_decay: As in `solve`.
      branch: As in `solve`.

    Returns:
      `theory.optimum.quadratic.Optimum`.

    Raises:
      InputError: As `solve`.
    """
    dim = loss.quadratic.shape[0]
    require_depth(depth)
    require_rank(rank, dim)
    require_weight_decay(weight_decay)
    require_branch(branch)
    if not is_known(weight_decay) or np.any(np.asarray(weight_decay) > 0.0):
        return decayed_optimum(
            loss, weight_decay=weight_decay, depth=depth, rank=rank, branch=branch
        )
    known = is_known(*jax.tree.leaves(loss)) and loss.name != "barlow"
    if known and rank is not None and 4 * rank < dim and dim > 500:
        spectrum = np.linalg.eigvalsh(loss.quadratic)
        if spectrum[0] > float(loss.range_tolerance) * spectrum[-1]:
            found = low_rank_optimum(loss, rank)
            factor = jnp.asarray(found.factor)
            return Optimum(
                factor.T @ factor, factor, jnp.asarray(found.loss), jnp.asarray(found.active)
            )
    return quadratic_optimum(loss, rank=rank)


@functools.partial(jax.jit, static_argnames=("depth",))
def _predict(loss: QuadraticLoss, optimum: Optimum, *, depth: int) -> Prediction:
    covariance, factor, gram = jnp.asarray(loss.inputs), optimum.factor, optimum.gram
    dim, rank = covariance.shape[0], factor.shape[0]
    fractions = np.arange(1, depth + 1) / depth
    modes = jax.lax.stop_gradient(factor_modes(factor))
    alive = modes.values > 0.0
    powers = jnp.where(alive, modes.values, 1.0)[None, :] ** fractions[:, None]
    sizes = jnp.where(alive[None, :], powers, 0.0)
    grams = jnp.einsum("di,li,ei->lde", modes.vectors, sizes, modes.vectors)
    active = jnp.sum(alive)
    outputs = low_rank_layer_spectra(covariance, factor, depth=depth)
    padding = jnp.zeros((depth, dim - rank))
    data = symmetric_eigenvalues(covariance)[None, :]
    return Prediction(
        factor=factor,
        grams=derivative_from(_layer_grams, grams, gram, fractions, active),
        weight_spectra=jnp.hstack(
            [derivative_from(_weight_spectra, sizes, factor, fractions, active), padding]
        ),
        layer_spectra=jnp.concatenate([data, jnp.hstack([outputs, padding])]),
        loss=optimum.loss,
        active=optimum.active,
    )


def _layer_grams(gram, fractions, active):
    return jax.vmap(leading_power, (None, 0, None))(gram, fractions, active)


def _weight_spectra(factor, fractions, active):
    values = symmetric_eigenvalues(factor @ factor.T)
    alive = jnp.arange(values.shape[0]) < active
    powers = jnp.where(alive, values, 1.0)[None, :] ** fractions[:, None]
    return jnp.where(alive[None, :], powers, 0.0)
