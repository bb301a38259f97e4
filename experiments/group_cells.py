"""Accuracy by group before and after a head, by a probe that trusts shortcuts and one that cannot.

A group is a class with two attributes; in the training images each attribute nearly always goes
with its class, in the others all eight groups are as frequent.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.errors import InputError
from experiments.representations import Representation, features_of, probed
from experiments.shortcut_data import Splits
from ssljax.measure.robust_probe import GroupAccuracy, group_accuracy, retrain_probe
from ssljax.nets.network import Network
from ssljax.system.arrays import Float, Int

# 4 class + 2 background + object; in the training images all three are mostly alike.
OTHER_OBJECT = (1, 6)
OTHER_BACKGROUND = (2, 5)
OTHER_BOTH = (3, 4)


class ShortcutGaps(NamedTuple):
    """Accuracy where shortcuts mislead, less that on a mixture of groups like the training images'.

    Attributes:
      background: Groups whose background alone is of the other class.
      other: Groups whose co-occurring object alone is.
      both: Groups in which both are.
    """

    background: float
    other: float
    both: float


class LayerGroups(NamedTuple):
    """One layer of one network.

    Attributes:
      plain: Worst-group and average accuracy of a probe fitted to the biased training images.
      robust: The same of a last layer retrained on validation images with groups in balance.
      gaps: Of the plain probe.
    """

    plain: Float[np.ndarray, "2"]
    robust: Float[np.ndarray, "2"]
    gaps: ShortcutGaps


def layer_groups(
    network: Network,
    params: Any,
    statistics: Any,
    splits: Splits,
    layers: Sequence[str],
    *,
    seed: int,
    refits: int,
) -> dict[str, LayerGroups]:
    """Measure layers of a network.

    Args:
      network: Whose layers.
      params: Its parameters.
      statistics: Its running statistics.
      splits: Images with groups.
      layers: Names.
      seed: Of the balanced subsets of the robust probe.
      refits: Fits it averages.

    Returns:
      The measurements, by layer.
    """
    train, val, test = (features_of(network, params, statistics, part, layers) for part in splits)
    labels = [part.labels for part in splits]
    groups = [_groups(part.groups) for part in splits]
    found = {}
    for layer in layers:
        plain = probed(
            Representation(train[layer], test[layer]),
            labels[0],
            labels[2],
            splits.train.num_classes,
        )
        by_group = group_accuracy(plain.predictions, labels[2], groups[2])
        robust = retrain_probe(
            train[layer],
            val[layer],
            labels[1],
            groups[1],
            test[layer],
            labels[2],
            groups[2],
            seed=seed,
            refits=refits,
        ).test
        found[layer] = LayerGroups(
            _pair(by_group), _pair(robust), shortcut_gaps(by_group, groups[0])
        )
    return found


def shortcut_gaps(accuracy: GroupAccuracy, train_groups: Int[np.ndarray, " train"]) -> ShortcutGaps:
    """The gaps of the UrbanCars design, from the accuracy in each of its eight groups.

    Args:
      accuracy: Of a probe, by group.
      train_groups: Group of each training image; their frequencies weigh the reference.

    Returns:
      The gaps, negative where shortcuts mislead.

    Raises:
      InputError: There are not eight groups.
    """
    if len(accuracy.by_group) != 8:
        raise InputError(
            f"{len(accuracy.by_group)} groups given; the gaps need the eight of two shortcuts"
        )
    shares = np.bincount(train_groups, minlength=8) / len(train_groups)
    reference = float(np.sum(shares * accuracy.by_group))
    return ShortcutGaps(
        *(
            float(np.mean(accuracy.by_group[list(groups)])) - reference
            for groups in (OTHER_BACKGROUND, OTHER_OBJECT, OTHER_BOTH)
        )
    )


def _pair(accuracy: GroupAccuracy) -> np.ndarray:
    return np.array([accuracy.worst, accuracy.average])


def _groups(groups: Int[np.ndarray, " n"] | None) -> Int[np.ndarray, " n"]:
    if groups is None:
        raise InputError("these images have no groups; give a set that has, for instance urbancars")
    return groups
