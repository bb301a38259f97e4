"""What one may want to know about an image: its class, and what augmentations play with."""

import numpy as np

from ssljax.augment.color import LUMA
from ssljax.data.sources import Dataset
from ssljax.system.arrays import Float

ANIMALS = (2, 3, 4, 5, 6, 7)
"""Classes of CIFAR-10 that are animals; the others are vehicles."""

COLOR_TASKS = ("brightness", "color", "saturation")
"""Tasks whose answer color jitter changes and crops leave nearly alone."""

Targets = Float[np.ndarray, "_ _"]


def task_targets(dataset: Dataset) -> dict[str, Targets]:
    """Numbers to be read off an image by a linear probe, by the task's name.

    Args:
      dataset: Images in color, with their labels.

    Returns:
      "class" (one output a class), "animal or vehicle", mean "brightness", "color" (red less
      blue), "saturation" (spread of the channels), "contrast" (spread of the luma), "left or
      right" and "top or bottom" (where it is brighter); tasks on which the images do not differ
      are left out.
    """
    pixels = dataset.images.astype(np.float64) * dataset.pixel_scale
    luma = pixels @ np.array(LUMA)
    rows, columns = luma.shape[1] // 2, luma.shape[2] // 2
    single = {
        "animal or vehicle": np.isin(dataset.labels, ANIMALS).astype(np.float64),
        "brightness": np.mean(luma, axis=(1, 2)),
        "color": np.mean(pixels[..., 0] - pixels[..., 2], axis=(1, 2)),
        "saturation": np.mean(np.max(pixels, axis=-1) - np.min(pixels, axis=-1), axis=(1, 2)),
        "contrast": np.std(luma, axis=(1, 2)),
        "left or right": np.mean(luma[:, :, :columns], axis=(1, 2))
        - np.mean(luma[:, :, columns:], axis=(1, 2)),
        "top or bottom": np.mean(luma[:, :rows], axis=(1, 2))
        - np.mean(luma[:, rows:], axis=(1, 2)),
    }
    targets = {"class": np.eye(dataset.num_classes)[dataset.labels]}
    return targets | {
        name: values[:, None] for name, values in single.items() if np.std(values) > 1e-9
    }
