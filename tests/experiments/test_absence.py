"""Features absent after a head: the diagonal model, rows, and a smoke run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.absence_rows import AbsenceNetworks, network_rows
from experiments.diagonal_descent import diagonal_check, diagonal_courses, symmetrized_amplitude
from experiments.results import read_results


def test_descent_ends_where_the_reference_numbers_say():
    start = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    times = np.array([10.0, 3000.0])
    with jax.enable_x64(True):
        courses = diagonal_courses(
            jnp.asarray(start),
            jnp.array([1.0, 0.5, 1.0]),
            jnp.array([0.0, 0.0, 0.5]),
            times,
            np.zeros(3, bool),
        )
    expected = [[0.5, 0.8, 0.8931], [0.5, 0.4, 0.1069], [0.7071, 0.8944, 0.8995]]
    np.testing.assert_allclose(courses.weights[-1], expected, atol=0.006)
    np.testing.assert_allclose(courses.after[-1], [0.0, 0.0, np.sqrt(0.5)], atol=0.012)


def test_the_activation_is_odd_and_shut_between_its_thresholds():
    weights = jnp.array([[1.0, 1.0, 1.0], [0.3, 0.3, 0.3], [2.0, 2.0, 2.0]])
    found = symmetrized_amplitude(weights, jnp.array([1.0, 0.2, -1.0]))
    np.testing.assert_allclose(found, [1.4, 0.0, -1.4], rtol=1e-6)


def test_the_linear_network_fades_as_the_sixth_root_of_time():
    with jax.enable_x64(True):
        check = diagonal_check(300.0)
    late = check.linear.times >= 30
    # w = (1 + 24 t)^(-1/6), from the flow of w' = -4 w^7.
    np.testing.assert_allclose(
        check.linear.before[late, 0], (1 + 24 * check.linear.times[late]) ** (-1 / 6), rtol=2e-3
    )
    assert check.identity.before[-1, 0] > 0.5
    assert check.identity.after[-1, 0] < 0.03
    assert np.all(check.errors <= check.moved + 0.2)
    np.testing.assert_allclose(check.ends[:, 1:], check.predicted_ends[:, 1:], atol=1e-3)


def _networks(after_split):
    digit = np.array([[[0.9, 0.88], [0.7, after_split]]] * 3)
    background = np.full((3, 2, 2), 0.35)
    return AbsenceNetworks(
        ("all", "nothing shared"),
        digit,
        background,
        np.full((3, 2), 0.5),
        np.full((3, 2), 0.25),
        0.1,
    )


@pytest.mark.parametrize(("after", "verdict"), [(0.15, "holds"), (0.45, "fails")])
def test_absence_is_near_chance_and_not_merely_lower(after, verdict):
    rows = network_rows(_networks(after), "data")
    assert rows[0].verdict == "holds"
    assert rows[1].verdict == verdict
    assert rows[1].measured == pytest.approx(after - 0.1)
    assert [rows[place].verdict for place in (2, 3, 4)] == ["holds"] * 3
    np.testing.assert_allclose(_networks(0.4).retained[0], [0.78 / 0.8, 0.3 / 0.6])


def test_the_smoke_run_writes_a_report(tmp_path, trained_cache):
    assert main(["absence", "--scale", "smoke", "--out", str(tmp_path)]) == 0
    results = read_results(tmp_path / "results.json")
    assert {row.id for row in results.rows} == {3}
    assert len(results.rows) == 9
    assert all(np.isfinite(row.measured) for row in results.rows)
    for name in ("diagonal", "absence"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert jnp.ones(1).dtype == jnp.float32
