"""The images of a tier: what networks are trained on, and what probes of a task read."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8


class Labeled(NamedTuple):
    """Images of a task, in stored order, with their labels, and their groups where there are any.

    Groups are ``4 class + 2 background + digit``; test images of a group are in the order of their
    objects, which are the same in all four groups of a class.
    """

    images: UInt8[np.ndarray, "images height width channels"]
    labels: Int[np.ndarray, " images"]
    groups: Int[np.ndarray, " images"] | None = None


class Split(NamedTuple):
    """What a probe of a task is fitted on and tested on.

    Attributes:
      train: As many training images as the tier has labels for probes; of groups, the pictures
        that networks were trained on, whose shortcuts go with the class.
      test: All test images.
      validation: Of groups: pictures of held-out training objects, all groups alike frequent.
    """

    train: Labeled
    test: Labeled
    validation: Labeled | None = None
