"""The law of layers: exact for balanced heads; distances of rivals where they are known."""

import jax
import numpy as np
import pytest

from experiments.measure.heads.layers import law_distance, rival_distances

VALUES = np.array([4.0, 2.0, 1.0, 0.5])
"""Eigenvalues of the Gram of the whole map."""


def balanced_head():
    turns = [np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))[0] for seed in range(3)]
    quarter = VALUES**0.25
    return turns[1] @ (quarter[:, None] * turns[0].T), turns[2] @ (quarter[:, None] * turns[1].T)


def spread(logs):
    return np.sqrt(np.mean(logs**2))


def test_a_balanced_head_follows_the_law_and_rivals_are_as_far_as_their_formulas_say():
    logs = np.log(VALUES)
    with jax.enable_x64(True):
        head = balanced_head()
        assert law_distance(head, np.eye(4)) < 1e-7
        rivals = rival_distances(head, np.eye(4), 0)
    assert rivals["one_less"] == pytest.approx(spread(logs) / 2)
    assert rivals["one_more"] == pytest.approx(spread(logs) / 6)
    assert rivals["isotropic"] == pytest.approx(spread(logs - logs.mean()) / 2)
    assert min(rivals["rotation"], rivals["gauge"]) > 0.1


def test_a_factor_moved_from_one_layer_to_the_other_is_the_distance():
    first, second = balanced_head()
    with jax.enable_x64(True):
        moved = law_distance((2.0 * first, 0.5 * second), np.eye(4))
    assert moved == pytest.approx(np.log(4))
