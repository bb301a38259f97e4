"""Handwritten digits in place of every data set, so that the smoke scale needs no download."""

import dataclasses

import numpy as np

from experiments.sizes import SIDE
from experiments.small_data import Pair, first, padded
from ssljax.data.composites import overlay_digits
from ssljax.data.datasets import Dataset, load_dataset


def digits_as(data: str, num_train: int, num_test: int) -> Pair:
    """Any data set of the table of trainings, made of handwritten digits.

    Args:
      data: Its name; "mnist_on_cifar" gets ink, "cifar100_coarse" classes of two digits each.
      num_train: Images to train on, at most.
      num_test: Images to test on, at most.

    Returns:
      Images of 16 pixels in three channels.
    """
    images, digits = enlarged_digits(num_train, num_test)
    if data == "mnist_on_cifar":
        return Pair(*(overlay_digits(*pair) for pair in zip(images, digits)))
    if data == "cifar100_coarse":
        return Pair(*map(_halved_labels, images))
    return images


def enlarged_digits(num_train: int, num_test: int) -> tuple[Pair, Pair]:
    """Handwritten digits at 16 pixels, in three channels and in one."""
    parts = []
    for split, count in (("train", num_train), ("test", num_test)):
        digits = first(load_dataset("digits", split), count)
        enlarged = np.repeat(np.repeat(digits.images, 2, axis=1), 2, axis=2)
        bright = np.minimum(enlarged.astype(np.int32) * 16, 255).astype(np.uint8)
        color = dataclasses.replace(digits, images=padded(bright, SIDE), pixel_scale=1 / 255)
        gray = dataclasses.replace(digits, images=bright, pixel_scale=1 / 255)
        parts.append((color, gray))
    colored, gray = (Pair(*pair) for pair in zip(*parts))
    return colored, gray


def _halved_labels(dataset: Dataset) -> Dataset:
    """Five classes of two digits each."""
    return dataclasses.replace(dataset, labels=dataset.labels // 2)
