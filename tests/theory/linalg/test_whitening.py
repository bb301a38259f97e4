"""Powers of matrices and alignments against SciPy, in their limits, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from tests import reference
from theory.linalg.errors import InputError
from theory.linalg.powers import psd_power
from theory.linalg.spectral import symmetric_eigenvalues
from theory.linalg.whitening import generalized_eigenpairs


@pytest.fixture
def moments():
    return reference.random_moments(np.random.default_rng(0), 8)


def test_alignment_solves_the_generalized_eigenproblem(moments):
    covariance, cross_covariance = moments
    found = generalized_eigenpairs(covariance, cross_covariance)
    expected = scipy.linalg.eigh(cross_covariance, covariance, eigvals_only=True)[::-1]
    np.testing.assert_allclose(found.values, expected, atol=1e-13)
    directions = np.asarray(found.vectors)
    np.testing.assert_allclose(directions.T @ covariance @ directions, np.eye(8), atol=1e-12)
    np.testing.assert_allclose(
        directions.T @ cross_covariance @ directions, np.diag(expected), atol=1e-12
    )
    assert int(found.rank) == 8


def test_alignment_of_embedded_moments_is_that_of_their_range(moments):
    covariance, cross_covariance = moments
    rng = np.random.default_rng(1)
    frame = np.linalg.qr(rng.normal(size=(12, 8)))[0]
    cross_covariance = cross_covariance - 0.5 * covariance  # some alignments negative
    found = generalized_eigenpairs(frame @ covariance @ frame.T, frame @ cross_covariance @ frame.T)
    expected = np.asarray(generalized_eigenpairs(covariance, cross_covariance).values)
    assert int(found.rank) == 8
    np.testing.assert_allclose(found.values, np.append(expected, np.zeros(4)), atol=1e-12)
    outside = np.eye(12) - frame @ frame.T
    np.testing.assert_allclose(outside @ found.vectors, 0.0, atol=1e-12)


def test_alignment_of_strong_directions_does_not_suffer_from_weak_ones():
    rng = np.random.default_rng(2)
    scales = np.geomspace(1.0, 1e-9, 10)
    rotation = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    values = rng.uniform(0.1, 0.9, 10)
    found = generalized_eigenpairs(
        (rotation * scales) @ rotation.T, (rotation * (scales * values)) @ rotation.T
    )
    errors = []
    for index in range(10):
        overlap = np.abs(rotation[:, index] @ np.asarray(found.vectors)) * scales[index] ** 0.5
        errors.append(abs(found.values[np.argmax(overlap)] - values[index]) * scales[index])
    assert max(errors) < 1e-14


@pytest.mark.parametrize("exponent", [-1.0, -0.5, 0.0, 1 / 3, 0.5, 1.0, 2.0])
def test_power_equals_the_eigenvalue_definition_and_multiplies(exponent):
    rng = np.random.default_rng(3)
    factor = rng.normal(size=(4, 6))
    matrix = factor.T @ factor
    result = psd_power(matrix, exponent)
    np.testing.assert_allclose(result, reference.power(matrix, exponent), atol=1e-12)
    np.testing.assert_allclose(result @ psd_power(matrix, 1.0 - exponent), matrix, atol=1e-11)


@pytest.mark.parametrize("exponent", [-0.5, 0.5, 1 / 3])
def test_derivative_of_a_power_is_right_also_between_equal_eigenvalues(exponent):
    rng = np.random.default_rng(4)
    frame = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    matrix = (frame * np.array([2.0, 2.0, 2.0, 1.0, 0.5])) @ frame.T
    direction = rng.normal(size=(5, 5))
    direction = direction + direction.T
    _, tangent = jax.jvp(lambda x: psd_power(x, exponent), (matrix,), (direction,))
    step = 1e-5
    expected = (
        reference.power(matrix + step * direction, exponent)
        - reference.power(matrix - step * direction, exponent)
    ) / (2 * step)
    np.testing.assert_allclose(tangent, expected, atol=1e-8)


def test_derivative_with_respect_to_the_exponent_is_the_logarithm():
    matrix = jnp.diag(jnp.array([4.0, 1.0, 0.0]))
    slope = jax.jacfwd(lambda exponent: psd_power(matrix, exponent))(0.5)
    np.testing.assert_allclose(slope, np.diag([2 * np.log(4), 0.0, 0.0]), atol=1e-14)


def test_eigenvalues_have_a_finite_gradient_where_they_cross():
    gradient = jax.grad(lambda x: jnp.sum(symmetric_eigenvalues(x) ** 2))(jnp.eye(3))
    np.testing.assert_allclose(gradient, 2 * np.eye(3), atol=1e-14)


def test_functions_compile_once_and_map_over_batches(moments):
    covariance, cross_covariance = map(jnp.asarray, moments)
    compiled = jax.jit(generalized_eigenpairs)
    compiled(covariance, cross_covariance)
    doubled = 2.0 * covariance
    with jax.no_tracing():
        compiled(doubled, cross_covariance)
    batch = jax.vmap(generalized_eigenpairs)(
        jnp.stack([covariance, 2.0 * covariance]), jnp.stack([cross_covariance] * 2)
    )
    np.testing.assert_allclose(batch.values[1], batch.values[0] / 2, atol=1e-14)


def test_float32_is_refused_and_names_the_context():
    with pytest.raises(InputError, match="enable_x64"):
        psd_power(np.eye(2, dtype=np.float32), 0.5)
    with jax.enable_x64(False), pytest.raises(InputError, match="enable_x64"):
        generalized_eigenpairs(np.eye(2), np.eye(2))


def test_only_the_symmetric_part_of_a_cross_covariance_counts_also_in_derivatives():
    rng = np.random.default_rng(4)
    covariance, cross_covariance = reference.random_moments(rng, 5)
    skew = rng.standard_normal((5, 5))
    skew = skew - skew.T
    found = generalized_eigenpairs(covariance, cross_covariance)
    moved, slopes = jax.jvp(
        lambda cross: generalized_eigenpairs(covariance, cross)[:2],
        (cross_covariance + skew,),
        (skew,),
    )
    for one, other in zip(moved, found[:2], strict=True):
        np.testing.assert_allclose(np.abs(one), np.abs(other), atol=1e-11)
    for slope in slopes:
        np.testing.assert_allclose(slope, 0.0, atol=1e-12)
