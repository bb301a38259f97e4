"""Sampling information of a number: what it would be with part of the test images left out.

Test images lie in stored order and are cut into equal blocks, the same in every row of a task. An
accuracy keeps the correct answers of each of 100 blocks; any other statistic keeps its value with
each of 20 blocks left out. Both become pseudo-values, whose mean is the estimate and whose
covariance between seeds is the error that seeds share because they are tested on the same images.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from experiments.errors import InputError

ACCURACY_BLOCKS = 100
STATISTIC_BLOCKS = 20


def split_images(count: int, blocks: int) -> list[Int[np.ndarray, " images"]]:
    """Return the indices of the test images in each block, as equal as `count` allows."""
    return np.array_split(np.arange(count), blocks)


def encode_counts(correct: Bool[np.ndarray, "repeats images"], blocks: int = 0) -> str:
    """Return the correct answers in each block as text, summed over repeats.

    Args:
      correct: Whether each test image was classified correctly, a row for every repeat on the same
        images (draws of a random head, kinds of a corruption).
      blocks: How many; 0 for 100, or one an image where there are fewer.

    Returns:
      `countREPEATSxBLOCKS:HEX`, every count in as many bytes as the largest possible one needs.
    """
    repeats, images = correct.shape
    parts = split_images(images, blocks or min(ACCURACY_BLOCKS, images))
    counts = [int(correct[:, part].sum()) for part in parts]
    width = _width(repeats * len(parts[0]))
    stored = b"".join(count.to_bytes(width, "big") for count in counts)
    return f"count{repeats}x{len(parts)}:{stored.hex()}"


def encode_without(values: Float[np.ndarray, " blocks"]) -> str:
    """Return a statistic's values with each block left out as text: `without:HEX`, float32."""
    return "without:" + np.asarray(values, ">f4").tobytes().hex()


def leave_blocks_out(
    statistic: Callable[[Int[np.ndarray, " kept"]], float],
    images: int,
    blocks: int = STATISTIC_BLOCKS,
) -> Float[np.ndarray, " blocks"]:
    """Return a statistic with each block of test images left out.

    Args:
      statistic: From indices of test images to the number.
      images: How many test images there are.
      blocks: How many blocks.
    """
    everything = np.arange(images)
    parts = split_images(images, blocks)
    return np.array([statistic(np.setdiff1d(everything, part)) for part in parts])


def sum_blocks(
    values: Float[np.ndarray, "images ..."], blocks: int = STATISTIC_BLOCKS
) -> Float[np.ndarray, "blocks ..."]:
    """Return the sum of a number, or an array, of every test image over each block, in float64."""
    parts = split_images(len(values), blocks)
    return np.stack([values[part].sum(axis=0, dtype=np.float64) for part in parts])


def block_count(text: str) -> int:
    """Return how many blocks a cell holds; 0 for an exact number, whose cell is empty."""
    kind, _, digits = text.partition(":")
    if not kind.startswith("count"):
        return len(digits) // 8
    return int(kind.partition("x")[2])


def decode_blocks(text: str, images: int, blocks: int = 0) -> Float[np.ndarray, " blocks"]:
    """Return a number's values with each block left out.

    Args:
      text: The cell, as `encode_counts` and `encode_without` make it.
      images: Test images behind the number.
      blocks: How many blocks are wanted; 0 for as many as were kept. Neighboring blocks of counts
        are joined where fewer are wanted.

    Raises:
      InputError: The wanted number of blocks cannot be made from those kept.
    """
    kept = block_count(text)
    wanted = blocks or kept
    kind, _, digits = text.partition(":")
    if kind == "without":
        if wanted != kept:
            raise InputError(f"{kept} left-out values cannot be read as {wanted} blocks")
        return np.frombuffer(bytes.fromhex(digits), ">f4").astype(np.float64)
    if kept % wanted:
        raise InputError(f"{kept} blocks cannot be joined to {wanted}")
    counts, repeats = _read_counts(text)
    sizes = np.array([len(part) for part in split_images(images, kept)], float) * repeats
    counts, sizes = (values.reshape(wanted, -1).sum(axis=1) for values in (counts, sizes))
    return (counts.sum() - counts) / (sizes.sum() - sizes)


def counted_accuracy(text: str, images: int) -> float | None:
    """Return the accuracy that the counts of a cell add up to; None for other cells."""
    if not text.startswith("count"):
        return None
    counts, repeats = _read_counts(text)
    return float(counts.sum() / (images * repeats))


def _read_counts(text: str) -> tuple[Float[np.ndarray, " blocks"], int]:
    kind, _, digits = text.partition(":")
    stored, blocks = bytes.fromhex(digits), block_count(text)
    width, rest = divmod(len(stored), blocks)
    if rest:
        raise InputError(f"{len(stored)} bytes cannot hold the counts of {blocks} blocks: {kind}")
    counts = [stored[i : i + width] for i in range(0, len(stored), width)]
    repeats = int(kind.removeprefix("count").partition("x")[0])
    return np.array([int.from_bytes(count, "big") for count in counts], float), repeats


def _width(largest: int) -> int:
    return max(1, math.ceil(largest.bit_length() / 8))
