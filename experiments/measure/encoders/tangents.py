"""Which directions of the feature a head keeps: those of data, or those of augmentation."""

import dataclasses
from collections.abc import Iterator
from functools import partial

import jax
import numpy as np
from jaxtyping import Float, Float64, UInt8

from experiments.core.blocks import sum_blocks
from experiments.core.measurements import Key, Measurement
from experiments.measure.encoders.passes import EMBEDDING, FEATURE, RANDOM, UNTRAINED, Passes, Rows
from experiments.measure.encoders.planes import (
    count_ranks,
    find_data_planes,
    find_leading_planes,
    find_overlaps,
    find_slopes,
)
from experiments.measure.rows import mean_row, sums_row
from experiments.measure.subject import Subject
from experiments.networks.variant import as_input
from ssljax.augment.orbit import generator_scales, group_element, orbit_tangents

POINTS = 500
"""Test images at which planes are compared, the first ones."""
SAMPLED_POINTS = 60
SAMPLES = 64
"""Moved copies of an image of which a tangent plane is estimated."""
SAMPLE_STRENGTH = 0.03
DRAWN_HEADS = 64
"""New heads over which the rank of the slope is averaged; one alone is active here or there."""
RANK_POINTS = 20
BATCH = 50


def compare_planes(passes: Passes) -> Iterator[Measurement]:
    """Yield the overlaps of what a head keeps with the planes of data, and their ceiling.

    At each image the head keeps the leading directions of its slope, 3/16 of the feature's. The
    data's plane is that of the nearest training images in the feature; the ceiling is the overlap
    of the planes that two halves of these images give.
    """
    subject = passes.subject
    train, test, *_ = subject.task("cifar10")
    pool = passes.at(FEATURE, train.images)[0]
    here = passes.at(FEATURE, test.images)[0][:POINTS]
    rank = 3 * here.shape[1] // 16
    data = find_data_planes(here, pool, rank)
    order = np.random.default_rng(subject.seed).permutation(len(pool))
    halves = [find_data_planes(here, pool[half], rank) for half in np.array_split(order, 2)]
    kept = {
        place: [find_leading_planes(find_slopes(d, here), rank) for d in passes.draws(place)]
        for place in (EMBEDDING, RANDOM)
    }
    for place, planes in kept.items():
        key = subject.key("overlap", *place, "cifar10", plane="data")
        yield mean_row(key, [_overlap_row(key, plane, data) for plane in planes])
    other = np.roll(data, len(data) // 2, axis=0)
    key = subject.key("overlap", *EMBEDDING, "cifar10", plane="data", at="other")
    yield _overlap_row(key, kept[EMBEDDING][0], other)
    key = subject.key("ceiling", *EMBEDDING, "cifar10", plane="data")
    yield _overlap_row(key, *halves)


def compare_tangents(passes: Passes) -> Iterator[Measurement]:
    """Yield overlaps with the plane in which augmentation moves the feature.

    That of what the head keeps, and that of the plane which moved copies of an image span at small
    strength: a check that exact tangents are those of the augmentation.
    """
    subject = passes.subject
    images = subject.task("cifar10").test.images[:POINTS]
    here = passes.at(FEATURE, subject.task("cifar10").test.images)[0][:POINTS]
    exact = find_tangents(subject, images)
    count = exact.shape[1]
    turning = find_leading_planes(exact, count)
    (kept,) = (find_slopes(draw, here) for draw in passes.draws(EMBEDDING))
    key = subject.key("overlap", *EMBEDDING, "cifar10", plane="augmentation")
    yield _overlap_row(key, find_leading_planes(kept, 3 * here.shape[1] // 16), turning)
    moved = move_images(subject, images[:SAMPLED_POINTS])
    centered = moved - moved.mean(axis=1, keepdims=True)
    key = subject.key("tangent_agreement", *FEATURE, "cifar10", strength=SAMPLE_STRENGTH)
    sampled = find_leading_planes(centered, count)
    yield _overlap_row(key, sampled, turning[: len(sampled)])


def measure_slope_rank(task: str = "cifar10") -> Rows:
    """Return the part that measures the rank of the slope of heads that no training touched."""

    def measure(passes: Passes) -> Iterator[Measurement]:
        subject = passes.subject
        here = passes.at(UNTRAINED, subject.task(task).test.images)[0][:RANK_POINTS]
        untrained = subject.variants["untrained"]
        root = jax.random.fold_in(jax.random.key(subject.seed), 2**22)
        draw_params = jax.jit(untrained.network.init)
        ranks = []
        for draw_key in jax.random.split(root, DRAWN_HEADS):
            draw = dataclasses.replace(untrained, params=draw_params(draw_key)[0])
            ranks.append(count_ranks(find_slopes(draw, here)))
        key = subject.key("slope_rank", "untrained", "embedding", task)
        yield _mean_row(key, np.mean(ranks, axis=0))

    return measure


def find_tangents(
    subject: Subject, images: UInt8[np.ndarray, "images height width channels"]
) -> Float64[np.ndarray, "images generators dim"]:
    """Return the derivatives of the feature along each change that the policy makes.

    Args:
      subject: The network, and its policy, whose ranges are the units.
      images: At which.
    """
    trained, scales = subject.variants["trained"], generator_scales(subject.policy)
    pixels = as_input(images, trained.pixel_scale)
    size = min(BATCH, len(pixels))
    parts = []
    for start in range(0, len(pixels), size):
        # The last batch is moved back to full size, so that one shape is compiled.
        first = min(start, len(pixels) - size)
        batch = pixels[first : first + size]
        found = _find_tangents(
            trained.network.apply, trained.params, trained.statistics, batch, scales
        )
        parts.append(np.asarray(found, np.float64)[start - first :])
    return np.concatenate(parts)[:, np.flatnonzero(scales)]


@partial(jax.jit, static_argnums=0)
def _find_tangents(apply, params, statistics, pixels, scales):
    def feature(moved):
        return apply(params, statistics, moved, train=False, layers=("feature",))[0]["feature"]

    return orbit_tangents(feature, pixels, scales)


def move_images(
    subject: Subject, images: UInt8[np.ndarray, "images height width channels"]
) -> Float64[np.ndarray, "images samples dim"]:
    """Return the feature of copies of images, moved at random by all changes at small strength."""
    trained = subject.variants["trained"]
    scales = SAMPLE_STRENGTH * generator_scales(subject.policy)
    generator = np.random.default_rng(subject.seed)
    draws = generator.uniform(-1.0, 1.0, (SAMPLES, len(images), len(scales)))
    coordinates = (draws * scales).astype(np.float32)
    pixels = as_input(images, trained.pixel_scale)
    copies = np.concatenate([np.asarray(_move(pixels, at)) for at in coordinates])
    features = trained(copies)["feature"].astype(np.float64)
    return np.swapaxes(features.reshape(SAMPLES, len(images), -1), 0, 1)


_move = jax.jit(group_element)


def _overlap_row(key: Key, first: np.ndarray, second: np.ndarray) -> Measurement:
    return _mean_row(key, find_overlaps(first, second))


def _mean_row(key: Key, values: Float[np.ndarray, " images"]) -> Measurement:
    """Return the mean of a number of every image."""
    sums = (sum_blocks(values), sum_blocks(np.ones(len(values))))
    return sums_row(key, lambda total, count: float(total / count), sums, len(values))
