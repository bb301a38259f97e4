"""The images that the table's networks are trained on, at each scale."""

import dataclasses
from functools import cache

from experiments.shortcut_data import Splits, two_shortcuts
from experiments.sizes import SIZES
from experiments.small_data import Pair, load_small, padded, shrunk
from experiments.stand_in_images import digits_as, enlarged_digits


@cache
def images_of(data: str, scale: str) -> Pair:
    """The images a training of a scale sees, and those it is tested on.

    Args:
      data: A name of the table, or another data set to transfer to.
      scale: "smoke" makes every set of scikit-learn's digits; the others read real ones.

    Returns:
      Images to train and to test on.

    Raises:
      UsageError: The data set is not there.
    """
    size = SIZES[scale]
    if data == "two_shortcuts":
        splits = shortcuts_of(scale)
        return Pair(splits.train, splits.test)
    if scale == "smoke":
        return digits_as(data, size.num_train, size.num_test)
    if data == "mnist":
        return _colored(load_small(data, 28, size.num_train, size.num_test), size.side)
    return load_small(data, size.side, size.num_train, size.num_test)


@cache
def shortcuts_of(scale: str) -> Splits:
    """Objects with two shortcuts: to train on, to retrain a last layer on, and to test on.

    Args:
      scale: "smoke" makes them of scikit-learn's digits; the others of CIFAR-10 and MNIST.

    Returns:
      The three splits, of different objects.

    Raises:
      UsageError: A data set is not there.
    """
    size = SIZES[scale]
    if scale == "smoke":
        pairs = enlarged_digits(size.num_train, size.num_test)
        return two_shortcuts(*pairs, size.side, per_class=64, held_out=16, tested=64)
    images = load_small("cifar10", size.side, 50_000, 10_000)
    digits = load_small("mnist", 28, 60_000, 10_000)
    return two_shortcuts(images, digits, size.side, per_class=4000, held_out=1000, tested=1000)


def _colored(digits: Pair, side: int) -> Pair:
    """Digits as a network for color images takes them: in black squares, in three channels."""
    return Pair(
        *(
            shrunk(dataclasses.replace(part, images=padded(part.images, 32)), side)
            for part in digits
        )
    )
