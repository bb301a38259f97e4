"""What a linear readout finds at the feature and at the embedding: classes, and what changed."""

from typing import Any

import jax
import numpy as np

from experiments.representations import features_of
from experiments.view_geometry import LAYERS, network_views
from ssljax.augment.augment import draw_changes
from ssljax.augment.policies import Policy
from ssljax.data.sources import Dataset
from ssljax.measure.features import view_keys
from ssljax.measure.probe import linear_probe, regression_probe
from ssljax.nets.network import Network
from ssljax.system.arrays import Float


def layer_accuracies(
    network: Network,
    state: Any,
    train: Dataset,
    test: Dataset,
    layers: tuple[str, ...] = LAYERS,
    max_iterations: int = 500,
) -> Float[np.ndarray, " layers"]:
    """Test accuracy of a linear probe on clean images, at each layer.

    Args:
      network: Whose layers.
      state: Its parameters and statistics.
      train: Images the probe is fitted on.
      test: Images it is tested on, once.
      layers: Names of the layers.
      max_iterations: Of the probe's solver.

    Returns:
      One accuracy for each layer.
    """
    clean = [
        features_of(network, state.params, state.statistics, dataset, layers)
        for dataset in (train, test)
    ]
    return np.array(
        [
            linear_probe(
                clean[0][layer],
                train.labels,
                clean[1][layer],
                test.labels,
                num_classes=train.num_classes,
                max_iterations=max_iterations,
            ).test_accuracy
            for layer in layers
        ]
    )


def parameter_information(
    network: Network,
    state: Any,
    train: Dataset,
    test: Dataset,
    key: jax.Array,
    policy: Policy,
    strength: float,
    parameters: tuple[str, ...],
) -> dict[str, Float[np.ndarray, " layers"]]:
    """How well a linear readout tells what an augmentation did to an image.

    Args:
      network: Whose layers.
      state: Its parameters and statistics.
      train: Images the readout is fitted on, two views of each.
      test: Images it is tested on.
      key: Draws the views.
      policy: Augmentation per unit of strength.
      strength: Factor on it, the same for all networks compared.
      parameters: Names of what changed, fields of `ssljax.augment.changes.Changes`.

    Returns:
      For each parameter R² on the test images, at feature and embedding.
    """
    views, targets = [], []
    for number, dataset in enumerate((train, test)):
        own = jax.random.fold_in(key, number)
        views.append(network_views(network, state, dataset, own, policy, strength, 2))
        keys = view_keys(own, len(dataset.images), 2).reshape(-1)
        changes = _drawn(keys, policy, strength)
        targets.append(np.stack([np.asarray(getattr(changes, p)) for p in parameters], axis=1))
    scores = [
        regression_probe(_flat(views[0][layer]), targets[0], _flat(views[1][layer]), targets[1]).r2
        for layer in LAYERS
    ]
    return {
        name: np.array([float(score[index]) for score in scores])
        for index, name in enumerate(parameters)
    }


# Op by op, drawing them takes longer than the networks do.
_drawn = jax.jit(draw_changes, static_argnums=1)


def _flat(views: np.ndarray) -> np.ndarray:
    return views.reshape(-1, views.shape[-1])
