"""Null hypotheses N1 to N8: what a head would look like if the layer law meant nothing.

Each returns layer Grams (or moments) to be held against the measurement like the prediction. A
null that keeps the function of the whole head says nothing about the last layer and returns the
hidden layers only. The null N4, the untrained head, is `theory.layers.chain.chain_layer_grams` of
its weights.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from theory.comparison.metrics import (
    Basis,
    active_modes,
    active_subspace,
)
from theory.layers.chain import Weights, chain_layer_grams
from theory.linalg.arrays import Arr, Grams, Matrix, Scalar, Vector, compiled, require_float64
from theory.linalg.errors import InputError
from theory.linalg.powers import fractional_gram

HiddenGrams = Float[Arr, "hidden dim dim"]
NullGrams = Float[Arr, "layers dim dim"]


@compiled()
def rotation_null(key: Key[Array, ""], grams: Grams, basis: Basis) -> Grams:
    """Return null N1: the same eigenvalues in random directions of the active subspace.

    Args:
      key: Typed random key.
      grams: Predicted layer Grams.
      basis: Orthonormal columns of `active_subspace`.

    Returns:
      Grams on the subspace, all rotated by one Haar-random rotation; zero outside it.

    Accuracy:
      Exact; one draw, so average the distance over keys where its spread matters.

    Source:
      Derived.

    Example:
      >>> from theory.linalg.spectral import symmetric_eigenvalues
      >>> with jax.enable_x64(True):
      ...     gram = jnp.diag(jnp.array([3.0, 1.0]))[None]
      ...     null = rotation_null(jax.random.key(0), gram, jnp.eye(2))
      ...     print(symmetric_eigenvalues(null[0]).round(6), bool(abs(null[0, 0, 1]) > 0.1))
      [3. 1.] True
    """
    require_float64(grams=grams, basis=basis)
    basis = jnp.asarray(basis)
    rotation = jax.random.orthogonal(key, basis.shape[1], dtype=basis.dtype)
    turned = basis @ rotation
    return jax.vmap(lambda gram: turned @ (basis.T @ gram @ basis) @ turned.T)(jnp.asarray(grams))


@compiled()
def gauged_weights(key: Key[Array, ""], weights: Weights) -> Weights:
    """Return weights of the same function after a random change of basis of every hidden layer.

    W_l becomes G_l W_l G_{l-1}^{-1} with the entries of G_l normal, variance 1 / width.

    Args:
      key: Typed random key.
      weights: W_1..W_L, (out, in).

    Returns:
      Weights of the same shapes and the same product.
    """
    require_float64(**{f"weight {index + 1}": weight for index, weight in enumerate(weights)})
    gauged = [jnp.asarray(weight) for weight in weights]
    for index, subkey in enumerate(jax.random.split(key, len(weights))[:-1]):
        width = gauged[index].shape[0]
        gauge = jax.random.normal(subkey, (width, width), float) / jnp.sqrt(width)
        gauged[index] = gauge @ gauged[index]
        gauged[index + 1] = jnp.linalg.solve(gauge.T, gauged[index + 1].T).T
    return tuple(gauged)


def gauge_null(key: Key[Array, ""], weights: Weights) -> HiddenGrams:
    """Return null N2: hidden layers of a network with the same function and random gauge.

    The null that the layer law actually excludes: W_1 → G W_1, W_2 → W_2 G^-1 and so on.

    Args:
      key: Typed random key.
      weights: W_1..W_L (out, in), measured or `balanced_weights` of the prediction.

    Returns:
      Grams of layers 1..L-1; the last layer's would be unchanged.

    Accuracy:
      Exact; a square normal G is badly conditioned, its Gram is not used.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     print(gauge_null(jax.random.key(0), (jnp.eye(3), jnp.eye(3))).shape)
      (1, 3, 3)
    """
    return chain_layer_grams(gauged_weights(key, weights))[:-1]


@compiled("depth")
def balanced_weights(gram: Matrix, depth: int) -> tuple[Matrix, ...]:
    """Return L balanced layers with a given end-to-end Gram: all G^{1/(2L)}, symmetric."""
    return (fractional_gram(gram, 0.5 / depth),) * depth


@compiled()
def isotropic_null(grams: Grams, basis: Basis) -> Grams:
    """Return null N3: every direction of the active subspace alike, at the matched log-mean.

    Its distance to the Grams it is matched to is the spread of their log eigenvalues: below .3
    a comparison has no power.

    Args:
      grams: Layer Grams to match; the measured ones make the null hardest to beat.
      basis: Orthonormal columns of `active_subspace`.

    Returns:
      c_l BBᵀ with log c_l the mean log eigenvalue of G_l on the basis.

    Accuracy:
      Exact; zero or nan where a Gram is singular on the basis.

    Source:
      Derived: the log-mean minimizes the Riemannian distance over multiples of the identity.

    Example:
      >>> with jax.enable_x64(True):
      ...     print(isotropic_null(jnp.diag(jnp.array([4.0, 1.0]))[None], jnp.eye(2))[0, 0, 0])
      2.0
    """
    require_float64(grams=grams, basis=basis)
    basis = jnp.asarray(basis)

    def matched(gram):
        _, log_determinant = jnp.linalg.slogdet(basis.T @ gram @ basis)
        return jnp.exp(log_determinant / basis.shape[1]) * (basis @ basis.T)

    return jax.vmap(matched)(jnp.asarray(grams))


def shuffled_pairs_null(
    covariance: Matrix, mean: Vector | None = None, *, noise_floor: float | Scalar = 0.0
) -> Matrix:
    """Return null N7: the cross-covariance of views paired at random.

    Pairs of different images share nothing but the mean; what a sample of them still shows is
    the noise floor, taken equal in every direction.

    Args:
      covariance: Σ = E[x xᵀ].
      mean: E[x]; None for centered features.
      noise_floor: Alignment that sampling alone produces, in [0, 1), as from
        `theory.moments.alignment.noise_floor`; 0 for the population.

    Returns:
      M of the null, to be solved like a measured one: floor Σ + (1 - floor) mean meanᵀ.

    Accuracy:
      Exact at floor 0; the floor bounds what sampled shuffled pairs show.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     print(shuffled_pairs_null(jnp.eye(2), noise_floor=0.05).diagonal())
      [0.05 0.05]
    """
    require_float64(covariance=covariance, mean=mean)
    shared = (
        0.0
        if mean is None
        else (1.0 - noise_floor) * jnp.outer(jnp.asarray(mean), jnp.asarray(mean))
    )
    return noise_floor * jnp.asarray(covariance) + shared


@compiled("depth", "wrong_depth")
def wrong_depth_null(gram: Matrix, depth: int, wrong_depth: int) -> HiddenGrams:
    """Return null N8: hidden layers of a network of another depth, G^{l/L'} for l < L.

    Args:
      gram: Predicted end-to-end Gram.
      depth: L, the true depth.
      wrong_depth: L', usually L ± 1, at least 1.

    Returns:
      Grams of layers 1..L-1: at l = L the law does not depend on L, so it is no null there.

    Raises:
      InputError: The wrong depth is the depth, or below 1.

    Source:
      Derived: the layer law at another depth.

    Example:
      >>> with jax.enable_x64(True):
      ...     print(wrong_depth_null(16.0 * jnp.eye(1), depth=2, wrong_depth=4)[:, 0, 0])
      [2.]
    """
    if wrong_depth == depth or wrong_depth < 1:
        raise InputError(
            f"wrong depth {wrong_depth} for a head of depth {depth}: give another depth, >= 1"
        )
    exponents = jnp.arange(1, depth) / wrong_depth
    return jax.vmap(fractional_gram, in_axes=(None, 0))(jnp.asarray(gram), exponents)


def prediction_nulls(
    key: Key[Array, ""],
    predicted_grams: Grams,
    covariance: Matrix,
    *,
    active_threshold: float = 1e-3,
) -> dict[str, NullGrams]:
    """Return the nulls of the prediction alone: N1, N2, N5, N6 and N8 at L ± 1.

    `theory.comparison.verdict.judge_head` adds the isotropic null; the untrained head and the
    solution of shuffled pairs have to be measured.

    Args:
      key: Typed random key for the rotation and the gauge.
      predicted_grams: Predicted layer Grams.
      covariance: Σ of the features.
      active_threshold: Fraction of the largest n that counts as active.

    Returns:
      Grams by name, of all layers or of the hidden ones.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     half = jnp.diag(jnp.array([1.0, 0.5]))
      ...     grams = jnp.stack([half, half @ half])
      ...     print(sorted(prediction_nulls(jax.random.key(0), grams, jnp.eye(2))))
      ['gauge', 'input', 'post', 'rotation', 'wrong_depth_1', 'wrong_depth_3']
    """
    depth, end = predicted_grams.shape[0], predicted_grams[-1]
    count = int(active_modes(covariance, end, active_threshold))
    rotation_key, gauge_key = jax.random.split(key)
    basis = active_subspace(covariance, end, count)
    nulls = {
        "rotation": rotation_null(rotation_key, predicted_grams, basis),
        # N5: every layer has the spectrum of the input, so each Gram is the identity.
        "input": jnp.broadcast_to(jnp.eye(len(end))[None], predicted_grams.shape),
    }
    if depth > 1:
        nulls["gauge"] = gauge_null(gauge_key, balanced_weights(end, depth))
        # N6: every hidden layer has the Gram of the last one.
        nulls["post"] = jnp.broadcast_to(jnp.asarray(end)[None], (depth - 1, *end.shape))
        for wrong_depth in (depth - 1, depth + 1):
            nulls[f"wrong_depth_{wrong_depth}"] = wrong_depth_null(end, depth, wrong_depth)
    return nulls
