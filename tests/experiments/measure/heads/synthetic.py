"""Features of views whose moments are known: independent modes, mixed by a rotation."""

import numpy as np

from experiments.measure.heads.banks import Banks, scale_banks

SCALES = np.array([1.0, 0.8, 0.6, 0.4, 0.3, 0.2])
ALIGNMENTS = np.array([0.9, 0.5, 0.8, 0.2, 0.7, 0.6])


def draw_banks(images: int = 400, views: int = 4, copies: int = 1) -> Banks:
    """Return two banks of views with variances `SCALES`, of which `ALIGNMENTS` are shared.

    Args:
      images: How many.
      views: Of each, in both banks.
      copies: Modes of each kind.
    """
    rng = np.random.default_rng(0)
    scales, alignments = np.tile(SCALES, copies), np.tile(ALIGNMENTS, copies)
    width = len(scales)
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0]
    shared = np.sqrt(alignments) * rng.normal(size=(images, 1, width))
    own = np.sqrt(1 - alignments) * rng.normal(size=(images, 2 * views, width))
    found = ((shared + own) * np.sqrt(scales) @ rotation.T).astype(np.float32)
    return scale_banks(found[:, :views], found[:, views:])
