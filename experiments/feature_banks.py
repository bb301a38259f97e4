"""Features of augmented views in two banks: heads settle on one, moments come from the other."""

from typing import NamedTuple

import jax
import numpy as np

from ssljax.data.sources import Dataset
from ssljax.measure.features import view_features
from ssljax.runs.saved_run import Run
from ssljax.system.arrays import Float

Bank = Float[np.ndarray, "images views width"]


class Banks(NamedTuple):
    """The same images in other views.

    Attributes:
      settling: What a head is trained on.
      prediction: What moments are measured on; training never sees these views.
    """

    settling: Bank
    prediction: Bank


def feature_banks(
    run: Run, dataset: Dataset, *, views: int, seed: int, layer: str = "feature"
) -> Banks:
    """Two banks of views of one layer, in evaluation mode, under the run's own augmentation.

    Args:
      run: The trained network.
      dataset: Images, in the form the network was trained on.
      views: Views of each image in each bank.
      seed: Randomness of the views, apart from training's.
      layer: Which layer.

    Returns:
      Both banks.
    """
    return Banks(
        *(
            view_features(
                run.network.apply,
                run.state.params,
                run.state.statistics,
                dataset.images,
                dataset.pixel_scale,
                jax.random.fold_in(jax.random.key(2**30 + bank), seed),
                run.config.policy,
                run.config.strength,
                views=views,
                layers=(layer,),
            )[layer]
            for bank in (0, 1)
        )
    )


def centered(banks: Banks) -> Banks:
    """Both banks less the mean of the one that heads are trained on."""
    center = banks.settling.mean(axis=(0, 1), keepdims=True)
    return Banks(banks.settling - center, banks.prediction - center)
