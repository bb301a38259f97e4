"""The map of which layer wins: scenarios, simulated points that agree, a grid of one's own."""

import jax
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.measure.simulated_tasks import task_edges
from experiments.tools.phase import (
    NUMBERS,
    REPORT,
    Grid,
    Phase,
    Size,
    count_winners,
    describe_phase,
    place_points,
    read_grid,
    run_phase,
)
from theory.downstream.phase_map import phase_map

OTHERS = (0.2, 0.3, 1.0, 1.5, 2.0)


def _advantage(retention, strength, others=OTHERS, noise=0.5):
    with jax.enable_x64(True):
        found = phase_map(
            np.array([retention]),
            np.array([strength]),
            (2,),
            np.zeros(1),
            np.array(others),
            view_noise=noise,
        )
    return float(np.asarray(found.advantage).item())


@pytest.mark.parametrize(
    ("retention", "strength", "before_is_better"),
    [
        (0.1, 0.5, True),  # disrupted by augmentation
        (0.9, 0.06, True),  # too weak
        (0.9, 3.0, True),  # too strong
        (0.95, 0.5, False),  # ranked high by pre-training
    ],
)
def test_the_three_scenarios_are_on_the_map(retention, strength, before_is_better):
    assert (_advantage(retention, strength) > 0) == before_is_better


@pytest.mark.parametrize(("others", "noise"), [(OTHERS, 0.5), ((0.5, 1.2), 0.3)])
def test_the_drawn_edge_is_where_the_advantage_changes_sign(others, noise):
    with jax.enable_x64(True):
        edge = float(task_edges(1.0, 0.6, others, noise).disrupted)
    assert 0 < edge < 1
    assert abs(_advantage(edge, 0.6, others, noise)) < 1e-12


def test_a_grid_of_ones_own_is_mapped_and_simulated(tmp_path, capsys):
    grid = read_grid("0.1,0.5,1", "log:0.1:2:4", 0.1, "0.5,1.2", 0.3)
    found = run_phase(tmp_path, grid, Size(resolution=0, points=2, repeats=40))
    with np.load(tmp_path / NUMBERS) as numbers:
        assert numbers["retention"].tolist() == [0.1, 0.5, 1.0]
        np.testing.assert_allclose(numbers["strength"], np.geomspace(0.1, 2, 4))
        assert numbers["weight_decay"].tolist() == [0.0, 0.1]
        np.testing.assert_allclose(numbers["gains"], found.gains.mean(axis=2))
    expected = [
        [_advantage(alpha, phi, (0.5, 1.2), 0.3) for phi in grid.strengths]
        for alpha in grid.retentions
    ]
    np.testing.assert_allclose(found.advantage[..., 0], expected, rtol=1e-9, atol=1e-12)
    assert found.gains.shape == (3, 4, 40)
    page = (tmp_path / REPORT).read_text()
    assert "have strengths 0.5, 1.2" in page
    assert capsys.readouterr().out.splitlines()[0] in page
    assert (tmp_path / "phase.png").stat().st_size > 10_000


def test_the_default_points_lie_where_they_always_did():
    grid = read_grid("0.02:1:160", "log:0.05:3.2:160", 0.05, "0.2,0.3,1,1.5,2", 0.5)
    alphas, phis = np.linspace(0.1, 0.95, 8), np.geomspace(0.07, 2.6, 8)
    expected = [(alpha, phi) for alpha in alphas for phi in phis]
    np.testing.assert_allclose(place_points(grid, 8), expected)


def test_sentences_count_what_was_found():
    grid = Grid(
        retentions=np.array([0.5, 1.0]),
        strengths=np.array([0.5, 1.0]),
        weight_decay=0.1,
        others=(1.0,),
        view_noise=0.5,
    )
    advantage = np.array([[[1.0, 0.5], [2.0, 3.0]], [[1.0, np.nan], [-1.0, -1.0]]])
    noise = np.tile([-0.01, 0.01], 50)
    gains = np.stack([noise + 0.2, noise - 0.2, noise + 0.1, noise])[None]
    points = np.zeros((4, 2))
    found = Phase(advantage, np.zeros(2), points, np.array([1.0, -1.0, -1.0, 1.0]), gains)
    winners = count_winners(found)
    # The last point is a tie; of three clear ones two are named, and two are better before.
    assert (winners.right, winners.constant, winners.clear) == (2 / 3, 2 / 3, 3)
    first, second, third = describe_phase(grid, found)
    assert "75.0% of the map" in first
    assert "50.0%" in first
    assert "at 50.0% of its points" in second
    assert "at 66.7% of the 3 simulated points (of 4)" in third


@pytest.mark.slow
def test_the_smoke_run_finds_the_winners(tmp_path, capsys):
    assert main(["phase", "--tier", "smoke", "--out", str(tmp_path)]) == 0
    assert "classifies better at 100.0%" in capsys.readouterr().out
