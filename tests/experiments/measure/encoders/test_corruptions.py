"""Corrupted images: which severity each has, and accuracies on them from a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core.blocks import decode_blocks, split_images
from experiments.measure.encoders import corruptions
from experiments.measure.encoders.corruptions import corrupt_images, read_corruptions, read_line
from experiments.measure.encoders.passes import EMBEDDING, FEATURE, RANDOM
from experiments.measure.encoders.probes import find_correct, fit_probe
from ssljax.augment.corruptions import corrupt
from tests.experiments.measure.encoders.planted import SIDE, make_passes, make_split

KINDS = ("contrast", "impulse_noise")


@pytest.fixture(scope="module")
def passes():
    split = make_split(np.random.default_rng(0), test=100)
    large = np.repeat(np.repeat(split.test.images, 2, axis=1), 2, axis=2)
    full_size = split._replace(test=split.test._replace(images=large))
    return make_passes(split, tasks={"corruptions": full_size})


def test_severities_take_turns_and_images_are_those_of_the_formula(monkeypatch):
    monkeypatch.setattr(corruptions, "BATCH", 2)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (13, 8, 8, 3)).astype(np.uint8)
    changed = corrupt_images(images, "contrast", (0, 0))
    levels = []
    for number, image in enumerate(images):
        keys = jax.random.split(jax.random.key(0), 1)
        expected = corrupt(keys, jnp.asarray(image[None] / 255), "contrast", 1 + number % 5)
        levels.append(np.floor(expected[0] * 255))
    # Compiled or not, a number may round to the other side of a whole level, but few do.
    np.testing.assert_allclose(changed, levels, atol=1)
    assert np.mean(changed != np.array(levels)) < 0.02
    noisy = [corrupt_images(images, "gaussian_noise", seed) for seed in ((0, 0), (0, 1), (1, 0))]
    assert not np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])
    # Two images of one severity get noise of their own.
    same = corrupt_images(np.full((6, 8, 8, 3), 128, np.uint8), "gaussian_noise", (0, 0))
    assert not np.array_equal(same[0], same[5])


def test_accuracies_are_means_over_kinds_and_draws(passes, monkeypatch):
    monkeypatch.setattr(corruptions, "CORRUPTIONS", KINDS)
    rows = {
        (row.variant, row.layer, row.level): row
        for row in read_corruptions(FEATURE, EMBEDDING, RANDOM, equal_clean=True)(passes)
    }
    subject = passes.subject
    split, full_size = subject.task("cifar10"), subject.task("corruptions").test.images
    images = [
        corrupt_images(full_size, kind, (0, number))
        .reshape(100, SIDE, 2, SIDE, 2, 3)
        .mean(axis=(2, 4))
        for number, kind in enumerate(KINDS)
    ]
    images = [np.floor(some + 0.5).astype(np.uint8) for some in images]

    def answers(name, layer, share=1.0):
        count = round(share * len(split.train.labels))
        variant = subject.variants[name]
        seen = variant(split.train.images[:count])[layer]
        probe = fit_probe(seen, split.train.labels[:count])
        return [
            find_correct(probe, variant(some)[layer], split.test.labels)
            for some in (split.test.images, *images)
        ]

    draws = [name for name in subject.variants if name.startswith("random_head")]
    correct = np.array([answers(name, "embedding")[1:] for name in draws])
    row = rows["random_head", "embedding", ""]
    assert row.value == pytest.approx(correct.mean())
    assert row.blocks.startswith("count6x")
    places = {("trained", "feature"): None, ("trained", "embedding"): None}
    for place in places:
        assert rows[*place, ""].value == pytest.approx(np.mean(answers(*place)[1:]))
        found = [answers(*place, share) for share in corruptions.PROBE_SHARES]
        places[place] = np.array([(f[0], np.mean(f[1:], axis=0)) for f in found])

    def heights(kept):
        points = {place: both[:, :, kept].mean(axis=-1) for place, both in places.items()}
        middle = np.mean([both[:, 0].mean() for both in points.values()])
        return {
            place: np.polyval(np.polyfit(both[:, 0], both[:, 1], 1), middle)
            for place, both in points.items()
        }

    everything = np.arange(100)
    kept = np.setdiff1d(everything, split_images(100, 20)[3])
    for place, height in heights(everything).items():
        row = rows[*place, "clean=equal"]
        assert row.value == pytest.approx(height)
        assert decode_blocks(row.blocks, row.n)[3] == pytest.approx(heights(kept)[place], rel=1e-5)


def test_a_line_through_points_of_one_place_is_their_mean():
    assert read_line(np.array([0.5, 0.5]), np.array([0.2, 0.4]), 0.9) == pytest.approx(0.3)
    assert read_line(np.array([0.0, 1.0]), np.array([1.0, 3.0]), 2.0) == pytest.approx(5.0)
