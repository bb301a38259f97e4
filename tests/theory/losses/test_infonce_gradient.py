"""The gradient identity of InfoNCE against automatic differentiation of the loss itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.linalg.errors import InputError
from theory.losses.infonce_gradient import dot_product_drive, pair_covariances


def euclidean_infonce(weight, first, second, temperature):
    z, other = first @ weight.T, second @ weight.T
    logits = -0.5 * jnp.sum((z[:, None] - other[None]) ** 2, axis=-1) / temperature
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits))


def dot_infonce(weight, first, second, temperature):
    logits = first @ weight.T @ weight @ second.T / temperature
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits))


def views(seed=0, images=12, dim=5):
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((images, dim)) + 1.0
    first, second = (means + 0.5 * rng.standard_normal((images, dim)) for _ in range(2))
    return jnp.asarray(rng.standard_normal((3, dim)) * 0.7), first, second


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_gradient_is_positive_minus_negative_covariance(temperature):
    weight, first, second = views()
    gradient = jax.grad(euclidean_infonce)(weight, first, second, temperature)
    negative, positive = pair_covariances(weight, first, second, temperature)
    np.testing.assert_allclose(-gradient, weight @ (negative - positive) / temperature, atol=1e-12)
    for covariance in (negative, positive):
        assert np.linalg.eigvalsh(covariance).min() > -1e-12


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_dot_product_gradient_is_its_drive(temperature):
    weight, first, second = views(1)
    gradient = jax.grad(dot_infonce)(weight, first, second, temperature)
    drive = dot_product_drive(weight, first, second, temperature)
    np.testing.assert_allclose(-gradient, weight @ drive / temperature, atol=1e-12)


def test_negative_covariance_is_the_weighted_sum_of_its_definition():
    weight, first, second = views(2)
    twin = np.zeros((5, 5))
    for h in first:
        exponents = np.array([-0.5 * np.sum((weight @ (h - other)) ** 2) / 0.3 for other in second])
        shares = np.exp(exponents - exponents.max())
        shares /= shares.sum()
        for share, other in zip(shares, second):
            twin += share * np.outer(h - other, h - other) / len(first)
    np.testing.assert_allclose(
        pair_covariances(weight, first, second, 0.3).negative, twin, atol=1e-12
    )


def test_strong_augmentation_directions_are_driven_out():
    weight, first, second = views(3, images=200)
    second = np.array(second)
    second[:, 0] += 6.0 * np.random.default_rng(4).standard_normal(200)
    negative, positive = pair_covariances(0.1 * weight, first, second, 1.0)
    assert (negative - positive)[0, 0] < 0 < (negative - positive)[1, 1]


def test_identity_compiles_and_refuses_float32():
    weight, first, second = views()
    jax.jit(pair_covariances)(weight, first, second, 0.5)
    with pytest.raises(InputError, match="float32"):
        dot_product_drive(weight, first.astype(np.float32), second, 0.5)
