"""What measuring one network gives to the runner."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from experiments.core.measurements import Measurement, Run


class Measured(NamedTuple):
    """Everything that is kept of one network of one seed.

    Attributes:
      run: Where it came from.
      rows: The numbers.
      curves: Arrays that only figures need, by `measurements.curve_name`.
    """

    run: Run
    rows: tuple[Measurement, ...]
    curves: Mapping[str, np.ndarray]


MeasureNetwork = Callable[[str, int, str], Measured]
"""Trains (or loads) a network and measures it, from its name, seed and tier."""
