"""Networks given by their layers: end-to-end map, layer Grams and balance."""

import functools
import itertools

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Grams, compiled, require_float64
from theory.linalg.errors import InputError
from theory.linalg.powers import psd_power

Weights = tuple[Float[Arr, "_ _"], ...]
WeightPaths = tuple[Float[Arr, "times _ _"], ...]

# Eigenvalues of a measured Gram below this fraction of its largest are rounding.
_RANGE = 1e-12


def check_chain(weights: Weights) -> None:
    """Refuse layers that cannot follow each other."""
    for index, (lower, upper) in enumerate(itertools.pairwise(weights)):
        if upper.shape[1] != lower.shape[0]:
            raise InputError(
                f"weights[{index + 1}] has {upper.shape[1]} columns but weights[{index}] has"
                f" {lower.shape[0]} rows: give W_1 first, each W_l as (width_l, width_(l-1))"
            )


def end_to_end_map(weights: Weights) -> Float[Arr, "out dim"]:
    """Return the product W_L…W_1 of layers given first to last."""
    return functools.reduce(lambda product, weight: weight @ product, weights)


@compiled()
def chain_layer_grams(weights: Weights) -> Grams:
    """Return the layer Grams (W_l…W_1)ᵀ(W_l…W_1), l = 1..L, of layers W_l, each (out, in)."""
    require_float64(**{f"weight {index + 1}": weight for index, weight in enumerate(weights)})
    check_chain(weights)
    product = jnp.asarray(weights[0])
    grams = [product.T @ product]
    for weight in weights[1:]:
        product = jnp.asarray(weight) @ product
        grams.append(product.T @ product)
    return jnp.stack(grams)


@compiled()
def balance_residuals(weights: Weights) -> Float[Arr, " boundaries"]:
    r"""Return how far adjacent linear layers are from balance, relative to their size.

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


def gram_chain(grams: Grams) -> Weights:
    r"""Return layers that have the given layer Grams, the narrowest such network.

    With P_l = G_l^{1/2}: W_1 = G_1^{1/2} and :math:`W_{l+1} = G_{l+1}^{1/2} G_l^{-1/2}` on the
    range of G_l. The Grams of this chain are the given ones, and any chain with these Grams whose
    layers read nothing but what the layers below deliver is a rotation of it: balance residuals,
    exponents and distances agree.

    Args:
      grams: Layer Grams G_1..G_L of one network, positive semi-definite.

    Returns:
      W_1..W_L, (dim, dim).

    Raises:
      InputError: The Grams are not float64, or a layer keeps a direction that an earlier one has
        dropped, as no network does.

    Accuracy:
      Machine precision times the condition of each Gram on its range.

    Source:
      Derived: P_lᵀP_l determines P_l up to a rotation from the left.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     half = jnp.diag(jnp.array([0.5, 0.1]))
      ...     chain = gram_chain(jnp.stack([half, half @ half]))
      ...     bool(balance_residuals(chain)[0] < 1e-14)
      True
    """
    require_float64(grams=grams)
    grams = jnp.asarray(grams)
    weights, below = [], None
    for gram in grams:
        root = psd_power(gram, 0.5, tolerance=_RANGE)
        weights.append(root if below is None else root @ below)
        below = psd_power(gram, -0.5, tolerance=_RANGE)
    missed = jnp.max(jnp.abs(chain_layer_grams(tuple(weights)) - grams), axis=(1, 2))
    wrong = jnp.nonzero(missed > 1e-6 * jnp.max(jnp.abs(grams), axis=(1, 2)))[0]
    if wrong.size:
        raise InputError(
            f"layer {int(wrong[0]) + 1} is no Gram of a layer above the one before: it is not"
            " positive semi-definite, or keeps directions that were dropped before; give Grams"
            " (W_l…W_1)ᵀ(W_l…W_1) of one network, first layer first"
        )
    return tuple(weights)
