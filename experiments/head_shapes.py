"""Networks that differ in their head alone: what is measured on each, gathered over all."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.head_slopes import head_layers, local_ranks, local_slopes
from experiments.representations import features_of
from experiments.strength_cells import StrengthCell
from ssljax.config.config import EncoderConfig, HeadConfig
from ssljax.data.sources import Dataset
from ssljax.runs.saved_run import Run
from ssljax.system.arrays import Float

DRAWS = 64
"""Initial heads whose rank is averaged."""

Cells = Float[np.ndarray, "seeds heads"]
PairCells = Float[np.ndarray, "seeds heads layers"]


class HeadShape(NamedTuple):
    """A head by its shape.

    Attributes:
      name: For figures and text.
      depth: Layers, 0 without a head.
      narrowest: Width of the narrowest hidden layer; 0 where there is none.
    """

    name: str
    depth: int
    narrowest: int


class ShapeCell(NamedTuple):
    """One network; pairs are (feature, embedding).

    Attributes:
      sweep: Invariance, ranks, probes, at the strength of training and at the fixed one.
      local_rank: Effective rank of the trained head's slope, mean over images.
      initial_rank: Numerical rank of an initial head's slope, mean over draws and images.
    """

    sweep: StrengthCell
    local_rank: float
    initial_rank: float


class ShapeOutcome(NamedTuple):
    """Measurements on held-out images; layers are feature and embedding.

    Attributes:
      shapes: The heads, in order.
      encoder_depth: Layers of weights in the encoder.
      input_defects: Invariance defect of the pixels under views of the training strength.
      probe_defects: Invariance defect under views of a fixed strength.
      training_defects: The same under views of the training strength.
      ranks: Effective rank (entropy of variances) of views of the training strength.
      accuracies: Linear probe on clean images.
      information: R² with which augmentation parameters are read off, mean over them.
      local_ranks: Effective rank of the head's slope.
      initial_ranks: Numerical rank of the slope before training.
    """

    shapes: tuple[HeadShape, ...]
    encoder_depth: int
    input_defects: Float[np.ndarray, " seeds"]
    probe_defects: PairCells
    training_defects: PairCells
    ranks: PairCells
    accuracies: PairCells
    information: PairCells
    local_ranks: Cells
    initial_ranks: Cells


def head_shape(head: HeadConfig) -> HeadShape:
    """The shape of a head from its configuration.

    Example:
      >>> head_shape(HeadConfig(kind="mlp", widths=(64, 64, 32))).name
      '2 × 64'
    """
    if head.kind == "none":
        return HeadShape("no head", 0, 0)
    hidden = head.widths[:-1]
    if not hidden:
        return HeadShape("linear", 1, 0)
    return HeadShape(f"{len(hidden)} × {min(hidden)}", len(head.widths), min(hidden))


def encoder_depth(encoder: EncoderConfig) -> int:
    """Layers of weights between image and feature, along the longest path.

    Example:
      >>> [encoder_depth(EncoderConfig(depth=depth)) for depth in (8, 18)]
      [7, 17]
    """
    if encoder.kind != "resnet":
        return len(encoder.widths)
    if encoder.depth:
        return encoder.depth - 1  # the name counts a classifier
    return 1 + (2 if encoder.block == "basic" else 3) * sum(encoder.stage_sizes)


def trained_local_rank(run: Run, images: Dataset) -> float:
    """Effective rank of the head's slope at each image, averaged.

    Args:
      run: The trained network.
      images: Held-out images.

    Returns:
      The mean.
    """
    features = _features(run, run.state, images)
    return local_ranks(
        local_slopes(head_layers(run.state.params, features.shape[1]), features)
    ).effective


def initial_local_rank(run: Run, state: Any, images: Dataset, seed: int) -> float:
    """Numerical rank of the slope of heads as they are drawn, averaged over draws and images.

    Args:
      run: Any training of the network.
      state: Parameters and statistics before training, which the features are of.
      images: A few held-out images.
      seed: Of the draws.

    Returns:
      The mean over `DRAWS` heads.
    """
    features = _features(run, state, images)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2**22), DRAWS)

    def drawn(key: jax.Array) -> Any:
        return run.network.init(key)[0].get("head", {})

    heads = jax.device_get(jax.jit(jax.vmap(drawn))(keys))
    slopes = [
        local_slopes(head_layers({"head": one}, features.shape[1]), features)
        for one in (jax.tree.map(lambda leaf, at=draw: leaf[at], heads) for draw in range(DRAWS))
    ]
    return local_ranks(np.concatenate(slopes)).numerical


def _features(run: Run, state: Any, images: Dataset) -> np.ndarray:
    return features_of(run.network, state.params, state.statistics, images, ("feature",))["feature"]


def gathered_shapes(
    shapes: Sequence[HeadShape],
    encoder: EncoderConfig,
    input_defects: Sequence[float],
    cells: Sequence[Sequence[ShapeCell]],
) -> ShapeOutcome:
    """The cells as arrays.

    Args:
      shapes: Of the columns.
      encoder: What all share.
      input_defects: Of the pixels, one for each seed.
      cells: One row for each seed.

    Returns:
      Arrays of leading axes (seeds, heads).
    """

    def over(value: Any) -> np.ndarray:
        return np.array([[value(cell) for cell in row] for row in cells])

    return ShapeOutcome(
        shapes=tuple(shapes),
        encoder_depth=encoder_depth(encoder),
        input_defects=np.array(input_defects),
        probe_defects=over(lambda cell: cell.sweep.geometry.probe_defects),
        training_defects=over(lambda cell: cell.sweep.geometry.training_defects),
        ranks=over(lambda cell: cell.sweep.geometry.effective_ranks),
        accuracies=over(lambda cell: cell.sweep.accuracies),
        information=over(lambda cell: np.mean(list(cell.sweep.information.values()), axis=0)),
        local_ranks=over(lambda cell: cell.local_rank),
        initial_ranks=over(lambda cell: cell.initial_rank),
    )
