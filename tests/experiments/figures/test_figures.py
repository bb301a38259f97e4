"""Every figure is drawn from plain arrays, also where numbers are missing, and is not blank."""

import numpy as np
import pytest

from experiments.figures.distances import distances_figure
from experiments.figures.evolution import LayerCourse, Neighbors, evolution_figure
from experiments.figures.head import settled_head_figure
from experiments.figures.layers import exponent_figure, layer_spectra_figure
from experiments.figures.measured import measured_spectra_figure
from experiments.figures.phase import phase_figure
from experiments.figures.strength import Forecast, LayerPair, strength_sweep_figure
from experiments.figures.times import time_courses_figure

RNG = np.random.default_rng(0)
SPECTRUM = np.geomspace(1.0, 1e-4, 12)
SEEDS = SPECTRUM * np.exp(RNG.normal(scale=0.05, size=(3, 4, 12)))


def _pair():
    return LayerPair(RNG.uniform(size=(3, 5)), RNG.uniform(size=(3, 5)))


def _forecast(valid=True):
    return Forecast(*_pair(), np.full((3, 5), valid))


DRAWN = {
    "layer spectra": lambda path: layer_spectra_figure(
        path, np.tile(SPECTRUM, (4, 1)), SEEDS, ["input", "head1", "head2", "embedding"], compared=8
    ),
    "over training": lambda path: evolution_figure(
        path,
        np.array([0, 10, 100]),
        [
            LayerCourse(name, np.tile(SPECTRUM, (3, 1)), np.ones(3), np.array([0.5, np.nan, 0.2]))
            for name in ("stage1", "feature", "head1", "head2", "embedding")
        ],
        Neighbors(np.array([0, 100]), {"feature": np.array([0.3, 0.5])}, 0.28),
    ),
    "exponents": lambda path: exponent_figure(
        path,
        np.array([1 / 3, 2 / 3, 1.0]),
        np.array([[0.34, 0.67, 1.0]]),
        {"depth 2": np.array([0.5, 1.0, np.nan])},
        tolerance=0.05,
    ),
    "time courses": lambda path: time_courses_figure(
        path,
        np.linspace(0, 10, 50),
        np.ones((2, 50)),
        np.linspace(0, 10, 5),
        np.ones((3, 2, 5)),
        ["mode 1", "mode 2"],
    ),
    "distances": lambda path: distances_figure(
        path,
        ["layer 1", "layer 2"],
        np.array([[0.01, 0.02]]),
        {"rotation": np.array([[0.4, 0.8]]), "gauge": np.array([[0.3, np.nan]])},
        tolerance=0.1,
    ),
    "collapsed head": lambda path: distances_figure(
        path, ["layer 1"], np.array([[np.inf]]), {"rotation": np.array([[np.inf]])}
    ),
    "settled head": lambda path: settled_head_figure(
        path,
        np.tile(SPECTRUM, (3, 1)),
        SEEDS[:, 0],
        SEEDS[:, 1],
        np.full(3, 0.2),
        active=np.array([[7, 7], [7, 8], [8, 8]]),
    ),
    "strength sweep": lambda path: strength_sweep_figure(
        path,
        np.array([0.1, 0.2, 0.35, 0.55, 0.8]),
        _pair(),
        _pair(),
        _forecast(),
        _forecast(valid=False),
        {"rotation": _pair()},
    ),
    "measured spectra": lambda path: measured_spectra_figure(
        path,
        ["feature", "embedding"],
        [SPECTRUM, SPECTRUM[:5]],
        [SPECTRUM, SPECTRUM[:5]],
        [3.0, 2.0],
    ),
    "phase": lambda path: phase_figure(
        path,
        np.linspace(0.1, 1, 9),
        np.geomspace(0.1, 3, 8),
        RNG.normal(size=(2, 8, 9)),
        np.linspace(0.2, 1.5, 8),
        RNG.uniform(0.2, 0.9, size=(4, 2)),
        np.array([0.1, -0.1, 0.0, 0.2]),
        np.array([True, True, False, True]),
        weight_decay=0.1,
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_figure_is_drawn(name, tmp_path):
    from matplotlib.image import imread

    path = tmp_path / "figure.png"
    DRAWN[name](path)
    image = imread(path)
    assert image.shape[0] > 300
    assert image.shape[1] > 600
    assert np.std(image[..., :3]) > 0.02
