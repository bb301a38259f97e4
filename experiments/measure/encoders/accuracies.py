"""Test accuracies of probes: at every layer, of random heads, at one scale, on some coordinates."""

from collections.abc import Iterator

import numpy as np

from experiments.core.measurements import Measurement
from experiments.measure.encoders.passes import EVERYWHERE, FEATURE, Passes, Place, Rows
from experiments.measure.encoders.probes import Scaling, find_correct, fit_probe
from experiments.measure.rows import accuracy_row

RANDOM_EIGHTHS = 5
"""Draws of an eighth of the coordinates, over which an accuracy is averaged."""


def read_task(task: str, places: tuple[Place, ...] = EVERYWHERE) -> Rows:
    """Return the part that probes a task at some places.

    Args:
      task: A name of `core.names.TASKS`; the probe is fitted on its training images and tested on
        all of its test images.
      places: Where; draws of a random head are repeats on the same images.
    """

    def measure(passes: Passes) -> Iterator[Measurement]:
        for place in places:
            key = passes.subject.key("accuracy", place.variant, place.layer, task)
            yield accuracy_row(key, _find_all_correct(passes, task, place))

    return measure


def read_at_one_scale(task: str) -> Rows:
    """Return the part that probes a task at the feature, all coordinates divided by one number."""

    def measure(passes: Passes) -> Iterator[Measurement]:
        key = passes.subject.key("accuracy", *FEATURE, task, probe="one_scale")
        yield accuracy_row(key, _find_all_correct(passes, task, FEATURE, scaling="one"))

    return measure


def read_eighths(task: str) -> Rows:
    """Return the part that probes a task from an eighth of the feature's coordinates.

    The first ones, and random ones, which are drawn from the seed of the network.
    """

    def measure(passes: Passes) -> Iterator[Measurement]:
        subject = passes.subject
        train, test, *_ = subject.task(task)
        seen, new = (passes.at(FEATURE, part.images)[0] for part in (train, test))
        width = seen.shape[1]
        count = max(width // 8, 1)
        generator = np.random.default_rng(subject.seed)
        drawn = [generator.permutation(width)[:count] for _ in range(RANDOM_EIGHTHS)]
        for name, choices in (("first_eighth", [np.arange(count)]), ("random_eighth", drawn)):
            correct = [
                find_correct(fit_probe(seen[:, kept], train.labels), new[:, kept], test.labels)
                for kept in choices
            ]
            key = subject.key("accuracy", *FEATURE, task, coordinates=name)
            yield accuracy_row(key, np.stack(correct))

    return measure


def _find_all_correct(
    passes: Passes, task: str, place: Place, scaling: Scaling = "each"
) -> np.ndarray:
    """Return which test images are classified correctly, a row for every draw of the head."""
    train, test, *_ = passes.subject.task(task)
    draws = zip(passes.at(place, train.images), passes.at(place, test.images), strict=True)
    return np.stack(
        [
            find_correct(fit_probe(seen, train.labels, scaling=scaling), new, test.labels)
            for seen, new in draws
        ]
    )
