"""Chains of linear layers: their Grams and how balanced they are."""

import itertools

import jax.numpy as jnp
from jaxtyping import Float

from theory.arrays import Arr, Grams, require_float64
from theory.network import Weights, check_chain


def chain_layer_grams(weights: Weights) -> Grams:
    """Layer Grams (W_l…W_1)ᵀ(W_l…W_1), l = 1..L, of linear layers W_l of shape (out, in)."""
    require_float64(**{f"weight {index + 1}": weight for index, weight in enumerate(weights)})
    check_chain(weights)
    product = jnp.asarray(weights[0])
    grams = [product.T @ product]
    for weight in weights[1:]:
        product = jnp.asarray(weight) @ product
        grams.append(product.T @ product)
    return jnp.stack(grams)


def balance_residuals(weights: Weights) -> Float[Arr, " boundaries"]:
    r"""Relative violation of balance between adjacent linear layers.

    :math:`2\lVert W_{l+1}^\top W_{l+1} - W_l W_l^\top\rVert_F /
    (\lVert W_{l+1}^\top W_{l+1}\rVert_F + \lVert W_l W_l^\top\rVert_F)`. The layer law needs it to
    be small; exponents near l/L have been seen without it.

    Args:
      weights: W_1..W_L, each (out, in), at least one.

    Returns:
      One number in [0, 2] per boundary, shape (L - 1,); the residual is their maximum.

    Raises:
      InputError: Layers that cannot follow each other, or not float64.

    Accuracy:
      Exact; nan between two layers that are both zero.

    Source:
      Derived; balance is the conserved quantity of gradient flow in linear chains.

    Example:
      Moving a factor between two layers keeps the function and breaks the balance:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     one = jnp.eye(2)
      ...     print(balance_residuals((one, one)), balance_residuals((2 * one, 0.5 * one)).round(2))
      [0.] [1.76]
    """
    require_float64(**{f"weight {index + 1}": weight for index, weight in enumerate(weights)})
    check_chain(weights)
    residuals = []
    for lower, upper in itertools.pairwise(weights):
        incoming, outgoing = jnp.asarray(lower) @ lower.T, jnp.asarray(upper).T @ upper
        size = jnp.linalg.norm(incoming) + jnp.linalg.norm(outgoing)
        residuals.append(2.0 * jnp.linalg.norm(outgoing - incoming) / size)
    return jnp.stack(residuals) if residuals else jnp.zeros(0)
