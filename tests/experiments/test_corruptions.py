"""Shifted test sets: how they are made, lines at equal clean accuracy, the smoke experiment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.corruption_cells import AFTER, BEFORE, NARROW, REPRESENTATIONS, ShiftCell
from experiments.corruption_rows import line_at, matched_gap, shift_rows
from experiments.corruptions import run
from experiments.shifted_images import BATCH, corrupted_images
from experiments.small_data import first
from ssljax.augment.corruptions import corrupt
from ssljax.data.datasets import Dataset


def _images(count, side=8):
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    return Dataset(pixels, np.zeros(count, np.int32), 1 / 255, 10, "random")


def test_corrupted_images_follow_the_formula_whatever_the_batch():
    images = _images(BATCH + 3)
    made = corrupted_images(images, "impulse_noise", 4, seed=2)
    root = jax.random.fold_in(jax.random.key(2), 4)
    for row in (0, 1, BATCH, BATCH + 2):
        key = jax.random.fold_in(root, row)[None]
        alone = corrupt(key, jnp.asarray(images.images[row : row + 1]) / 255.0, "impulse_noise", 4)
        np.testing.assert_array_equal(made[row], np.floor(np.asarray(alone[0]) * 255))
    few = corrupted_images(first(images, 2), "contrast", 1, 0)
    assert few.shape == (2, 8, 8, 3)
    milder = corrupted_images(images, "impulse_noise", 1, seed=2)
    changed = [np.mean(each != images.images) for each in (milder, made)]
    assert changed[0] < 0.02 < changed[1] < 0.06


def test_a_line_through_points_is_the_least_squares_one():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=6), rng.normal(size=6)
    slope, height = np.polyfit(x, y, 1)
    assert line_at(x, y, 0.7) == pytest.approx(height + slope * 0.7, rel=1e-9)
    assert line_at(np.full(3, 2.0), np.arange(3.0), 5.0) == pytest.approx(1.0)


def _cell(offsets, seed=0):
    """Every representation on a line of slope 1/2, raised by its own offset."""
    clean = np.array([[0.4, 0.45, 0.5]]) + 0.02 * np.arange(len(offsets))[:, None]
    shifted = 0.5 * clean + np.asarray(offsets)[:, None]
    spread = np.random.default_rng(seed).normal(scale=1e-3, size=(1, 1, 10))
    spread -= spread.mean(axis=2, keepdims=True)
    return ShiftCell(clean, shifted[..., None] + spread)


def test_the_matched_gap_is_the_distance_of_parallel_lines():
    cell = _cell([0.0, 0.03, 0.01, 0.02])
    assert matched_gap(cell, AFTER) == pytest.approx(0.02, abs=1e-9)
    assert matched_gap(cell, NARROW) == pytest.approx(0.01, abs=1e-9)
    plain = np.mean(cell.shifted, axis=2)
    places = [REPRESENTATIONS.index(name) for name in (BEFORE, AFTER)]
    # Plain accuracies also hold what clean accuracy gives: here it works against the feature.
    assert np.all(plain[places[0]] - plain[places[1]] < 0.02)


def test_rows_fail_where_the_head_loses_no_more_than_dimension_does():
    better = shift_rows([_cell([0.0, 0.06, 0.0, 0.05], seed) for seed in range(3)], "made up")
    assert len(better) == 5
    assert [row.verdict for row in better] == ["holds"] * 3 + ["inconclusive", "holds"]
    same = shift_rows([_cell([0.0, 0.06, 0.03, 0.02], seed) for seed in range(3)], "made up")
    assert same[0].verdict == "fails"


def test_the_experiment_runs_at_smoke_scale(tmp_path, trained_cache):
    results = run(tmp_path / "out", "smoke")
    assert [row.id for row in results.rows] == [7] * 8
    assert all(np.isfinite(row.measured) for row in results.rows)
    assert (tmp_path / "out" / "corruptions.png").stat().st_size > 10_000
    assert "ImageNet-9" in (tmp_path / "out" / "report.html").read_text()
