"""Every network yields what experiments read of it, each row and curve once."""

import numpy as np
import pytest

from experiments.core.measurements import Measurement, curve_name, make_table
from experiments.measure.encoders import corruptions, tangents
from experiments.measure.encoders.plan import ENCODERS
from experiments.networks.images import Labeled, Split
from experiments.tools.listing import find_missing
from experiments.tools.registry import EXPERIMENTS
from tests.experiments.measure.encoders.planted import make_passes, make_split


def make_groups(rng):
    def part(count):
        groups = np.arange(8 * count) % 8
        images = rng.integers(0, 256, (len(groups), 4, 4, 3)).astype(np.uint8)
        return Labeled(images, groups // 4, groups)

    return Split(part(20), part(20), part(20))


@pytest.fixture(scope="module")
def tasks():
    rng = np.random.default_rng(0)
    split = make_split(rng, train=80, test=100)
    large = np.repeat(np.repeat(split.test.images, 2, axis=1), 2, axis=2)
    full_size = split._replace(test=split.test._replace(images=large))
    return {"split": split, "corruptions": full_size, "object": make_groups(rng)}


EVERYDAY = ("coarse-fixed", "digits-full", "groups-entropy")


@pytest.mark.parametrize(
    "network",
    [name if name in EVERYDAY else pytest.param(name, marks=pytest.mark.slow) for name in ENCODERS],
)
def test_an_encoder_is_measured_completely(network, tasks, monkeypatch):
    monkeypatch.setattr(corruptions, "CORRUPTIONS", ("contrast",))
    monkeypatch.setattr(tangents, "DRAWN_HEADS", 2)
    monkeypatch.setattr(tangents, "SAMPLES", 16)
    subject = make_passes(tasks["split"], network, tasks=tasks).subject
    found = list(ENCODERS[network](subject))
    rows = [item for item in found if isinstance(item, Measurement)]
    curves = [item for item in found if not isinstance(item, Measurement)]
    table = make_table(rows, curves={curve_name(item.key): item.values for item in curves})
    assert find_missing(network, subject.seed, table, EXPERIMENTS) == ()
    assert all(item.values.dtype == np.uint8 and item.values.ndim == 4 for item in curves)
