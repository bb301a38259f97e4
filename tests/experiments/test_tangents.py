"""Planes at the feature: neighbors, overlaps and energies by hand, exact tangents, a smoke run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.sampled_tangents import SAMPLE_COUNTS, SampledTangents, noisy_sine
from experiments.tangent_planes import (
    PlaneCell,
    energy,
    global_planes,
    leading_rows,
    neighbor_differences,
    overlap,
)
from experiments.tangent_rows import PlaneOutcome, gathered_cells, plane_rows, plane_skill
from theory.geometry.subspaces import tangent_cosine_squared


def test_neighbor_differences_are_those_to_the_nearest_points():
    rng = np.random.default_rng(0)
    points, pool = rng.standard_normal((4, 5)), rng.standard_normal((40, 5))
    found = neighbor_differences(points, pool, 6)
    for point, differences in zip(points, found):
        distances = np.sort(np.linalg.norm(pool - point, axis=1))[:6]
        np.testing.assert_allclose(np.sort(np.linalg.norm(differences, axis=1)), distances)


def test_the_local_plane_of_data_on_a_plane_is_that_plane():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.standard_normal((7, 2)))
    pool = rng.standard_normal((60, 2)) @ basis.T
    planes = leading_rows(neighbor_differences(pool[:5], pool[5:], 8), 2)
    assert overlap(planes, basis[None]) == pytest.approx(1.0)
    across = np.linalg.svd(basis, full_matrices=True)[0][:, 2:5]
    assert overlap(planes, across[None]) == pytest.approx(0.0, abs=1e-12)
    assert energy(planes, pool[None, :10] * np.ones((5, 1, 1))) == pytest.approx(1.0)


def test_energy_and_overlap_are_averages_over_images():
    first = np.eye(3)[:, :1][None]
    second = np.stack([np.eye(3)[:, :1], np.eye(3)[:, 1:2]])
    assert overlap(first, second) == pytest.approx(0.5)
    displacements = np.array([[[3.0, 4.0, 0.0]], [[0.0, 0.0, 2.0]]])
    assert energy(second, displacements) == pytest.approx((9 / 25 + 0.0) / 2)


def test_global_planes_are_variance_between_images_with_and_without_regard_to_views():
    rng = np.random.default_rng(0)
    between = np.array([3.0, 2.0, 0.5, 0.1])
    within = np.array([5.0, 0.1, 0.05, 1.0])
    means = rng.standard_normal((4000, 1, 4)) * between[None, None]
    views = means + rng.standard_normal((4000, 6, 4)) * within[None, None]
    plane, discriminant = global_planes(views, 2)
    assert overlap(plane, np.eye(4)[None, :, :2]) > 0.99
    assert overlap(discriminant, np.eye(4)[None, :, 1:3]) > 0.99


def test_noise_hides_a_sampled_direction_as_the_law_says():
    rng = np.random.default_rng(0)
    dim, ratio = 64, 4 / 3
    direction = rng.standard_normal((200, dim))
    unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    for count in (16, 256):
        along = rng.uniform(-1, 1, (200, count))
        displacements = along[..., None] * unit[:, None]
        noise = rng.standard_normal((200, count, dim))
        with jax.enable_x64(True):
            law = float(tangent_cosine_squared(ratio, 1.0, dim, count))
        measured = noisy_sine(displacements, direction, noise, ratio)
        assert measured == pytest.approx(np.sqrt(1 - law), abs=0.06)
    assert noisy_sine(displacements, direction, 1e-9 * noise, ratio) < 1e-6


def _cell(**changes):
    values = dict.fromkeys(PlaneCell._fields, 0.2)
    values |= {"ceiling_local": 0.6, "ceiling_global": 0.9, "kept_local": 0.4, "kept_global": 0.5}
    return PlaneCell(**(values | changes))


def _sampled(overlap_at, spread, sines):
    law = np.linspace(1.0, 0.5, len(SAMPLE_COUNTS))
    return SampledTangents(
        group_overlaps=np.full(5, overlap_at),
        policy_overlaps=np.full(5, 0.5),
        random_overlap=0.125,
        spread_ratios=np.array([1.0, spread, 1.0, 1.2, 2.0]),
        sines=law + sines,
        predicted_sines=law,
    )


def _rows(cells, sampled):
    before = _cell(kept_local=0.2, kept_global=0.2)
    return plane_rows(
        PlaneOutcome(
            strengths=np.array([0.1, 0.5, 1.0]),
            cells=gathered_cells([cells, cells]),
            untrained=gathered_cells([[before], [before]]),
            rank=2,
            dim=10,
            sampled=(sampled, sampled),
        ),
        "made up",
    )


def test_rows_hold_where_the_head_keeps_a_noisy_tangent_plane():
    cells = [_cell(data_energy=0.2 * ratio) for ratio in (1.2, 1.5, 2.0)]
    rows = _rows(cells, _sampled(0.95, 1.02, 0.03))
    assert [row.verdict for row in rows] == ["holds"] * 8
    skill = plane_skill(gathered_cells([cells]), "local", 0.2)
    np.testing.assert_allclose(skill, 0.5)


def test_rows_fail_where_it_keeps_what_augmentation_moves_or_the_exact_plane():
    cells = [_cell(kept_local=0.6, data_energy=0.2 * ratio) for ratio in (0.9, 0.8, 0.7)]
    rows = _rows(cells, _sampled(0.5, 1.5, 0.3))
    assert [row.verdict for row in rows] == ["holds", "holds", *["fails"] * 6]
    blind = _rows([_cell(kept_local=0.2, kept_global=0.1)] * 3, _sampled(0.95, 1.0, 0.0))
    assert blind[0].verdict == blind[1].verdict == "fails"


def test_the_smoke_run_finds_exact_tangents_by_sampling(tmp_path, trained_cache):
    from experiments.tangents import run

    results = run(tmp_path, "smoke")
    assert {row.id for row in results.rows} == {12}
    assert all(np.isfinite(row.measured) for row in results.rows)
    for name in ("tangent_planes.png", "sampled_tangents.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    exact, spread, _ = results.rows[-3:]
    # Facts of the machinery: derivative and finite differences of one function agree.
    assert exact.measured < 0.2
    assert spread.measured < 0.2
    assert jnp.ones(1).dtype == jnp.float32
