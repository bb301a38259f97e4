"""The map of which layer wins: three scenarios, and simulated points that agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.tools.phase import _advantage_at, _edges
from experiments.results import read_results


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
    assert (_advantage_at(retention, strength) > 0) == before_is_better


def test_the_drawn_edge_is_where_the_advantage_changes_sign():
    with jax.enable_x64(True):
        edge = float(_edges(np.array([0.6]))[0])
        assert 0 < edge < 1
        assert abs(_advantage_at(edge, 0.6)) < 1e-12


def test_the_smoke_run_writes_a_report(tmp_path):
    assert main(["phase", "--scale", "smoke", "--out", str(tmp_path)]) == 0
    results = read_results(tmp_path / "results.json")
    winner, region, survivors = results.rows
    assert len(results.seeds) == 3
    assert winner.measured >= 0.8
    # Decay takes features from both layers; where it leaves them it does not shrink the advantage.
    assert region.verdict == "holds"
    assert survivors.verdict == "fails"
    assert (tmp_path / "phase.png").stat().st_size > 10_000
    assert jnp.ones(1).dtype == jnp.float32
