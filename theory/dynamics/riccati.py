"""Gradient flow of one layer on whitened data, for any start, as a matrix in closed form."""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Float

from theory.linalg.arrays import Arr, Matrix, Scalar, Times, require_float64
from theory.linalg.errors import InputError


def whitened_gram_path(
    cross_covariance: Matrix,
    initial_weight: Float[Arr, "out dim"],
    times: Times,
    *,
    variance: float | Scalar = 1.0,
) -> Float[Arr, "times dim dim"]:
    r"""Gram of a single layer along flow of the spectral loss when Σ = c·I.

    The start may be unaligned and of any size. With M the cross-covariance, :math:`F = 4M` and
    :math:`W_0` the start, :math:`\dot G = FG + GF - 8 c^2 G^2` is a Riccati equation:

    .. math:: G(t) = e^{Ft} W_0^\top \Big[I + 8 c^2 W_0 \int_0^t e^{2Fs} ds\, W_0^\top\Big]^{-1}
        W_0 e^{Ft}.

    Args:
      cross_covariance: M, symmetric.
      initial_weight: W at time 0, shape ``(out, dim)``; its part on the ``min(out, dim)`` strongest
        directions of M must be invertible, as it is for almost every start.
      times: Flow times, at least 0.
      variance: c, the variance of the whitened data.

    Returns:
      WᵀW at each time, shape ``(times, dim, dim)``.

    Raises:
      InputError: Not float64, or (outside `jit`) a negative time.

    Accuracy:
      About machine precision times the squared condition number of the start on the strongest
      directions, at all times: the growing exponentials are divided out before anything is
      inverted, where the formula as written loses all digits once they reach 1e16.

    Source:
      Derived; the form is that of Oja's flow (Yan, Helmke and Moore) and of Braun et al. 2022 for
      supervised networks. For a general covariance the quadratic term is no Riccati one: use
      `flow.quadratic_flow`.

    Example:
      From a start that mixes both features the stronger one is learned first, then both:

      >>> with jax.enable_x64(True):
      ...     cross, start = jnp.diag(jnp.array([0.9, 0.3])), jnp.array([[1.0, 1.0], [-1.0, 1.0]])
      ...     path = whitened_gram_path(cross, 1e-3 * start, jnp.array([2.0, 500.0]))
      ...     [[round(float(x), 3) for x in jnp.diagonal(gram)] for gram in path]
      [[0.72, 0.0], [0.9, 0.3]]
    """
    require_float64(
        cross_covariance=cross_covariance,
        initial_weight=initial_weight,
        times=times,
        variance=variance,
    )
    if not isinstance(times, Tracer) and bool(jnp.any(jnp.asarray(times) < 0.0)):
        raise InputError("times hold a negative one, flow starts at 0: give times of at least 0")
    return _path(cross_covariance, initial_weight, jnp.asarray(times), variance)


@jax.jit
def _path(cross, weight, times, variance):
    rates, directions = jnp.linalg.eigh(4.0 * cross)
    rates, directions = rates[::-1], directions[:, ::-1]
    turned = weight @ directions
    rank = min(weight.shape)
    strong, weak = turned[:, :rank], turned[:, rank:]
    # W₀ = S [I, X] on the directions, strongest first; only SᵀS and X matter.
    mixing = jnp.linalg.lstsq(strong, weak)[0] if weak.shape[1] else weak[:rank]
    _, upper = jnp.linalg.qr(strong)
    half = jax.scipy.linalg.solve_triangular(upper, jnp.eye(rank), lower=False)

    def gram(time):
        # For growing modes e^{-ft} and ∫e^{2f(s-t)}, for decaying ones e^{ft} and ∫e^{2fs}.
        grows = rates >= 0.0
        shrunk = jnp.exp(-jnp.abs(rates) * time)
        exponent = 2.0 * jnp.abs(rates) * time
        small = exponent < 1e-4
        safe = jnp.where(small, 1.0, exponent)
        ratio = jnp.where(small, 1.0 - exponent / 2.0 + exponent**2 / 6.0, -jnp.expm1(-safe) / safe)
        integral = 8.0 * variance**2 * time * ratio
        down = jnp.where(grows, shrunk, 1.0)[:rank]
        up = jnp.where(grows, 1.0, shrunk)[:rank]
        # Weak over strong: e^{(f_j - f_i)t} <= 1, split so that neither factor overflows.
        relative = jnp.exp(jnp.minimum((rates[None, rank:] - rates[:rank, None]) * time, 0.0))
        weakly = jnp.where(grows[rank:], 1.0, 0.0)[None, :]
        late = relative * up[:, None] * mixing
        early = jnp.exp(-jnp.maximum(rates[:rank], 0.0) * time)[:, None] * mixing
        weighted = (weakly * late + (1.0 - weakly) * early) * jnp.sqrt(integral[rank:])[None, :]
        inner = (down[:, None] * half) @ (down[:, None] * half).T
        inner = inner + jnp.diag(integral[:rank]) + weighted @ weighted.T
        rows = jnp.concatenate([jnp.diag(up), late], axis=1)
        factor = jnp.linalg.cholesky(inner)
        solved = jax.scipy.linalg.solve_triangular(factor, rows, lower=True)
        turned_gram = solved.T @ solved
        return directions @ turned_gram @ directions.T

    return jax.vmap(gram)(times)
