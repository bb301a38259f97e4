"""Digits on natural images: labels, nulls, trends, and a smoke run."""

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.composite_probes import composite_images
from experiments.composites_rows import CompositeSweep, composite_rows
from experiments.results import read_results
from experiments.sizes import SIZES
from experiments.small_data import Pair
from experiments.trainings import trainings
from ssljax.data.composites import overlay_digits
from ssljax.data.sources import Dataset


def _composites(strength):
    rng = np.random.default_rng(0)
    natural = rng.integers(60, 200, (6, 16, 16, 3)).astype(np.uint8)
    strokes = np.zeros((6, 16, 16, 1), np.uint8)
    strokes[:, 4:8, 4:8] = 255
    below, digit = np.array([3, 1, 2, 0, 3, 3]), np.array([9, 8, 0, 1, 4, 9])
    pair = overlay_digits(
        Dataset(natural, below, 1 / 255, 4, "natural"), Dataset(strokes, digit, 1 / 255, 10, "ink")
    )
    return natural, digit, below, composite_images(Pair(pair, pair), strength)


def test_a_composite_carries_both_labels_and_its_digit():
    natural, digit, below, images = _composites(1.0)
    assert images.digits[0].tolist() == digit.tolist()
    assert images.digits[2] == 10
    assert images.backgrounds[1].tolist() == below.tolist()
    assert images.backgrounds[2] == 4
    changed = np.any(images.train.images != natural, axis=3)
    assert changed[:, 4:8, 4:8].all()
    assert changed.sum() == 6 * 16
    faint = _composites(0.25)[3]
    blend = 0.75 * natural[:, 4:8, 4:8] + 0.25 * 255
    assert np.max(np.abs(faint.train.images[:, 4:8, 4:8] - blend)) <= 0.5 + 1e-3


def test_trainings_vary_one_property_of_the_digit_at_a_time():
    table = trainings(SIZES["laptop"])
    names = {name: one.config for name, one in table.items() if name.startswith("digits-")}
    assert len(names) == 6
    for config in names.values():
        assert config.policy.crop_area == 0
        assert config.digit_strength == 1.0 or config.digit_drop == (0.0, 0.0)
    assert names["digits-1-split"].digit_drop == (1.0, 0.0)


def _sweep(values, gaps):
    after = np.full((3, len(gaps)), 0.4)
    digit = np.stack([after + np.array(gaps)[None], after], axis=2)
    return CompositeSweep(np.array(values), digit, digit, after + 0.01, np.full_like(digit, 0.3))


def test_gaps_that_grow_with_disruption_and_faintness_hold():
    drops = _sweep([0.0, 0.5, 0.9], [0.01, 0.1, 0.2])
    faint = _sweep([0.2, 0.5, 1.0], [0.2, 0.1, 0.01])
    assert [row.verdict for row in composite_rows(faint, drops, "data")] == ["holds"] * 5
    turned = composite_rows(
        faint._replace(digit=faint.digit[:, ::-1]), drops._replace(digit=drops.digit[:, ::-1]), "d"
    )
    assert [row.verdict for row in turned[:2]] == ["fails", "fails"]
    lower = composite_rows(faint, _sweep([0.0, 0.5, 0.9], [-0.2, -0.1, -0.05]), "data")
    assert lower[2].verdict == "fails"
    assert lower[2].error == pytest.approx(0.2)


def test_the_smoke_run_writes_a_report(tmp_path, trained_cache):
    assert main(["composites", "--scale", "smoke", "--out", str(tmp_path)]) == 0
    results = read_results(tmp_path / "results.json")
    assert {row.id for row in results.rows} == {4}
    assert len(results.rows) == 5
    assert all(np.isfinite(row.measured) for row in results.rows)
    assert (tmp_path / "composites.png").stat().st_size > 10_000
