"""Cosine against unnormalized: a scale-invariant loss, the equilibrium of noise, smoke scale."""

import numpy as np
import pytest

from experiments import cosine
from experiments.cosine_cells import (
    Course,
    Noise,
    cosine_loss,
    frozen_course,
    frozen_equilibrium,
    imbalance_of,
    plain_descent,
)
from experiments.cosine_rows import imbalance_at
from experiments.noise_equilibrium import equilibrium
from experiments.settled_cells import fresh_head
from ssljax.losses import spectral_contrastive


def _features(seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(300, 1, 8))
    drawn = np.sqrt(0.8) * shared + np.sqrt(0.2) * rng.normal(size=(300, 4, 8))
    return (drawn * np.geomspace(1, 0.3, 8)).astype(np.float32)


def test_decay_balances_the_one_loss_and_not_the_other():
    noise, start = Noise(0.02, 0.2, 128), fresh_head(0, 8, 2)
    ends = {}
    for name, loss in (("spectral", spectral_contrastive), ("cosine", cosine_loss)):
        looks = plain_descent(start, _features(), 0, noise, loss=loss, parts=4, steps=200)
        course = frozen_course(looks, noise, 200)
        assert course.clock[-1] == pytest.approx(0.02 * 0.2 * 800)
        assert course.imbalance[0] == pytest.approx(imbalance_of(start))
        ends[name] = imbalance_at(course, course.clock[-1])
    assert ends["spectral"] < 0.1
    assert ends["cosine"] > 0.4  # moved by noise, not by decay: flow would leave exp(-6)


def test_the_equilibrium_is_exact_for_stationary_gradients():
    rng = np.random.default_rng(1)
    lower, upper = (each @ each.T for each in rng.normal(size=(2, 5, 5)))
    rate, decay = 0.3, 0.05
    mean = np.zeros((5, 5))
    for _ in range(2000):
        mean = (1 - rate * decay) ** 2 * mean + rate**2 * (upper - lower)
    found = equilibrium(
        mean, (lower, upper), (upper, lower), mean,
        learning_rate=rate, weight_decay=decay, num_steps=100,
    )  # fmt: skip
    assert found.measured == pytest.approx(found.predicted, rel=1e-6)
    assert found.cosine == pytest.approx(1.0)
    assert found.swapped == pytest.approx(-1.0)
    assert found.early == pytest.approx(-1.0)
    assert found.flow == pytest.approx(np.exp(-2 * rate * decay * 100) * found.measured, rel=1e-5)


@pytest.mark.slow
def test_gradient_noise_holds_a_cosine_head_where_it_says():
    noise = Noise(0.5, 0.04, 32)
    looks = plain_descent(
        fresh_head(2, 8, 2), _features(2), 2, noise, loss=cosine_loss, parts=20, steps=100
    )
    found = frozen_equilibrium(looks, _features(2), 2, noise, batches=60, steps=100)
    assert found.cosine > 0.7
    assert 0.5 < found.predicted / found.measured < 2


def test_the_share_kept_is_read_between_looks():
    course = Course(np.array([0.0, 2.0]), np.array([0.4, 0.2]))
    assert imbalance_at(course, 1.0) == pytest.approx(0.75)


def test_cosine_at_smoke_scale(tmp_path, trained_cache):
    results = cosine.run(tmp_path, "smoke")
    assert {row.id for row in results.rows} == {18}
    assert len(results.rows) == 9
    assert "scale-invariant" in (tmp_path / "results.json").read_text()
    assert (tmp_path / "imbalance.png").stat().st_size > 10_000
