"""Settled heads: machinery at smoke scale, and the arithmetic of the rows."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import settled
from experiments.head_comparison import compared_on_moments
from experiments.settled_cells import SettledCell, fresh_head, head_gains, kept_fractions
from experiments.settled_rows import gap_rows, law_violation, layer_law_rows, spectrum_rows
from theory.moments.moments import Moments
from theory.optimum.thresholds import decayed_mode


def _commuting(depth, decay, noise=0.0, seed=0):
    """A head exactly at the decayed optimum of commuting moments, in a random basis."""
    rng = np.random.default_rng(seed)
    scales, alignments = np.array([1.0, 0.6, 0.4, 0.1]), np.array([0.9, 0.7, 0.8, 0.3])
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    with jax.enable_x64(True):
        roots = np.asarray(
            decayed_mode(
                jnp.asarray(scales), jnp.asarray(alignments), weight_decay=decay, depth=depth
            )
        )
    turns = [np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(depth)]
    weights, before = [], basis
    for turn in turns:
        weights.append(turn @ np.diag(np.sqrt(roots)) @ before.T)
        before = turn
    weights = [w + noise * rng.normal(size=w.shape) for w in weights]
    moments = Moments(
        basis @ np.diag(scales) @ basis.T,
        basis @ np.diag(scales * alignments) @ basis.T,
        images=np.asarray(10_000.0),
        views=np.asarray(8.0),
    )
    return moments, tuple(weights), scales * roots**depth / alignments


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_fractions_are_read_along_each_modes_own_direction(depth):
    moments, weights, wanted = _commuting(depth, 0.1)
    found = np.sort(kept_fractions(moments, weights))
    np.testing.assert_allclose(found, np.sort(wanted[wanted > 0]), rtol=1e-8)


def test_gains_of_a_balanced_head_are_powers():
    moments, weights, wanted = _commuting(3, 0.05)
    gains = head_gains(moments, weights, int(np.sum(wanted > 0)))
    for layer in (1, 2):
        np.testing.assert_allclose(gains[layer - 1], gains[-1] * layer / 3, atol=1e-8)


@functools.cache
def _cells(decays=(0.1, 0.11), noise=0.0, depths=(1, 2)):
    cells = []
    for seed in (0, 1):
        found = {}
        for depth in depths:
            for decay in decays:
                moments, weights, _ = _commuting(depth, decay, noise, seed)
                outcome = compared_on_moments(moments, weights, weight_decay=decay, seed=seed)
                fractions = kept_fractions(moments, weights)
                scales = np.linalg.eigvalsh(moments.covariance)[::-1]
                gains = head_gains(moments, weights, len(fractions))
                found[depth, decay] = SettledCell(outcome, fractions, scales, gains)
        cells.append(found)
    return cells


def test_heads_at_their_optimum_pass_and_heads_in_noise_do_not():
    exact, noisy = _cells(), _cells((0.1,), 0.15, (2,))
    rows = spectrum_rows(exact, 2, (0.1, 0.11), 0.1, "test")
    assert rows[0].error < 1e-6
    assert rows[0].null > 0.02
    assert rows[1].error == 0
    assert rows[2].error < 1e-3
    law = layer_law_rows(exact, 2, 0.1, "test")
    assert law[3].error < 1e-6  # the interval's far end
    assert law[3].null == pytest.approx(1 / 6, abs=1e-3)  # 1/3 is nearer to 1/2 than 1 is
    assert law_violation(exact[0][2, 0.1].outcome) < 0.01
    assert law_violation(noisy[0][2, 0.1].outcome) > 1
    assert layer_law_rows(noisy, 2, 0.1, "test")[-1].verdict == "fails"


def test_either_part_of_the_law_alone_is_a_violation():
    exact = _cells()[0][2, 0.1].outcome

    def with_parts(**parts):
        parts = {name: np.array(values) for name, values in parts.items()}
        balance = parts.pop("balance")
        verdict = SimpleNamespace(balance=balance, agreement=SimpleNamespace(**parts))
        return law_violation(exact._replace(verdict=verdict))

    kept = {"balance": [0.0], "law_distances": [0.05, 9.0], "best_null": [5.0, 9.0]}
    assert with_parts(**kept) == pytest.approx(0.05 / 0.1)  # the last layer is no test of the law
    assert with_parts(**(kept | {"best_null": [0.2, 9.0]})) == pytest.approx(0.05 / (0.2 / 5))
    assert with_parts(**(kept | {"balance": [0.15]})) == pytest.approx(0.15 / 0.05)


def test_a_single_layer_keeps_modes_inside_the_gap_and_two_layers_do_not():
    deep, single = gap_rows(_cells(), (1, 2), (0.1, 0.11), "test")
    assert deep.predicted == pytest.approx(1 / 3)
    assert deep.error == 0
    assert single.measured > 0
    assert single.verdict == "holds"


def test_a_fresh_head_is_unbalanced():
    lower, upper = fresh_head(0, 16, 2)
    assert upper.shape == (8, 16)
    gap = upper.T @ upper - lower @ lower.T
    assert np.linalg.norm(gap) > 0.3 * np.linalg.norm(lower @ lower.T)


def test_settled_at_smoke_scale(tmp_path, trained_cache):
    results = settled.run(tmp_path, "smoke")
    assert {row.id for row in results.rows} == {15, 16}
    assert len(results.rows) == 5 + 3 + 2 * 3 + 2
    for row in results.rows:
        assert np.isfinite(row.tolerance)
    page = (tmp_path / "report.html").read_text()
    assert "conditional on the encoder" in page
    for name in ("decay.png", "gains.png", "distances.png"):
        assert (tmp_path / name).stat().st_size > 10_000
