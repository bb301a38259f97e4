"""Accuracy on corrupted test images of probes that are fitted on clean ones.

Every test image is seen once under each kind of corruption. Severities take turns from image to
image, so that each kind is seen at all of them by a fifth of the images, and blocks of images hold
equally many of each.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float64, UInt8

from experiments.core.blocks import STATISTIC_BLOCKS, sum_blocks
from experiments.core.measurements import Measurement
from experiments.measure.encoders.passes import EMBEDDING, FEATURE, Passes, Place, Rows
from experiments.measure.encoders.probes import find_correct, fit_probe
from experiments.measure.rows import accuracy_row, sums_row
from experiments.networks.images import average_squares
from ssljax.augment.corruptions import CORRUPTIONS, SEVERITIES, corrupt

PROBE_SHARES = (0.1, 0.25, 0.5, 1.0)
"""Shares of the training images that probes are fitted on, to compare at equal clean accuracy."""
BATCH = 500

Images = UInt8[np.ndarray, "images height width channels"]
Correct = Bool[np.ndarray, "repeats images"]


class Answers(NamedTuple):
    """Which test images a probe classifies correctly.

    Attributes:
      clean: A row for every draw of a random head.
      corrupted: A row for every draw and kind of corruption.
    """

    clean: Correct
    corrupted: Correct


def read_corruptions(*places: Place, equal_clean: bool = False) -> Rows:
    """Return the part that tests probes of CIFAR-10 on corrupted images, at some places.

    Args:
      places: Where.
      equal_clean: Whether feature and embedding are also compared at equal accuracy on clean
        images.
    """

    def measure(passes: Passes) -> Iterator[Measurement]:
        subject = passes.subject
        full_size = subject.task("corruptions").test.images
        side = subject.task("cifar10").test.images.shape[1]
        corrupted = [
            average_squares(corrupt_images(full_size, kind, (subject.seed, number)), side)
            for number, kind in enumerate(CORRUPTIONS)
        ]
        for place in places:
            key = subject.key("accuracy", *place, "corruptions")
            yield accuracy_row(key, _answer(passes, place, corrupted).corrupted)
        if equal_clean:
            yield from _compare_at_equal_clean(passes, corrupted)

    return measure


def corrupt_images(images: Images, kind: str, seed: tuple[int, int]) -> Images:
    """Return every image under one kind of corruption, severities taking turns.

    Args:
      images: At full size, in 256 levels.
      kind: A name of `ssljax.augment.corruptions.CORRUPTIONS`.
      seed: Of the draws: two whole numbers; images and severities differ by themselves.

    Returns:
      Pixels, rounded down to whole levels as in the published files.
    """
    root = jax.random.fold_in(jax.random.key(seed[0]), seed[1])
    result = np.empty_like(images)
    for offset, severity in enumerate(SEVERITIES):
        rows = np.arange(offset, len(images), len(SEVERITIES))
        size = min(BATCH, len(rows))
        for start in range(0, len(rows), BATCH):
            # The last batch is moved back to full size, so that one shape is compiled.
            some = rows[max(min(start, len(rows) - size), 0) :][:size]
            result[some] = _corrupt(root, images[some], jnp.asarray(some), severity, kind)
    return result


@partial(jax.jit, static_argnums=4)
def _corrupt(root, images, rows, severity, kind):
    keys = jax.vmap(partial(jax.random.fold_in, root))(rows)
    changed = corrupt(keys, images.astype(jnp.float32) / 255, kind, severity)
    return jnp.floor(changed * 255).astype(jnp.uint8)


def _answer(passes: Passes, place: Place, corrupted: list[Images], share: float = 1.0) -> Answers:
    """Fit a probe for each draw of a place on a share of the clean images, and test it."""
    train, test, *_ = passes.subject.task("cifar10")
    seen = passes.at(place, train.images)
    count = max(round(share * len(train.labels)), 1)
    probes = [fit_probe(draw[:count], train.labels[:count]) for draw in seen]

    def answer(images: Images) -> Correct:
        new = passes.at(place, images)
        return np.stack(
            [find_correct(probe, draw, test.labels) for probe, draw in zip(probes, new)]
        )

    return Answers(answer(test.images), np.concatenate([answer(images) for images in corrupted]))


def _compare_at_equal_clean(passes: Passes, corrupted: list[Images]) -> Iterator[Measurement]:
    """Yield accuracy on corrupted images at the same clean accuracy, of feature and embedding.

    Each gives a point for every number of labels; the least-squares line through its points is
    read midway between the mean clean accuracies of both.
    """
    places = (FEATURE, EMBEDDING)
    subject = passes.subject
    images = len(subject.task("cifar10").test.labels)
    blocks = min(STATISTIC_BLOCKS, images)
    points = []
    for place in places:
        answers = [_answer(passes, place, corrupted, share) for share in PROBE_SHARES]
        means = np.stack([[part.mean(axis=0) for part in answer] for answer in answers])
        points.append(sum_blocks(np.moveaxis(means, -1, 0), blocks))
    counts = sum_blocks(np.ones(images), blocks)
    sums = (counts, np.stack(points, axis=1))
    for number, place in enumerate(places):
        key = subject.key("accuracy", *place, "corruptions", clean="equal")

        def height(count: float, answers: np.ndarray, number: int = number) -> float:
            clean, shifted = np.moveaxis(answers / count, -1, 0)
            return read_line(clean[number], shifted[number], float(np.mean(clean)))

        yield sums_row(key, height, sums, images)


def read_line(
    x: Float64[np.ndarray, " points"], y: Float64[np.ndarray, " points"], at: float
) -> float:
    """Return the height of the least-squares line through points; their mean where all x agree."""
    centered = x - np.mean(x)
    size = float(np.sum(centered**2))
    slope = float(np.sum(centered * y)) / size if size > 0 else 0.0
    return float(np.mean(y)) + slope * (at - float(np.mean(x)))
