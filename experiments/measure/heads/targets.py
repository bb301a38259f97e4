"""What a probe may be asked about an image: its class, and what augmentations play with."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from experiments.measure.subject import Labeled
from ssljax.augment.color import LUMA

ANIMALS = (2, 3, 4, 5, 6, 7)
"""Classes of CIFAR-10 that are animals; the others are vehicles."""

Targets = Mapping[str, Float[np.ndarray, "_ _"]]


def describe_images(data: Labeled, classes: int) -> Targets:
    """Return numbers that a linear probe may read off images, by what they tell.

    Args:
      data: Images in color, with their labels.
      classes: Outputs of the task `class`.

    Returns:
      Class, animal or vehicle, mean brightness, color (red less blue), saturation (spread of the
      channels), contrast (spread of the luma), and where it is brighter; each (images, outputs).
    """
    pixels = data.images.astype(np.float64) / 255.0
    luma = pixels @ np.array(LUMA)
    rows, columns = luma.shape[1] // 2, luma.shape[2] // 2
    single = {
        "animal": np.isin(data.labels, ANIMALS).astype(np.float64),
        "brightness": np.mean(luma, axis=(1, 2)),
        "color": np.mean(pixels[..., 0] - pixels[..., 2], axis=(1, 2)),
        "saturation": np.mean(np.max(pixels, axis=-1) - np.min(pixels, axis=-1), axis=(1, 2)),
        "contrast": np.std(luma, axis=(1, 2)),
        "left": np.mean(luma[:, :, :columns], axis=(1, 2))
        - np.mean(luma[:, :, columns:], axis=(1, 2)),
        "top": np.mean(luma[:, :rows], axis=(1, 2)) - np.mean(luma[:, rows:], axis=(1, 2)),
    }
    return {"class": np.eye(classes)[data.labels]} | {
        name: values[:, None] for name, values in single.items()
    }


def drop_constant(train: Targets, test: Targets) -> tuple[Targets, Targets]:
    """Return the targets on which images of both sets differ; gray ones all have the same color."""
    kept = [
        name
        for name in train
        if all(np.std(part[name], axis=0).max() > 1e-9 for part in (train, test))
    ]
    return {name: train[name] for name in kept}, {name: test[name] for name in kept}
