"""Curvature through a head, against finite differences; the duality identity."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.geometry.head_hessian import duality_terms, hessian_split

RANDOM = np.random.default_rng(0)
FIRST, SECOND, TARGET = RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(2, 5)), np.ones(2)


def _loss(embedding):
    return jnp.sum((embedding - TARGET) ** 4)


def _second_differences(function, point, step=1e-4):
    size = point.size
    found = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for a in (-1, 1):
                for b in (-1, 1):
                    moved = point.copy()
                    moved[i] += a * step
                    moved[j] += b * step
                    found[i, j] += a * b * float(function(moved)) / (4 * step**2)
    return found


def test_the_two_parts_add_up_to_the_hessian_of_the_whole():
    point = np.array([0.3, -0.2, 0.5])

    def head(feature):
        return SECOND @ jnp.tanh(FIRST @ feature)

    split = hessian_split(head, _loss, point)
    whole = np.asarray(split.pullback) + np.asarray(split.interaction)
    expected = _second_differences(lambda h: _loss(head(h)), point)
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-3 * np.max(np.abs(expected)))
    assert np.max(np.abs(split.interaction)) > 0.1
    assert np.min(np.linalg.eigvalsh(split.pullback)) > -1e-10


def test_relu_heads_have_no_curvature_of_their_own():
    split = hessian_split(
        lambda h: SECOND @ jnp.maximum(FIRST @ h, 0.0), _loss, np.array([0.3, -0.2, 0.5])
    )
    np.testing.assert_array_equal(split.interaction, 0.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(4, 7), (7, 4)]))
def test_contrasting_samples_and_dimensions_is_the_same(seed, shape):
    terms = duality_terms(np.random.default_rng(seed).normal(size=shape))
    left, right = terms.dimension + terms.column, terms.sample + terms.row
    np.testing.assert_allclose(left, right, rtol=1e-12)
    assert terms.dimension >= -1e-12
    assert terms.sample >= -1e-12
