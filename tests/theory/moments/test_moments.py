"""Sample moments against loops, merging, their noise, and moments that are refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import reference
from theory.linalg.errors import InputError
from theory.losses.quadratic import QuadraticLoss, quadratic_value
from theory.moments.alignment import crossfit_alignment, noise_floor
from theory.moments.check import check_moments
from theory.moments.moments import Moments, merge_moments, moments_from_views


def _views(rng, images, views, dim):
    shared = rng.normal(size=(images, 1, dim))
    return shared + rng.normal(size=(images, views, dim))


def test_moments_are_means_over_all_views_and_all_ordered_pairs():
    views = _views(np.random.default_rng(0), 7, 3, 4)
    moments = moments_from_views(views)
    covariance, cross_covariance = reference.moments_of_views(views)
    np.testing.assert_allclose(moments.covariance, covariance, atol=1e-12)
    np.testing.assert_allclose(moments.cross_covariance, cross_covariance, atol=1e-12)
    np.testing.assert_allclose(moments.mean, views.mean((0, 1)), atol=1e-14)
    assert (moments.images, moments.views) == (7, 3)
    for half, part in enumerate((views[::2], views[1::2])):
        covariance, cross_covariance = reference.moments_of_views(part)
        np.testing.assert_allclose(moments.half_covariance[half], covariance, atol=1e-12)
        np.testing.assert_allclose(
            moments.half_cross_covariance[half], cross_covariance, atol=1e-12
        )


def test_merging_equals_one_pass_and_is_associative():
    rng = np.random.default_rng(1)
    parts = [_views(rng, images, 2, 3) for images in (4, 6, 10)]
    first, second, third = map(moments_from_views, parts)
    whole = moments_from_views(np.concatenate(parts))
    left = merge_moments(merge_moments(first, second), third)
    right = merge_moments(first, merge_moments(second, third))
    for merged in (left, right):
        for name in dataclasses.asdict(whole):
            np.testing.assert_allclose(
                getattr(merged, name), getattr(whole, name), atol=1e-13, err_msg=name
            )


def test_moments_of_different_views_or_unknown_counts_do_not_merge():
    rng = np.random.default_rng(2)
    two, three = (moments_from_views(_views(rng, 4, count, 3)) for count in (2, 3))
    with pytest.raises(InputError, match="2 and 3 views"):
        merge_moments(two, three)
    with pytest.raises(InputError, match="images"):
        merge_moments(two, dataclasses.replace(two, images=None))
    with pytest.raises(InputError, match="sizes 3 and 5"):
        merge_moments(two, moments_from_views(_views(rng, 4, 2, 5)))


def test_moments_are_a_tree_that_compiles_and_maps():
    views = _views(np.random.default_rng(3), 4, 2, 3)
    moments = jax.jit(moments_from_views)(views)
    doubled = jax.jit(lambda m: jax.tree.map(lambda leaf: 2 * leaf, m))(moments)
    np.testing.assert_allclose(doubled.covariance, 2 * moments.covariance)
    batch = jax.vmap(lambda v: moments_from_views(v).covariance)(jnp.stack([views, 2 * views]))
    np.testing.assert_allclose(batch[1], 4 * batch[0])


def test_error_of_sampled_moments_falls_with_the_root_of_the_number_of_images():
    rng = np.random.default_rng(4)
    errors = []
    for images in (100, 1600):
        deviations = []
        for _ in range(20):
            moments = moments_from_views(_views(rng, images, 2, 3))
            deviations.append(np.linalg.norm(moments.cross_covariance - np.eye(3)))
        errors.append(np.mean(deviations))
    assert 3.2 < errors[0] / errors[1] < 5.0


def test_noise_floor_equals_simulated_pure_noise_within_seven_percent():
    rng = np.random.default_rng(5)
    for dim, images, views in ((60, 400, 2), (60, 150, 8)):
        moments = moments_from_views(rng.normal(size=(images, views, dim)))
        largest = check_moments(moments).alignment[0]
        assert abs(largest / noise_floor(dim, images, views) - 1.0) < 0.07
    assert noise_floor(100, 50, 3) == 1.0
    assert abs(noise_floor(512, 50_000, 2) - 0.143) < 5e-4
    assert abs(noise_floor(3072, 50_000, 32) - 0.018) < 5e-4


def test_noise_floor_reaches_one_where_within_orbit_covariance_becomes_singular():
    below, above = noise_floor(99, 100, 2), noise_floor(100, 100, 2)
    assert 0.99 < below < above == 1.0


def test_crossfitted_noise_is_zero_where_the_fitted_one_is_not():
    rng = np.random.default_rng(6)
    moments = moments_from_views(rng.normal(size=(400, 2, 40)))
    assert check_moments(moments).alignment[0] > 0.3
    crossfitted = np.asarray(crossfit_alignment(moments))
    assert np.max(np.abs(crossfitted[:5])) < 0.15


def test_crossfitting_keeps_a_true_mode():
    rng = np.random.default_rng(7)
    views = rng.normal(size=(1000, 2, 20))
    views[:, :, 0] += 3.0 * rng.normal(size=(1000, 1))
    assert abs(crossfit_alignment(moments_from_views(views))[0] - 0.9) < 0.02


def _valid(dim=4):
    covariance, cross_covariance = reference.random_moments(np.random.default_rng(8), dim)
    return Moments(covariance, cross_covariance)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"covariance": np.ones((4, 3))}, "square"),
        ({"covariance": np.triu(np.ones((4, 4)))}, "not symmetric"),
        ({"covariance": np.diag([1.0, 1.0, 1.0, -0.1])}, "positive semi-definite"),
        ({"covariance": np.zeros((4, 4))}, "positive semi-definite"),
        ({"cross_covariance": np.eye(5)}, "4 × 4"),
        ({"cross_covariance": np.full((4, 4), np.nan)}, "NaN"),
        ({"cross_covariance": 100.0 * np.eye(4)}, r"alignment of .*wanted \[-1, 1\]"),
        ({"cross_covariance": -100.0 * np.eye(4)}, "alignment of -"),
        ({"mean": np.zeros(3)}, "mean has shape"),
        ({"mean": np.full(4, np.inf)}, "mean holds"),
        ({"views": 1}, "views is 1"),
        ({"images": 2.5}, "images is 2.5"),
        ({"half_covariance": np.zeros((2, 4, 4))}, "only one of"),
        (
            {"half_covariance": np.zeros((4, 4)), "half_cross_covariance": np.zeros((4, 4))},
            "half_covariance has shape",
        ),
        (
            {
                "half_covariance": np.stack([np.eye(4), -np.eye(4)]),
                "half_cross_covariance": np.zeros((2, 4, 4)),
            },
            "half 2 of covariance",
        ),
        ({"covariance": np.eye(4, dtype=np.float32)}, "enable_x64"),
    ],
)
def test_impossible_moments_are_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        check_moments(dataclasses.replace(_valid(), **changes))
    assert "\n" not in str(caught.value)


def test_negative_alignments_are_accepted_and_reported():
    valid = _valid()
    shifted = dataclasses.replace(
        valid, cross_covariance=valid.cross_covariance - 0.5 * valid.covariance
    )
    report = check_moments(shifted)
    expected = check_moments(valid).alignment - 0.5
    np.testing.assert_allclose(report.alignment, expected, atol=1e-12)
    assert report.negative == np.sum(expected < 0) > 0
    assert abs(report.most_negative - expected.min()) < 1e-12


def test_an_alignment_of_one_survives_rounding_but_not_more():
    frame = np.linalg.qr(np.random.default_rng(9).normal(size=(30, 30)))[0]
    covariance = (frame * np.geomspace(1.0, 1e-8, 30)) @ frame.T
    report = check_moments(Moments(covariance, covariance))
    assert report.rank == 30
    with pytest.raises(InputError, match="alignment"):
        check_moments(Moments(covariance, 1.001 * covariance))


def test_moments_without_negative_modes_report_none():
    report = check_moments(_valid())
    assert (report.negative, report.most_negative) == (0, 0.0)


def test_float64_outside_of_its_context_is_refused_not_rounded():
    one = Moments(np.eye(2), 0.5 * np.eye(2), images=3, views=2)
    with jax.enable_x64(False):
        with pytest.raises(InputError, match="enable_x64"):
            merge_moments(one, one)
        with pytest.raises(InputError, match="enable_x64"):
            quadratic_value(QuadraticLoss(np.eye(2), np.eye(2)), np.eye(2))
