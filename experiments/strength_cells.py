"""A sweep of the augmentation strength: what is measured on each network, gathered over all."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from experiments.layer_probes import layer_accuracies, parameter_information
from experiments.small_data import first
from experiments.view_geometry import ViewGeometry, network_views, view_geometry
from ssljax.config.config import Config
from ssljax.data.sources import Dataset
from ssljax.nets.network import Network

PROBE_STRENGTH = 0.3
INFORMATION_STRENGTH = 0.5
INFORMATION_IMAGES = 4000
"""Images whose views the readout of augmentation parameters is fitted on, at most."""

Cell = Float[np.ndarray, "seeds strengths"]
PairCell = Float[np.ndarray, "seeds strengths layers"]


class StrengthCell(NamedTuple):
    """One network of the sweep; pairs are (feature, embedding).

    Attributes:
      geometry: Invariance, ranks and forecasts.
      accuracies: Linear probe on clean images.
      information: R² with which each augmentation parameter is read off, by its name.
    """

    geometry: ViewGeometry
    accuracies: Float[np.ndarray, " layers"]
    information: dict[str, Float[np.ndarray, " layers"]]


class SweepOutcome(NamedTuple):
    """Measurements on held-out images; the layers are feature and embedding.

    The embedding is normalized to the sphere, as its loss sees it.

    Attributes:
      strengths: Augmentation strengths of training.
      probe_defects: Invariance defect under views of one fixed strength.
      training_defects: The same under views of the training strength.
      ranks: Effective rank (entropy of variances) of views of the training strength.
      threshold_ranks: Count of singular values above a fraction of the largest, likewise.
      accuracies: Linear probe on clean images.
      information: R² with which each augmentation parameter is read off, by its name.
      predicted_ranks: Water-filling forecast of the embedding's effective rank.
      predicted_defects: Water-filling forecast of its defect at training strength.
      valid: Where the forecast's relaxation holds.
    """

    strengths: Float[np.ndarray, " strengths"]
    probe_defects: PairCell
    training_defects: PairCell
    ranks: PairCell
    threshold_ranks: PairCell
    accuracies: PairCell
    information: dict[str, PairCell]
    predicted_ranks: Cell
    predicted_defects: Cell
    valid: Bool[np.ndarray, "seeds strengths"]


def strength_cell(
    network: Network,
    state: Any,
    config: Config,
    train: Dataset,
    test: Dataset,
    *,
    strength: float,
    views: int,
    seed: int,
    parameters: tuple[str, ...],
) -> StrengthCell:
    """Measure one network of the sweep.

    Args:
      network: The network.
      state: Its parameters and statistics.
      config: What it was trained with: policy and temperature.
      train: Images that probes are fitted on.
      test: Held-out images, for everything else.
      strength: The strength it was trained at.
      views: Views of each test image.
      seed: Of the views.
      parameters: Augmentation parameters to look for.

    Returns:
      The cell.
    """
    key = jax.random.fold_in(jax.random.key(seed), 2**20)

    def seen(number: int, at: float) -> dict[str, np.ndarray]:
        own = jax.random.fold_in(key, number)
        return network_views(network, state, test, own, config.policy, at, views)

    at_probe, at_training = seen(0, PROBE_STRENGTH), seen(1, strength)
    with jax.enable_x64(True):
        geometry = view_geometry(at_probe, at_training, config.loss.temperature)
    information = parameter_information(
        network,
        state,
        first(train, INFORMATION_IMAGES),
        test,
        jax.random.fold_in(key, 2),
        config.policy,
        INFORMATION_STRENGTH,
        parameters,
    )
    return StrengthCell(geometry, layer_accuracies(network, state, train, test), information)


def gathered_sweep(
    strengths: Sequence[float], cells: Sequence[Sequence[StrengthCell]]
) -> SweepOutcome:
    """The cells as arrays.

    Args:
      strengths: Of the columns.
      cells: One row for each seed.

    Returns:
      Arrays of leading axes (seeds, strengths).
    """

    def geometry(name: str) -> np.ndarray:
        return np.array([[getattr(cell.geometry, name) for cell in row] for row in cells])

    return SweepOutcome(
        strengths=np.array(strengths, float),
        probe_defects=geometry("probe_defects"),
        training_defects=geometry("training_defects"),
        ranks=geometry("effective_ranks"),
        threshold_ranks=geometry("threshold_ranks"),
        accuracies=np.array([[cell.accuracies for cell in row] for row in cells]),
        information={
            name: np.array([[cell.information[name] for cell in row] for row in cells])
            for name in cells[0][0].information
        },
        predicted_ranks=geometry("predicted_rank"),
        predicted_defects=geometry("predicted_defect"),
        valid=geometry("valid").astype(bool),
    )
