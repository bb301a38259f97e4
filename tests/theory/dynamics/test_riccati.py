"""The matrix closed form of one layer on whitened data."""

import mpmath
import numpy as np
import pytest

from theory.dynamics.flow import quadratic_flow
from theory.dynamics.riccati import whitened_gram_path
from theory.linalg.errors import InputError
from theory.losses.quadratic import spectral_loss

TIMES = np.array([0.0, 0.5, 3.0, 40.0])


def random_problem(dim=4, out=4, seed=0, lowest=-0.2):
    random = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    cross = (basis * np.linspace(0.9, lowest, dim)) @ basis.T
    return 0.5 * (cross + cross.T), 0.3 * random.normal(size=(out, dim))


def riccati_in_fifty_digits(cross, start, time, variance):
    """The formula as it is written, in enough digits."""
    with mpmath.workdps(50 + int(4 * time)):
        weight, generator = mpmath.matrix(start.tolist()), 4 * mpmath.matrix(cross.tolist())
        rates, vectors = mpmath.eigsy(generator)
        grown = vectors * mpmath.diag([mpmath.exp(rate * time) for rate in rates]) * vectors.T
        integrals = [mpmath.expm1(2 * rate * time) / (2 * rate) for rate in rates]
        integral = vectors * mpmath.diag(integrals) * vectors.T
        inner = mpmath.eye(weight.rows) + 8 * variance**2 * weight * integral * weight.T
        gram = grown * weight.T * inner**-1 * weight * grown
        return np.array(gram.tolist(), dtype=float)


@pytest.mark.parametrize(("dim", "out"), [(4, 4), (4, 2), (3, 5)])
@pytest.mark.parametrize("variance", [1.0, 0.5])
def test_closed_form_is_exact_where_the_naive_one_has_no_digits_left(dim, out, variance):
    cross, start = random_problem(dim, out)
    ours = whitened_gram_path(cross, start, TIMES, variance=variance)
    for time, gram in zip(TIMES, ours, strict=True):
        exact = riccati_in_fifty_digits(cross, start, float(time), variance)
        np.testing.assert_allclose(gram, exact, atol=1e-12)


def test_closed_form_is_the_flow():
    cross, start = random_problem(4, 3)
    loss = spectral_loss(0.5 * np.eye(4), cross)
    path = quadratic_flow(loss, start, 1, TIMES[:3])
    ours = whitened_gram_path(cross, start, TIMES[:3], variance=0.5)
    np.testing.assert_allclose(np.swapaxes(path, 1, 2) @ path, ours, atol=1e-9)


def test_infinite_time_is_the_optimum_of_the_rank():
    cross, start = random_problem(4, 2)
    (end,) = whitened_gram_path(cross, start, np.array([1e6]))
    values, vectors = np.linalg.eigh(cross)
    top = (vectors[:, -2:] * values[-2:]) @ vectors[:, -2:].T
    np.testing.assert_allclose(end, top, atol=1e-12)


def test_negative_time_is_refused():
    cross, start = random_problem()
    with pytest.raises(InputError, match="negative"):
        whitened_gram_path(cross, start, np.array([-1.0]))
