"""Accuracy by group of images with two shortcuts: what shortcuts cost, and what repairs them.

A group is a class with a background and a digit. In the images that networks are trained on both
shortcuts nearly always go with the class; in all others every group is as frequent. Groups count
4 class + 2 background + digit.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

from experiments.core.blocks import STATISTIC_BLOCKS
from experiments.core.measurements import Key, Measurement
from experiments.errors import InputError
from experiments.measure.encoders.passes import FEATURE, UNTRAINED, Passes, Place, Rows
from experiments.measure.encoders.probes import find_correct, fit_probe
from experiments.measure.rows import accuracy_row
from experiments.networks.images import Labeled

GROUPS = tuple(range(8))
ALIGNED = (0, 7)
"""Groups whose background and digit are those of their class."""
MISLED = (3, 4)
"""Groups whose background and digit are both those of the other class."""


def read_groups(*places: Place) -> Rows:
    """Return the part that retrains the last layer on balanced held-out images, at some places.

    Half of the held-out objects retrain it; the other half (level `split=validation`) say which
    group is the worst, the test images (`split=test`) how well it does. Nothing is chosen for an
    untrained network, which is tested alone.
    """

    def measure(passes: Passes) -> Iterator[Measurement]:
        subject = passes.subject
        test, held_out = subject.task("object").test, _held_out(passes)
        retraining, choosing = divide_objects(groups_of(held_out))
        for place in places:
            seen, new = (passes.at(place, part.images) for part in (held_out, test))
            probes = [fit_probe(draw[retraining], held_out.labels[retraining]) for draw in seen]
            splits = {"test": (new, test, np.arange(len(test.labels)))}
            if place != UNTRAINED:
                splits["validation"] = (seen, held_out, choosing)
            for split, (features, images, rows) in splits.items():
                labels = images.labels[rows]
                correct = np.stack(
                    [find_correct(p, draw[rows], labels) for p, draw in zip(probes, features)]
                )
                for group in GROUPS:
                    key = subject.key("accuracy", *place, f"group:{group}", split=split)
                    yield _group_row(key, correct, groups_of(images)[rows], (group,))

    return measure


def read_shortcuts(passes: Passes) -> Iterator[Measurement]:
    """Yield accuracies of a probe on biased images, where shortcuts help and where they mislead."""
    subject = passes.subject
    train, test, *_ = subject.task("object")
    seen, new = (passes.at(FEATURE, part.images)[0] for part in (train, test))
    correct = find_correct(fit_probe(seen, train.labels), new, test.labels)
    for task, groups in (("aligned", ALIGNED), ("misled", MISLED)):
        key = subject.key("accuracy", *FEATURE, task, probe="biased")
        yield _group_row(key, correct[None], groups_of(test), groups)


def divide_objects(groups: Int[np.ndarray, " images"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the first and of the second half of every group, in stored order.

    Pictures of a group are in the order of their objects, which are the same in all groups of a
    class, so that no object is in both halves.
    """
    halves: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for group in GROUPS:
        rows = np.flatnonzero(groups == group)
        halves[0].append(rows[: len(rows) // 2])
        halves[1].append(rows[len(rows) // 2 :])
    first, second = (np.concatenate(half) for half in halves)
    return first, second


def groups_of(images: Labeled) -> Int[np.ndarray, " images"]:
    """Return the group of every image.

    Raises:
      InputError: The images have none.
    """
    if images.groups is None:
        raise InputError("these images have no groups; only those with shortcuts have")
    return images.groups


def _held_out(passes: Passes) -> Labeled:
    held_out = passes.subject.task("object").validation
    if held_out is None:
        raise InputError("these images have no held-out objects; only those with shortcuts have")
    return held_out


def _group_row(
    key: Key,
    correct: Bool[np.ndarray, "repeats images"],
    groups: Int[np.ndarray, " images"],
    wanted: tuple[int, ...],
) -> Measurement:
    rows = np.concatenate([np.flatnonzero(groups == group) for group in wanted])
    return accuracy_row(key, correct[:, rows], min(STATISTIC_BLOCKS, len(rows)))
