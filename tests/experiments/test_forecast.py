"""Forecasts of a head's course: a head that obeys them, the arithmetic, smoke scale."""

import numpy as np
import pytest

from experiments import forecast
from experiments.cosine_cells import Noise
from experiments.feature_banks import Banks
from experiments.forecast_cells import forecast_head, half_times
from experiments.forecast_rows import course_error, forecast_rows
from experiments.frozen_features import unit_features


def _banks(seed=0, images=600, views=4):
    """Gaussian features of known variances and alignments, turned by a random rotation."""
    rng = np.random.default_rng(seed)
    scales, alignments = np.array([1.0, 0.5, 0.3, 0.2]), np.array([0.9, 0.6, 0.8, 0.5])
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]

    def bank(shared):
        own = rng.normal(size=(images, views, 4))
        drawn = np.sqrt(alignments) * shared[:, None] + np.sqrt(1 - alignments) * own
        return ((np.sqrt(scales) * drawn) @ turn.T).astype(np.float32)

    shared = rng.normal(size=(images, 4))
    return Banks(bank(shared), bank(shared))


@pytest.fixture(scope="module")
def found():
    noise = Noise(0.01, 0.0, 128)
    one = forecast_head(_banks(), 0, noise, depth=2, start=0.25, parts=12, steps=30)
    return [one, one]


def test_a_trained_head_follows_its_forecast(found):
    for one in found[:1]:
        assert course_error(one.predicted, one.measured) < 0.06
        assert course_error(one.shallow, one.measured) > 0.15
        assert course_error(one.shuffled, one.measured) > 0.15
        np.testing.assert_allclose(one.predicted[0], one.scales * 0.25**2, rtol=0.2)
        # The features commute nearly, so the closed form is nearly the flow.
        assert one.commutator < 0.1
        np.testing.assert_allclose(one.commuting, one.predicted, atol=0.1)
        ends = np.sqrt(one.commuting / one.alignments)
        np.testing.assert_allclose(one.curve, ends, atol=1e-8)


def test_rows_know_their_nulls(found):
    rows = forecast_rows(found, 2, "test")
    assert [row.id for row in rows] == [17] * 6
    assert rows[0].null > 0.15
    assert rows[2].null > rows[2].error
    for row in rows:
        assert np.isfinite([row.error, row.tolerance]).all()


def test_half_times_are_linear_between_looks_and_absent_where_they_mean_nothing():
    times = np.array([0.0, 1.0, 2.0])
    sizes = np.array([[0.0, 0.4, 0.0], [0.4, 0.6, 0.1], [0.8, 0.9, 0.2]])
    found = half_times(times, sizes, np.array([0.5, 0.5, 0.5]))
    assert found[0] == pytest.approx(1.25)
    assert np.isnan(found[1:]).all()


def test_unit_features_have_no_mean_and_largest_variance_one():
    banks = _banks(3)
    shifted = Banks(3.0 * banks.settling + 5.0, 3.0 * banks.prediction + 5.0)
    unit = unit_features(shifted)
    flat = unit.settling.reshape(-1, 4).astype(float)
    np.testing.assert_allclose(flat.mean(axis=0), 0.0, atol=1e-5)
    assert np.linalg.eigvalsh(flat.T @ flat / len(flat))[-1] == pytest.approx(1.0, abs=1e-5)
    ratio = unit.prediction.std() / unit.settling.std()
    assert ratio == pytest.approx(banks.prediction.std() / banks.settling.std(), rel=1e-3)


def test_forecast_at_smoke_scale(tmp_path, trained_cache):
    results = forecast.run(tmp_path, "smoke")
    assert {row.id for row in results.rows} == {17}
    assert "a forecast, conditional on the encoder" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "courses.png").stat().st_size > 10_000
