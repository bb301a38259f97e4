"""A network's features, computed once for every set of images however many measures read them."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float32

from experiments.core.measurements import Measurement
from experiments.measure.subject import Curve, Measure, Subject
from experiments.networks.variant import Features, Images, Variant


class Place(NamedTuple):
    """Where something is measured: a variant of the network and a layer."""

    variant: str
    layer: str


FEATURE = Place("trained", "feature")
EMBEDDING = Place("trained", "embedding")
RANDOM = Place("random_head", "embedding")
UNTRAINED = Place("untrained", "feature")
UNTRAINED_EMBEDDING = Place("untrained", "embedding")
EVERYWHERE = (FEATURE, EMBEDDING, RANDOM, UNTRAINED)


class Passes:
    """A subject that remembers the features of every set of images it was shown.

    Features of a random head are those of the trained encoder, mapped by the head, so that no new
    head costs a pass over the images.
    """

    def __init__(self, subject: Subject) -> None:
        """Start without any features.

        Args:
          subject: The network.
        """
        self.subject = subject
        self._features: dict[tuple[str, bytes], Features] = {}
        self._views: dict[tuple[bytes, float, int], Images] = {}

    def at(self, place: Place, images: Images) -> list[Float32[np.ndarray, "images dim"]]:
        """Return what a place puts out: an array for each draw of a random head, else one.

        Args:
          place: A variant and a layer.
          images: Shown to a variant the first time only.
        """
        if place.variant != RANDOM.variant:
            return [self._pass(place.variant, images)[place.layer]]
        features = self._pass("trained", images)["feature"]
        return [
            np.asarray(_embed(draw.head, draw.params, draw.statistics, features))
            for draw in self.draws(place)
        ]

    def draws(self, place: Place) -> list[Variant]:
        """Return the variants of a place: every draw of a random head, else one."""
        variants = self.subject.variants
        if place.variant != RANDOM.variant:
            return [variants[place.variant]]
        return [draw for name, draw in variants.items() if name.startswith(RANDOM.variant)]

    def views(
        self, place: Place, images: Images, strength: float, count: int
    ) -> list[list[Float32[np.ndarray, "images dim"]]]:
        """Return what a place makes of augmented views: for each draw a list over views.

        Args:
          place: A variant and a layer.
          images: Of which views are made.
          strength: Of the policy of the training.
          count: Views of each image.
        """
        of_views = [self.at(place, self._view(images, strength, number)) for number in range(count)]
        return [list(draw) for draw in zip(*of_views, strict=True)]

    def _pass(self, variant: str, images: Images) -> Features:
        key = (variant, _digest(images))
        if key not in self._features:
            self._features[key] = self.subject.variants[variant](images)
        return self._features[key]

    def _view(self, images: Images, strength: float, number: int) -> Images:
        key = (_digest(images), strength, number)
        if key not in self._views:
            self._views[key] = self.subject.view(images, strength, number)
        return self._views[key]


def _digest(images: Images) -> bytes:
    return hashlib.blake2b(images.tobytes()).digest()


@partial(jax.jit, static_argnums=0)
def _embed(head, params, statistics, features):
    return head(params, statistics, features)


Rows = Callable[[Passes], Iterator[Measurement]]
"""A part of what is measured on an encoder: yields rows."""
Part = Rows | Callable[[Passes], Iterator[Curve]]
"""A part of what is measured on an encoder: yields rows, or curves."""


def join_parts(*parts: Part) -> Measure:
    """Return the measure of a network that consists of parts, which share its features."""

    def measure(subject: Subject) -> Iterator[Measurement | Curve]:
        passes = Passes(subject)
        for part in parts:
            yield from part(passes)

    return measure
