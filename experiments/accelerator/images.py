"""Images to train on: those of a file, or digits on scenes where nothing can be downloaded."""

from pathlib import Path

import numpy as np

from ssljax.data.array_files import load_array_file
from ssljax.data.datasets import load_dataset
from ssljax.data.sources import Dataset
from ssljax.system.errors import UsageError

SIDE = 32


def read_images(path: Path) -> tuple[Dataset, Dataset]:
    """Return the training and the test images of an .npz file.

    Args:
      path: With `images` and `labels`, or `train_images`, `train_labels` and the same of `test`.

    Returns:
      Without test images every tenth image is one.

    Raises:
      UsageError: The file cannot be used, or its images have no labels.
    """
    train = load_array_file(path, "train", path.name)
    if not train.is_labeled:
        raise UsageError(f"{path} has no labels, which the nearest neighbors need: add `labels`")
    with np.load(path) as file:
        has_test = "test_images" in file.files
    if has_test:
        return train, load_array_file(path, "test", path.name)
    held_out = np.arange(len(train)) % 10 == 9
    return _select(train, ~held_out), _select(train, held_out)


def draw_scenes(train: int, test: int) -> tuple[Dataset, Dataset]:
    """Return scikit-learn's digits at random places on colored scenes, of CIFAR-10's shape.

    The class is the digit, three times as large as it is stored; background and ink are colors
    that say nothing about it. Test digits are never among those of the training images.

    Args:
      train: Number of training images.
      test: Number of test images.
    """
    return (
        _draw(load_dataset("digits", split="train"), train, np.random.default_rng(0)),
        _draw(load_dataset("digits", split="test"), test, np.random.default_rng(1)),
    )


def _draw(digits: Dataset, count: int, draws: np.random.Generator) -> Dataset:
    rows = draws.integers(len(digits), size=count)
    coarse = draws.integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    images = np.repeat(np.repeat(coarse, SIDE // 4, axis=1), SIDE // 4, axis=2)
    inks = draws.integers(0, 256, (count, 3))
    corners = draws.integers(0, SIDE - 24 + 1, (count, 2))
    strokes = digits.images[..., 0].astype(np.float32) * digits.pixel_scale
    strokes = np.repeat(np.repeat(strokes, 3, axis=1), 3, axis=2)
    for image, row, ink, (top, left) in zip(images, rows, inks, corners):
        part = image[top : top + 24, left : left + 24]
        stroke = strokes[row][..., None]
        part[:] = np.round((1 - stroke) * part + stroke * ink)
    return Dataset(images, digits.labels[rows], 1 / 255, 10, "digits on scenes")


def _select(dataset: Dataset, kept: np.ndarray) -> Dataset:
    return Dataset(
        dataset.images[kept],
        dataset.labels[kept],
        dataset.pixel_scale,
        dataset.num_classes,
        dataset.name,
    )
