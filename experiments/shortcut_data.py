"""Three splits of the two-shortcut composite at any size, each of objects of its own."""

from typing import NamedTuple

from experiments.small_data import Pair
from ssljax.data.composites import Design, divide_objects, make_two_shortcuts
from ssljax.data.datasets import Dataset

ALIGNED = 0.95
"""Share of a class's training images with its own background, and with its own digit: UrbanCars."""


class Splits(NamedTuple):
    """Images to train on (shortcuts aligned with the class), to validate with and to test on.

    Groups are as frequent as each other in the last two.
    """

    train: Dataset
    val: Dataset
    test: Dataset


def two_shortcuts(
    images: Pair, digits: Pair, side: int, *, per_class: int, held_out: int, tested: int
) -> Splits:
    """Objects on backgrounds with digits, a function of the arguments alone.

    Args:
      images: CIFAR-10, or color images with its class numbers.
      digits: MNIST, or gray digits.
      side: Height and width of the pictures, a multiple of 4.
      per_class: Training images of each class.
      held_out: Training objects of each class kept for validation, and images of it made of them.
      tested: Test images of each class.

    Returns:
      The splits; test pictures are made of test images only.

    Raises:
      UsageError: A class has no more than `held_out` objects, or the side does not fit.
    """
    to_train, to_validate = divide_objects(images.train, held_out)
    aligned = Design(per_class, ALIGNED, ALIGNED)

    def balanced(count: int) -> Design:
        return Design(count, 0.5, 0.5)

    return Splits(
        make_two_shortcuts(to_train, digits.train, aligned, seed=0, side=side),
        make_two_shortcuts(to_validate, digits.train, balanced(held_out), seed=1, side=side),
        make_two_shortcuts(images.test, digits.test, balanced(tested), seed=2, side=side),
    )
