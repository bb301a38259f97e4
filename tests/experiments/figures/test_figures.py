"""Every figure is drawn from plain arrays, also where numbers are missing, and is not blank."""

import numpy as np
import pytest

from experiments.figures.evolution import LayerCourse, Neighbors, evolution_figure
from experiments.figures.head import HeadSizes, draw_head_distances, draw_head_sizes
from experiments.figures.measured import measured_spectra_figure
from experiments.figures.phase import PhasePoints, draw_phase

RNG = np.random.default_rng(0)
SPECTRUM = np.geomspace(1.0, 1e-4, 12)

DRAWN = {
    "head sizes": lambda path: draw_head_sizes(
        path,
        [
            HeadSizes(f"seed {seed}", SPECTRUM, {"as trained": SPECTRUM, "settled": SPECTRUM}, 0.2)
            for seed in range(3)
        ],
    ),
    "head distances": lambda path: draw_head_distances(
        path,
        ["layer 1", "layer 2"],
        np.array([[0.01, np.inf]]),
        {"rotation": np.array([[0.4, 0.8]]), "gauge": np.array([[0.3, np.nan]])},
        np.array([[0.06, 0.1]]),
    ),
    "phase": lambda path: draw_phase(
        path,
        np.linspace(0.1, 1, 9),
        np.geomspace(0.1, 3, 8),
        RNG.normal(size=(2, 8, 9)),
        np.linspace(0.2, 1.5, 8),
        PhasePoints(
            RNG.uniform(0.2, 0.9, size=(4, 2)),
            np.array([0.1, -0.1, 0.0, 0.2]),
            np.array([True, True, False, True]),
        ),
        0.1,
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
    "measured spectra": lambda path: measured_spectra_figure(
        path,
        ["feature", "embedding"],
        [SPECTRUM, SPECTRUM[:5]],
        [SPECTRUM, SPECTRUM[:5]],
        [3.0, 2.0],
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
