"""Slopes, planes and tangents beside finite differences, plain twins and planted planes."""

import jax
import numpy as np
import pytest

from experiments.measure.encoders import tangents
from experiments.measure.encoders.planes import (
    count_ranks,
    find_data_planes,
    find_leading_planes,
    find_neighbor_differences,
    find_overlaps,
    find_slopes,
)
from experiments.measure.encoders.tangents import (
    compare_planes,
    compare_tangents,
    find_tangents,
    measure_slope_rank,
    move_images,
)
from ssljax.augment.orbit import generator_scales, group_element
from tests.experiments.measure.encoders.planted import WIDTH, make_passes, make_split


@pytest.fixture(scope="module")
def passes():
    # Smooth images: neighboring pixels agree, so that a shift is a small change.
    split = make_split(np.random.default_rng(0), test=80)
    return make_passes(split)


def plain_overlap(first, second):
    """Mean squared cosine of the principal angles, from the singular values of the product."""
    cosines = np.linalg.svd(first.T @ second, compute_uv=False)
    return np.mean(cosines[: min(first.shape[1], second.shape[1])] ** 2)


def test_slopes_are_the_head_s_weights_where_units_are_active(passes):
    trained = passes.subject.variants["trained"]
    images = passes.subject.task("cifar10").test.images
    features = trained(images)["feature"]
    head = jax.device_get(trained.params["head"])
    slopes = find_slopes(trained, features[:5])
    for feature, slope in zip(features, slopes):
        active = feature @ head["layer1"]["kernel"] > 0
        expected = (head["layer1"]["kernel"] * active) @ head["layer2"]["kernel"]
        np.testing.assert_allclose(slope, expected.T, atol=1e-5)
        assert count_ranks(slope[None])[0] == active.sum()


def test_leading_planes_and_overlaps_are_those_of_singular_values():
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(4, 9, 6))
    planes = find_leading_planes(matrices, 2)
    others = find_leading_planes(rng.normal(size=(4, 9, 6)), 3)
    for matrix, plane, other, overlap in zip(
        matrices, planes, others, find_overlaps(planes, others)
    ):
        leading = np.linalg.svd(matrix)[2][:2].T
        assert plain_overlap(plane, leading) == pytest.approx(1.0)
        assert overlap == pytest.approx(plain_overlap(plane, other))


def test_neighbors_are_the_nearest_of_the_pool():
    rng = np.random.default_rng(0)
    points, pool = rng.normal(size=(3, 4)), rng.normal(size=(30, 4))
    found = find_neighbor_differences(points, pool, 5)
    for point, differences in zip(points, found):
        distances = np.linalg.norm(pool - point, axis=1)
        np.testing.assert_allclose(
            np.sort(np.linalg.norm(differences, axis=1)), np.sort(distances)[:5]
        )


def test_a_planted_data_plane_is_found():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(10, 3)))
    pool = rng.normal(size=(500, 3)) @ basis.T + 1e-3 * rng.normal(size=(500, 10))
    planes = find_data_planes(pool[:20], pool[20:], 3)
    overlaps = find_overlaps(planes, np.broadcast_to(basis, (20, 10, 3)))
    assert np.min(overlaps) > 0.99


def test_rows_of_planes(passes):
    rows = {(row.quantity, row.variant, row.level): row for row in compare_planes(passes)}
    subject = passes.subject
    train, test, *_ = subject.task("cifar10")
    trained = subject.variants["trained"]
    pool, here = (trained(part.images)["feature"] for part in (train, test))
    rank = 3 * WIDTH // 16
    data = find_data_planes(here, pool, rank)
    kept = [np.linalg.svd(slope)[2][:rank].T for slope in find_slopes(trained, here)]
    own = np.array([plain_overlap(k, d) for k, d in zip(kept, data)])
    other = [plain_overlap(k, d) for k, d in zip(kept, np.roll(data, len(data) // 2, axis=0))]
    assert rows["overlap", "trained", "plane=data"].value == pytest.approx(own.mean(), rel=1e-5)
    assert rows["overlap", "trained", "at=other;plane=data"].value == pytest.approx(np.mean(other))
    ceiling = rows["ceiling", "trained", "plane=data"].value
    assert rank / WIDTH < ceiling < 1
    assert ("overlap", "random_head", "plane=data") in rows
    assert all(row.layer == "embedding" and row.n == 80 for row in rows.values())


def test_tangents_are_finite_differences_and_moved_images_span_them(passes, monkeypatch):
    monkeypatch.setattr(tangents, "SAMPLES", 32)
    monkeypatch.setattr(tangents, "BATCH", 50)
    subject = passes.subject
    images = subject.task("cifar10").test.images
    exact = find_tangents(subject, images)
    assert exact.shape[0] == len(images) == 80  # the last batch of 50 is moved back
    scales = generator_scales(subject.policy)
    step, used = 1e-3, np.flatnonzero(scales)
    pixels, move = images.astype(np.float32) / 255, jax.jit(group_element)
    for number, generator in enumerate(used):
        at = np.zeros((len(images), len(scales)), np.float32)
        at[:, generator] = step
        ahead, back = (
            subject.variants["trained"](np.asarray(move(pixels, sign * at)))["feature"]
            for sign in (1, -1)
        )
        difference = (ahead - back) / (2 * step) * scales[generator]
        np.testing.assert_allclose(difference, exact[:, number], atol=5e-3)
    moved = move_images(subject, images[:20])
    assert moved.shape == (20, 32, WIDTH)
    rows = {(row.quantity, row.level): row for row in compare_tangents(passes)}
    assert rows["tangent_agreement", "strength=0.03"].value > 0.95
    turning = [np.linalg.svd(tangent)[2][: len(used)].T for tangent in exact]
    slopes = find_slopes(
        subject.variants["trained"], subject.variants["trained"](images)["feature"]
    )
    kept = [np.linalg.svd(slope)[2][: 3 * WIDTH // 16].T for slope in slopes]
    overlap = np.mean([plain_overlap(k, t) for k, t in zip(kept, turning)])
    assert rows["overlap", "plane=augmentation"].value == pytest.approx(overlap, rel=1e-4)


def test_rank_of_untouched_heads_is_half_of_their_hidden_width():
    split = make_split(np.random.default_rng(0))
    (row,) = measure_slope_rank()(make_passes(split, "narrow", hidden=6))
    # Of six units with symmetric weights three are active on average, over 64 heads.
    assert row.value == pytest.approx(3.0, abs=3 * np.sqrt(6 / 4 / 64))
    assert (row.variant, row.layer) == ("untrained", "embedding")
