"""Features of shared networks, kept beside them: several experiments stand on the same ones."""

import io
import zipfile

import numpy as np

from experiments.feature_banks import Banks, centered, feature_banks
from experiments.files import make_folder, write_bytes
from experiments.small_data import first
from experiments.trained import cache_folder, run_name, trained
from ssljax.config.config import Config
from ssljax.data.datasets import Dataset

# The encoder that linear heads stand on: trained with NT-Xent and a perceptron as head, so that no
# linear head has shaped it.
FROZEN = "strength-0.5"


def frozen_features(config: Config, dataset: Dataset, *, images: int, views: int) -> Banks:
    """Two banks of views of a trained network's feature, from the cache or computed now.

    Args:
      config: The network, trained first where need be; its seed draws the views too.
      dataset: The images it was trained on.
      images: How many of them, the first ones.
      views: Views of each image in each bank.

    Returns:
      Both banks, as the head receives them.
    """
    name = f"{run_name(config, dataset)}-{images}x{views}.npz"
    file = cache_folder().parent / "features" / name
    try:
        with np.load(file) as kept:
            return Banks(kept["settling"], kept["prediction"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # not there yet, or damaged
        pass
    network = trained(config, dataset)
    banks = feature_banks(network, first(dataset, images), views=views, seed=config.seed)
    packed = io.BytesIO()
    np.savez(packed, **banks._asdict())
    make_folder(file.parent)
    write_bytes(file, packed.getvalue())
    return banks


def unit_features(banks: Banks) -> Banks:
    """Both banks, centered and scaled by what the settling bank says.

    The loss would spend its first mode on the mean. Scaled so that the largest eigenvalue of the
    covariance is one, features of every encoder have rates and decays in the same unit.
    """
    moved = centered(banks)
    flat = moved.settling.reshape(-1, moved.settling.shape[-1]).astype(np.float64)
    largest = np.linalg.eigvalsh(flat.T @ flat / len(flat))[-1]
    factor = np.float32(largest**-0.5)
    return Banks(moved.settling * factor, moved.prediction * factor)
