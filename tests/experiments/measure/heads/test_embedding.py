"""Invariance and rank of an embedding: measured on views, forecast from moments."""

import numpy as np
import pytest

from experiments.measure.heads.embedding import (
    embed,
    forecast_embedding,
    measure_geometry,
    predict_geometry,
)
from tests.experiments.measure.heads.synthetic import draw_banks


def test_geometry_of_views_whose_noise_is_known():
    rng = np.random.default_rng(0)
    directions = np.repeat(np.eye(4), 2, axis=0) * np.tile([1.0, -1.0], 4)[:, None]
    images = np.repeat(directions, 50, axis=0)[:, None, :]
    still = measure_geometry(np.repeat(images, 2, axis=1))
    assert still.defect == pytest.approx(0.0, abs=1e-12)
    assert still.rank == pytest.approx(4.0, rel=1e-6)
    # The length of a view does not count; a random sign is all variance.
    lengths = rng.uniform(0.5, 2.0, size=(400, 2, 1))
    assert measure_geometry(lengths * images).defect == pytest.approx(0.0, abs=1e-12)
    signs = rng.choice([-1.0, 1.0], size=(400, 2, 1))
    assert measure_geometry(signs * images).defect == pytest.approx(1.0, abs=0.1)


def test_directions_that_augmentation_redraws_are_forecast_to_go():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(2000, 1, 8)) * np.repeat([1.0, 0.0], 4)
    views = shared + rng.normal(size=(2000, 4, 8)) * np.repeat([0.1, 1.0], 4)
    found = predict_geometry(views, rank=8)
    assert found.rank == pytest.approx(4.0, abs=0.05)
    assert found.defect == pytest.approx(0.01 / 1.01, rel=0.1)


@pytest.mark.slow
def test_a_head_under_nt_xent_ends_nearer_to_its_forecast_than_to_the_feature():
    found = forecast_embedding(draw_banks(2000, copies=4), 0, steps=200)
    for quantity in ("defect", "rank"):
        theory, feature, measured = (getattr(one, quantity) for one in found)
        assert abs(np.log(theory / measured)) < 0.5 * abs(np.log(feature / measured))


def test_layers_are_applied_in_turn():
    first, second = np.ones((3, 2)), np.array([[1.0, 2.0, 0.0]])
    assert embed(np.array([[[1.0, 2.0]]]), (first, second)).tolist() == [[[9.0]]]
