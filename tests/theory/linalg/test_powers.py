"""Divided differences against many digits, and values that users met."""

import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from theory.linalg.checks import require_count, require_number
from theory.linalg.errors import InputError
from theory.linalg.powers import _differences
from theory.linalg.whitening import generalized_eigenpairs


def _exactly(points, exponent):
    points = sorted(mpmath.mpf(float(point)) for point in points)
    order = len(points) - 1
    if points[0] == points[-1]:
        return mpmath.binomial(exponent, order) * points[0] ** (exponent - order)
    rest = _exactly(points[1:], exponent) - _exactly(points[:-1], exponent)
    return rest / (points[-1] - points[0])


@pytest.mark.parametrize("exponent", [0.5, -0.5, 1 / 3, -1.0])
@pytest.mark.parametrize("order", [1, 2])
def test_divided_differences_hold_at_every_distance(exponent, order):
    differences = jax.jit(
        lambda points: _differences(points, jnp.ones(3, bool), jnp.asarray(exponent), order)
    )
    with mpmath.workdps(60):
        for gap in (0.0, 1e-15, 1e-12, 3e-9, 1e-6, 1e-3, 0.09, 0.1, 0.11, 1.0, 1e6):
            points = 1.3 * np.array([1.0, 1.0 + 0.4 * gap, 1.0 + gap])
            table = np.asarray(differences(points))
            for indices in itertools.product(range(3), repeat=order + 1):
                exact = _exactly(points[list(indices)], mpmath.mpf(exponent))
                assert abs(table[indices] / exact - 1) < 1e-13


def test_alignments_move_as_worked_out_by_hand_from_a_whitened_covariance():
    turn, cross = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.5, 0.2], [0.2, 0.3]])

    def values(amount):
        return generalized_eigenpairs(jnp.eye(2) + amount * turn, cross).values

    # The derivative of vᵀMv/vᵀΣv is −a vᵀSv, and the two v of M are perpendicular: vᵀSv = ±2/√5.
    expected = np.array([-1.0, 1.0]) * np.linalg.eigvalsh(cross)[::-1] * 2 / 5**0.5
    np.testing.assert_allclose(expected, [-0.5578, 0.1578], atol=5e-5)
    np.testing.assert_allclose(jax.jacfwd(values)(0.0), expected, atol=1e-13)
    np.testing.assert_allclose(jax.jacrev(values)(0.0), expected, atol=1e-13)


def test_checks_say_what_was_given_and_wanted_and_let_traced_values_pass():
    with pytest.raises(InputError, match=r"views is 2\.5, wanted a whole number of at least 1"):
        require_count("views", 2.5)
    with pytest.raises(InputError, match="path is -1, wanted a finite number of at least 0"):
        require_number("path", np.array([0.0, -1.0]))
    jax.jit(lambda value: require_number("decay", value) or value)(-1.0)
