"""Sizes of modes: read along predicted directions, dropped ones counted, heads that settle."""

import jax
import numpy as np
import pytest

from experiments.measure.heads.banks import measure_moments
from experiments.measure.heads.settle import draw_head, settle, sum_decay
from experiments.measure.heads.spectra import (
    Axes,
    count_error,
    gap_share,
    make_axes,
    output_of,
    predict_grams,
    read_along,
    spectrum_error,
)
from tests.experiments.measure.heads.synthetic import draw_banks

LEAST = 1e-3


def plain_axes(alignments):
    width = len(alignments)
    return Axes(np.eye(width), np.diag(alignments), LEAST)


def test_modes_are_read_along_predicted_directions_and_dropped_ones_count_as_the_least():
    axes = plain_axes([1.0, 1.0, 1.0, 1.0])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    predicted = turn @ np.diag([0.9, 0.4, 0.2, 0.0]) @ turn.T
    missing = read_along(predicted, turn @ np.diag([0.9, 0.2, 0.0, 0.0]) @ turn.T, axes)
    np.testing.assert_allclose(missing.measured, [0.9, 0.2, 0, 0], atol=1e-12)
    wanted = np.sqrt((np.log(2) ** 2 + np.log(0.2 / LEAST) ** 2) / 3)
    assert spectrum_error([missing], LEAST) == pytest.approx(wanted)
    assert count_error([missing], LEAST) == pytest.approx(np.log(3 / 2))
    # A mode nobody predicted, in whatever direction among those predicted to be dropped.
    surprise = read_along(np.diag([0.9, 0.0, 0.0, 0.0]), turn @ turn.T * 0.3, axes)
    assert surprise.counted == 4
    other = np.diag([0.9, 0.0, 0.0, 0.0])
    other[1:, 1:] = 0.2 * np.ones((3, 3)) / 3
    one = read_along(np.diag([0.9, 0.0, 0.0, 0.0]), other, axes)
    assert spectrum_error([one], LEAST) == pytest.approx(np.log(0.2 / LEAST) / np.sqrt(2))
    # Right sizes in wrong directions are wrong.
    turned = read_along(predicted, np.diag([0.9, 0.4, 0.2, 0.0]), axes)
    assert spectrum_error([turned], LEAST) > 0.3


def test_the_gap_is_measured_against_the_alignment_of_a_modes_own_direction():
    axes = plain_axes([0.9, 0.9, 0.3, 0.9])
    # 0.2 / 0.9 lies in the gap of two layers, below 1/3, 0.15 / 0.3 above; the last is dropped.
    assert gap_share([np.diag([0.8, 0.2, 0.15, 0.0])], axes, 2) == pytest.approx(1 / 3)
    assert gap_share([np.diag([0.8, 0.2, 0.15, 0.0])], axes, 1) == 0


@pytest.mark.slow
def test_a_settled_head_has_the_sizes_that_moments_and_decay_predict():
    banks, decay, steps = draw_banks(), 0.3, 2000
    assert sum_decay(steps, 0.01, decay) > 3
    head = settle(
        draw_head(0, 6, 2), banks.training, 0, weight_decay=decay, steps=steps, learning_rate=0.01
    )
    with jax.enable_x64(True):
        moments = measure_moments(banks.prediction)
        axes = make_axes(moments)
        output = output_of(head, axes)
        errors = {
            name: spectrum_error([read_along(gram, output, axes)], axes.least)
            for name, gram in predict_grams(moments, 2, decay, 3).items()
        }
        wrong = read_along(predict_grams(moments, 2, 2 * decay, 3)["theory"], output, axes)
    assert errors["theory"] < 0.1
    assert min(errors["rival:no_decay"], errors["rival:feature"]) > 2 * errors["theory"]
    assert spectrum_error([wrong], axes.least) > 2 * errors["theory"]
