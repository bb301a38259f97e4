"""Each loss of the quadratic family against its definition, and where its modes end."""

import jax
import numpy as np
import pytest
import scipy.optimize

from tests import reference
from theory.linalg.errors import InputError
from theory.losses.family import barlow, infonce, make_loss, spectral, vicreg
from theory.losses.quadratic import quadratic_value
from theory.moments.moments import Moments
from theory.optimum.decay import decayed_optimum
from theory.optimum.quadratic import quadratic_optimum, valley_dimension


@pytest.fixture
def moments():
    return reference.random_moments(np.random.default_rng(0), 6)


@pytest.fixture
def weight():
    return np.random.default_rng(1).normal(size=(4, 6))


def test_losses_equal_their_definitions_in_terms_of_the_weights(moments, weight):
    covariance, cross_covariance = moments
    gram = weight.T @ weight
    output = weight @ covariance @ weight.T
    shared = weight @ cross_covariance @ weight.T
    pairs = 2 * np.trace(output - shared)  # E‖f(x) − f(x⁺)‖²
    cases = [
        (vicreg(Moments(*moments), 1.7), np.sum((output - np.eye(4)) ** 2) - 4 + 1.7 * pairs),
        (barlow(Moments(*moments)), np.sum((shared - np.eye(4)) ** 2) - 4),
        (
            infonce(Moments(*moments), 0.3),
            -np.trace(shared) / 0.3 + np.sum(output**2) / (2 * 0.3**2),
        ),
        (spectral(Moments(*moments)), reference.spectral_loss_of_weight(weight, *moments)),
    ]
    for loss, expected in cases:
        assert abs(quadratic_value(loss, gram) - expected) < 1e-12 * abs(expected)


def test_gaussian_infonce_is_half_the_spectral_loss_of_the_cooled_gram(moments, weight):
    gram = weight.T @ weight
    cooled = quadratic_value(spectral(Moments(*moments)), gram / 0.3)
    warm = quadratic_value(infonce(Moments(*moments), 0.3), gram)
    assert abs(warm - 0.5 * cooled) < 1e-12 * abs(warm)


def test_gaussian_infonce_is_the_limit_of_sampled_infonce(moments):
    covariance, cross_covariance = moments
    rng = np.random.default_rng(2)
    weight, temperature = 0.3 * rng.normal(size=(3, 6)), 1.0
    joint = np.block([[covariance, cross_covariance], [cross_covariance, covariance]])
    errors = []
    for anchors, negatives in ((4000, 400), (4000, 6400)):
        pairs = rng.multivariate_normal(np.zeros(12), joint, size=anchors)
        first, second = pairs[:, :6] @ weight.T, pairs[:, 6:] @ weight.T
        others = rng.multivariate_normal(np.zeros(6), covariance, size=negatives) @ weight.T
        logits = first @ others.T / temperature
        partition = np.log(np.mean(np.exp(logits), axis=1))
        sampled = np.mean(partition - np.sum(first * second, axis=1) / temperature)
        gram = weight.T @ weight
        errors.append(abs(sampled - quadratic_value(infonce(Moments(*moments), 1.0), gram)))
    assert errors[1] < 0.05


def test_modes_end_where_each_loss_says(moments):
    covariance, cross_covariance = moments
    inverse, root = reference.power(covariance, -0.5), reference.power(covariance, 0.5)
    alignments = np.linalg.eigvalsh(inverse @ cross_covariance @ inverse)[::-1]

    def ends(loss):
        gram = np.asarray(quadratic_optimum(loss).gram)
        return np.linalg.eigvalsh(root @ gram @ root)[::-1]

    np.testing.assert_allclose(
        ends(vicreg(Moments(*moments), 2.0)), np.maximum(1 - 2 * (1 - alignments), 0), atol=1e-12
    )
    np.testing.assert_allclose(ends(infonce(Moments(*moments), 0.2)), 0.2 * alignments, atol=1e-12)
    np.testing.assert_allclose(ends(vicreg(Moments(*moments), 1.0)), alignments, atol=1e-12)


@pytest.mark.parametrize("weight_decay", [0.1, 0.5, 1.0])
def test_decay_of_one_layer_keeps_what_inertia_says_and_is_the_minimum(moments, weight_decay):
    loss = spectral(Moments(*moments))
    optimum = decayed_optimum(loss, weight_decay=weight_decay, depth=1)
    expected = np.sum(np.linalg.eigvalsh(moments[1]) > weight_decay / 4)
    assert int(optimum.active) == expected
    assert 0 < expected < 6

    def value(flat):
        weight = flat.reshape(6, 6)
        output = weight @ moments[0] @ weight.T
        slope = 4 * (output @ weight @ moments[0] - weight @ moments[1]) + weight_decay * weight
        loss = reference.spectral_loss_of_weight(weight, *moments)
        return loss + 0.5 * weight_decay * np.sum(weight**2), slope.ravel()

    start = np.random.default_rng(3).normal(size=36)
    found = scipy.optimize.minimize(value, start, jac=True, method="BFGS", options={"gtol": 1e-10})
    assert abs(found.fun - optimum.loss) < 1e-9


def test_barlow_twins_end_at_the_inverse_and_reach_any_subspace_when_narrow(moments):
    cross_covariance = moments[1]
    loss = barlow(Moments(*moments))
    whole = quadratic_optimum(loss, rank=6)
    np.testing.assert_allclose(whole.gram, np.linalg.inv(cross_covariance), rtol=1e-9)
    assert int(valley_dimension(loss)) == int(valley_dimension(loss, rank=6)) == 0
    narrow = quadratic_optimum(loss, rank=2)
    assert int(valley_dimension(loss, rank=2)) == 2 * 4
    assert abs(narrow.loss + 2) < 1e-12
    values, vectors = np.linalg.eigh(cross_covariance)
    np.testing.assert_allclose(
        narrow.gram, (vectors[:, -2:] / values[-2:]) @ vectors[:, -2:].T, rtol=1e-9, atol=1e-12
    )
    # The weakest modes do as well: the loss does not choose.
    other = (vectors[:, :2] / values[:2]) @ vectors[:, :2].T
    assert abs(quadratic_value(loss, other) - narrow.loss) < 1e-10


def test_barlow_descent_from_smaller_starts_comes_nearer_to_the_top_subspace():
    shared = np.diag([1.0, 0.7, 0.5])
    rng = np.random.default_rng(4)
    start = rng.normal(size=(1, 3))
    affinities = []
    for scale in (0.3, 0.03, 0.003):
        weight = scale * start
        for _ in range(4000):
            weight = weight + 0.02 * 4 * (1 - weight @ shared @ weight.T) * (weight @ shared)
        affinities.append(weight[0, 0] ** 2 / np.sum(weight**2))
    assert affinities[0] < affinities[1] < affinities[2]
    expected = quadratic_optimum(barlow(Moments(np.eye(3), shared)), rank=1).gram
    np.testing.assert_allclose(expected, np.diag([1.0, 0.0, 0.0]), atol=1e-14)


def test_losses_compile_and_differentiate_in_their_parameters(moments):
    @jax.jit
    def loss_of(invariance_weight):
        return quadratic_optimum(vicreg(Moments(*moments), invariance_weight)).loss

    step = 1e-6
    expected = (loss_of(1.5 + step) - loss_of(1.5 - step)) / (2 * step)
    assert abs(jax.grad(loss_of)(1.5) - expected) < 1e-7 * abs(expected)


def test_a_loss_is_made_by_name_with_its_own_parameter_and_no_other(moments):
    for name, parameter in (("vicreg", "invariance_weight"), ("infonce", "temperature")):
        made = make_loss(name, Moments(*moments), **{parameter: 0.7})
        direct = {"vicreg": vicreg, "infonce": infonce}[name](Moments(*moments), 0.7)
        np.testing.assert_array_equal(made.linear, direct.linear)
        with pytest.raises(InputError, match=f"needs {parameter}"):
            make_loss(name, Moments(*moments))
        with pytest.raises(InputError, match=f"does not take {parameter}"):
            make_loss("spectral", Moments(*moments), **{parameter: 0.7})
    with pytest.raises(InputError, match="wanted one of spectral"):
        make_loss("simclr", Moments(*moments))
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="above 0"):
            infonce(Moments(*moments), wrong)
    assert np.isnan(jax.jit(lambda x: infonce(Moments(*moments), x).linear)(-1.0)).all()


def test_the_tolerance_of_the_range_is_that_of_the_moments(moments):
    assert spectral(Moments(*moments)).range_tolerance == 1e-10
    assert spectral(Moments(*moments, images=10)).range_tolerance == 1e-6
    assert spectral(Moments(*moments), range_tolerance=1e-3).range_tolerance == 1e-3
