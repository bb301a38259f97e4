"""Views as a graph: the linear optimum with one feature a view, and the loss itself."""

import numpy as np
import pytest

from theory.linalg.errors import InputError
from theory.losses.quadratic import spectral_loss
from theory.moments.augmentation_graph import augmentation_graph, spectral_embedding
from theory.optimum.quadratic import quadratic_optimum


@pytest.fixture
def graph():
    return augmentation_graph(np.random.default_rng(0).dirichlet(np.ones(6), 4))


def _loss(features, graph):
    weights, degrees = np.asarray(graph.weights), np.asarray(graph.degrees)
    similarity = features @ features.T
    return -2 * np.sum(weights * similarity) + degrees @ similarity**2 @ degrees


def test_weights_are_chances_of_a_positive_pair():
    shares, chances = np.random.default_rng(1).dirichlet(np.ones(3), 2), np.array([0.3, 0.7])
    graph = augmentation_graph(shares, chances)
    pairs = sum(chance * np.outer(row, row) for chance, row in zip(chances, shares))
    np.testing.assert_allclose(graph.weights, pairs, rtol=1e-14)
    np.testing.assert_allclose(graph.degrees, chances @ shares, rtol=1e-14)


@pytest.mark.parametrize("rank", [2, 6])
def test_embedding_is_the_linear_optimum_with_one_feature_a_view(graph, rank):
    found = spectral_embedding(graph, rank)
    features = np.asarray(found.features)
    optimum = quadratic_optimum(spectral_loss(np.diag(graph.degrees), graph.weights), rank=rank)
    np.testing.assert_allclose(features @ features.T, optimum.gram, atol=1e-10)
    assert float(found.loss) == pytest.approx(float(optimum.loss), abs=1e-12)
    assert float(found.loss) == pytest.approx(_loss(features, graph), abs=1e-12)


def test_no_other_features_have_a_lower_loss(graph):
    features = np.asarray(spectral_embedding(graph, 2).features)
    random = np.random.default_rng(2)
    for _ in range(20):
        moved = features + 0.05 * random.normal(size=features.shape)
        assert _loss(moved, graph) > _loss(features, graph)


def test_impossible_ranks_are_refused(graph):
    with pytest.raises(InputError, match="wanted between 1 and the 6 views"):
        spectral_embedding(graph, 7)
