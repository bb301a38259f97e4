"""The sweep of the strength: the slope of a head, ranks by definition, rows a null refuses."""

import itertools

import numpy as np
import pytest

from experiments.embedding_ranks import DEFINITIONS, centered_singular_values, clean_ranks
from experiments.head_slopes import HeadLayers, head_layers, local_ranks, local_slopes
from experiments.strength_cells import SweepOutcome
from experiments.strength_rows import sweep_rows, trend_rows


def _perceptron(seed, *widths):
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(widths))
    return HeadLayers(
        tuple(rng.standard_normal((out, dim)) for dim, out in pairs),
        tuple(rng.standard_normal(out) for _, out in pairs),
    )


def _output(layers, features):
    for kernel, bias in zip(layers.kernels[:-1], layers.biases[:-1]):
        features = np.maximum(features @ kernel.T + bias, 0.0)
    return features @ layers.kernels[-1].T + layers.biases[-1]


def test_the_slope_is_the_derivative_of_the_head():
    layers = _perceptron(0, 6, 9, 7, 4)
    features = np.random.default_rng(1).standard_normal((5, 6))
    slopes = local_slopes(layers, features)
    assert slopes.shape == (5, 4, 6)
    for column in range(6):
        step = np.zeros((1, 6))
        step[0, column] = 1e-6
        numeric = (_output(layers, features + step) - _output(layers, features - step)) / 2e-6
        np.testing.assert_allclose(slopes[:, :, column], numeric, atol=1e-7)


def test_a_narrow_layer_bounds_the_local_rank():
    features = np.random.default_rng(1).standard_normal((20, 12))
    ranks = local_ranks(local_slopes(_perceptron(0, 12, 12, 3, 12, 6), features))
    assert ranks.numerical <= 3
    wide = local_ranks(local_slopes(_perceptron(0, 12, 64, 6), features))
    assert wide.numerical == 6
    assert 1 <= wide.effective <= 6
    dead = local_ranks(np.zeros((4, 3, 5)))
    assert dead.effective == dead.numerical == 0
    # An image at which the head is constant counts as rank 0 in the mean.
    mixed = local_ranks(np.stack([np.eye(3, 5), np.zeros((3, 5))]))
    assert mixed.effective == pytest.approx(1.5)
    assert mixed.numerical == pytest.approx(1.5)


def test_layers_come_out_of_parameters_of_every_kind_of_head():
    kernel = np.arange(6.0, dtype=np.float32).reshape(2, 3)  # as stored: (in, out)
    linear = head_layers({"head": {"layer1": {"kernel": kernel}}}, 2)
    np.testing.assert_array_equal(linear.kernels[0], kernel.T)
    np.testing.assert_array_equal(linear.biases[0], np.zeros(3))
    both = {"kernel": kernel, "bias": np.array([1.0, 2.0, 3.0])}
    np.testing.assert_array_equal(head_layers({"head": {"layer1": both}}, 2).biases[0], [1, 2, 3])
    slopes = local_slopes(head_layers({"encoder": {}}, 4), np.ones((2, 4)))
    np.testing.assert_array_equal(slopes, np.broadcast_to(np.eye(4), (2, 4, 4)))


def test_ranks_are_those_of_their_names():
    rng = np.random.default_rng(0)
    # On the sphere and centered: three directions of equal size.
    angles = np.concatenate([np.eye(3), -np.eye(3)])
    embeddings = np.tile(angles, (50, 1)) * rng.uniform(0.5, 2.0, (300, 1))
    values = centered_singular_values(embeddings)
    np.testing.assert_allclose(values, np.full(3, 1 / np.sqrt(3)), rtol=1e-12)
    ranks = dict(zip(DEFINITIONS, clean_ranks(embeddings)))
    for name, rank in ranks.items():
        assert rank == pytest.approx(3.0, rel=0.02), name
    # A common offset is most of what RankMe sees, and nothing of a centered rank.
    moved = dict(zip(DEFINITIONS, clean_ranks(rng.standard_normal((300, 8)) + 20.0)))
    assert moved["RankMe"] < 4 < moved["effective rank (singular values)"]


def _outcome(strengths, ratio, information):
    """A sweep in which the feature's defect is 0.1 and the embedding's `ratio` times that."""
    shape = (2, len(strengths))
    pairs = np.full((*shape, 2), 0.1)
    defects = np.stack([pairs[..., 0], pairs[..., 0] * np.asarray(ratio)[None]], axis=-1)
    read = np.stack([np.full(shape, 0.5), 0.5 - np.tile(information, (2, 1))], axis=-1)
    return SweepOutcome(
        strengths=np.asarray(strengths, float),
        probe_defects=defects,
        training_defects=defects,
        ranks=pairs,
        threshold_ranks=pairs,
        accuracies=pairs,
        information={"hue": read},
        predicted_ranks=np.tile(np.arange(1.0, len(strengths) + 1), (2, 1)),
        predicted_defects=np.tile(np.asarray(ratio), (2, 1)),
        valid=np.ones(shape, bool),
    )


def test_a_head_is_said_to_suppress_only_where_an_untrained_one_does_not():
    sweep = _outcome((0.1, 0.5, 1.0), (2.0, 1.0, 0.5), (0.2, 0.3, 0.4))
    neutral = _outcome((0.5,), (1.0,), (0.0,))
    rows = trend_rows(sweep, "head", neutral)
    assert [row.verdict for row in rows[:3]] == ["holds"] * 3
    # A forecast of the defect that follows the measured one, a constant rank that follows none.
    assert [row.verdict for row in rows[3:]] == ["holds", "fails"]
    suppressing = _outcome((0.5,), (0.5,), (0.2,))
    weakest, strongest, *_ = trend_rows(sweep, "head", suppressing)
    assert (weakest.verdict, strongest.verdict) == ("holds", "inconclusive")
    lost = sweep_rows(sweep, "head", suppressing)[1]
    assert lost.verdict == "inconclusive"
    assert sweep_rows(sweep, "head", neutral)[1].verdict == "holds"
