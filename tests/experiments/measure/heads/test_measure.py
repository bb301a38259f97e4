"""Everything of a seed: complete for the records that read it, and accepted by the table."""

import numpy as np
import pytest

from experiments.core.measurements import Measurement, curve_name, make_table
from experiments.measure.heads.measure import measure_heads
from experiments.measure.subject import Labeled, Split, Subject
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from experiments.networks.variant import Variant, as_input
from experiments.tools.listing import find_missing
from experiments.tools.registry import EXPERIMENTS

WIDTH = 8


def draw_images(count: int, seed: int) -> Labeled:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    return Labeled(images, rng.integers(0, 10, count))


class LinearFeature(Variant):
    """A feature that is linear in the pixels, in place of a trained network."""

    def __init__(self, seed: int):
        draws = np.random.default_rng(seed).normal(size=(48, WIDTH))
        object.__setattr__(self, "params", draws.astype(np.float32))

    def __call__(self, images):
        return {"feature": as_input(images).reshape(len(images), -1) @ self.params}


def view(images, strength, number):
    noise = np.random.default_rng(number).normal(size=images.shape)
    return (images / 255 + 0.3 * strength * noise).astype(np.float32)


def make_network(name: str) -> Subject:
    return Subject(
        name,
        0,
        TRAININGS[name],
        SIZES["smoke"],
        lambda task: Split(draw_images(0, 0), draw_images(0, 0)),
        variants={"trained": LinearFeature(len(name))},
        view=view,
    )


@pytest.mark.slow
def test_what_records_read_of_heads_is_measured():
    subject = Subject(
        "frozen",
        0,
        TRAININGS["frozen"],
        SIZES["smoke"],
        lambda task: Split(draw_images(120, 0), draw_images(100, 1)),
        after={name: make_network(name) for name in TRAININGS["frozen"].after},
    )
    found = tuple(measure_heads(subject))
    rows = [item for item in found if isinstance(item, Measurement)]
    curves = {
        curve_name(item.key): item.values for item in found if not isinstance(item, Measurement)
    }
    table = make_table(rows, [], curves)
    assert find_missing("frozen", 0, table, EXPERIMENTS) == ()
    assert all(np.isfinite(values).all() for values in curves.values())
