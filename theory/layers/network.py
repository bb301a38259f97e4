"""Layers of a deep linear network, given first to last."""

import functools
import itertools

from jaxtyping import Float

from theory.linalg.arrays import Arr
from theory.linalg.errors import InputError

Weights = tuple[Float[Arr, "_ _"], ...]
WeightPaths = tuple[Float[Arr, "times _ _"], ...]


def end_to_end_map(weights: Weights) -> Float[Arr, "out dim"]:
    """The product W_L…W_1 of layers given first to last."""
    return functools.reduce(lambda product, weight: weight @ product, weights)


def check_chain(weights: Weights) -> None:
    """Refuse layers that cannot follow each other."""
    for index, (lower, upper) in enumerate(itertools.pairwise(weights)):
        if upper.shape[1] != lower.shape[0]:
            raise InputError(
                f"weights[{index + 1}] has {upper.shape[1]} columns but weights[{index}] has"
                f" {lower.shape[0]} rows: give W_1 first, each W_l as (width_l, width_(l-1))"
            )
