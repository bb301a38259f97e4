"""Descent on the diagonal network: the flow's course, its closed-form end, complete rows."""

import dataclasses

import jax
import numpy as np

from experiments.core.measurements import Run, make_table
from experiments.measure import diagonal
from experiments.measure.subject import Subject
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from experiments.tools.listing import find_missing
from experiments.tools.registry import EXPERIMENTS
from experiments.xue.absence import END_BOUND


def take_steps_slowly(start, sizes, retentions, time, rate):
    """Gradient descent written from the equations, while one half of the activation is shut."""
    first, threshold, second = start
    for _ in range(round(time / rate)):
        inner = first * sizes - threshold
        output = second * inner
        slope = 4 * output * (retentions - output**2) * rate
        first, threshold, second = (
            first + slope * second * sizes,
            threshold - slope * second,
            second + slope * inner,
        )
    return np.stack([first, threshold, second])


def test_descent_is_that_of_the_equations():
    with jax.enable_x64(True):
        ends = diagonal.descend_from_random_starts(0, 20.0)
    early = take_steps_slowly(ends.start, ends.sizes, ends.retentions, 10.0, 0.001)
    expected = take_steps_slowly(early, ends.sizes, ends.retentions, 10.0, 0.01)
    np.testing.assert_allclose(ends.end, expected, rtol=1e-9)
    assert np.abs(ends.start - expected).max() > 0.5


def test_flow_is_the_limit_of_small_steps(monkeypatch):
    missed = []
    for rate in (0.001, 0.0005):
        monkeypatch.setattr(diagonal, "EARLY_RATE", rate)
        with jax.enable_x64(True):
            ends = diagonal.descend_from_random_starts(0, 10.0)
        missed.append(np.abs(ends.end - ends.flowed)[:, ends.valid].max())
        assert np.abs(ends.end - ends.predicted).max() > 0.1
    assert missed[0] < END_BOUND
    assert 1.8 < missed[0] / missed[1] < 2.2


def test_features_end_where_the_closed_form_says():
    with jax.enable_x64(True):
        ends = diagonal.descend_from_random_starts(1, 3_000.0)
        kept = diagonal.output_amplitudes(ends.end, ends.sizes) ** 2
        linear = diagonal.output_amplitudes(ends.linear, ends.sizes) ** 2
    assert ends.valid.all()
    assert len(ends.sizes) == 36
    # h² = ρ at the end; what is disrupted goes like 1/time.
    np.testing.assert_allclose(kept, ends.retentions, atol=2e-3)
    np.testing.assert_allclose(linear, ends.retentions, atol=2e-3)
    np.testing.assert_allclose(ends.end, ends.predicted, atol=0.04)
    np.testing.assert_allclose(ends.end, ends.flowed, atol=END_BOUND)
    before = ends.end[0] * ends.sizes
    assert before[ends.retentions == 0].min() > 0.1
    # Without threshold w₁² − w₂² does not change, so unbalanced starts keep something, too.
    difference, at_start = ends.linear[0] ** 2 - ends.linear[2] ** 2, ends.start
    np.testing.assert_allclose(difference, at_start[0] ** 2 - at_start[2] ** 2, atol=0.01)


def test_rows_are_complete_and_keyed_on_the_seed():
    size = dataclasses.replace(SIZES["smoke"])
    found = {}
    for seed in (0, 1):
        subject = Subject("diagonal", seed, TRAININGS["diagonal"], size, _no_images)
        rows = tuple(diagonal.measure_diagonal(subject))
        table = make_table(rows, [Run("diagonal", seed, "smoke")])
        assert find_missing("diagonal", seed, table, EXPERIMENTS) == ()
        found[seed] = [row.value for row in rows]
    assert np.all(np.array(found[0]) != np.array(found[1]))


def _no_images(task):
    raise AssertionError(f"a model asked for images of {task}")
