"""The façade: what it holds, what help says of it, and that all of it can be transformed."""

import pydoc
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from tests import reference

DIM = 3
COVARIANCE, CROSS = reference.random_moments(np.random.default_rng(0), DIM)
CHANGE = np.random.default_rng(1).normal(size=(DIM, DIM))
CHANGE = CHANGE + CHANGE.T
TIMES = np.array([0.0, 0.3, 2.0])


def test_help_teaches_every_name_in_the_order_of_the_work():
    page = pydoc.render_doc(theory, renderer=pydoc.plaintext)
    for name in theory.__all__:
        assert f"`{name}`" in theory.__doc__
        assert re.search(rf"^    (class )?{name}( = \w+)?\(", page, re.MULTILINE), name
        summary = getattr(theory, name).__doc__.splitlines()[0]
        assert summary.endswith("."), name
    names = ("moments_from_views", "alignment", "spectral", "solve", "flow", "compare")
    order = [theory.__doc__.index(f"* `{name}") for name in names]
    assert order == sorted(order)
    assert set(theory.__all__) <= set(dir(theory))
    with pytest.raises(AttributeError, match="no attribute 'sovle'"):
        _ = theory.sovle


def test_loading_the_package_and_its_help_computes_nothing():
    code = (
        "import sys, theory.commands.parser as parser; parser.make_parser().format_help();"
        "print([name for name in ('jax', 'scipy', 'diffrax', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def predict(covariance, weight_decay=0.0):
    loss = theory.spectral(theory.Moments(covariance, CROSS))
    return theory.solve(loss, depth=2, weight_decay=weight_decay)


def follow(covariance, init_scale=0.3):
    loss = theory.spectral(theory.Moments(covariance, CROSS))
    return theory.flow(loss, TIMES, depth=2, init_scale=init_scale)


@pytest.mark.parametrize("function", [predict, follow])
def test_solve_and_flow_compile_map_and_differentiate(function):
    def reading(t):
        found = function(COVARIANCE + t * CHANGE, 0.2 + t)
        return jnp.sum(found.grams[..., 0, 1] ** 2) + jnp.sum(found.loss)

    step = 1e-5
    ends = jax.jit(jax.vmap(jax.value_and_grad(reading)))(jnp.array([-step, 0.0, step]))
    np.testing.assert_allclose(ends[1][1], (ends[0][2] - ends[0][0]) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(ends[0][1], reading(0.0), rtol=1e-9)
    leaves = jax.tree.leaves(function(COVARIANCE))
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)


def test_a_course_ends_at_the_prediction_and_both_weigh_directions_alike():
    moments = theory.Moments(COVARIANCE, CROSS)
    prediction = theory.solve(theory.spectral(moments), depth=2)
    course = theory.flow(theory.spectral(moments), jnp.array([0.0, jnp.inf]), init_scale=0.5)
    np.testing.assert_allclose(course.grams[-1], prediction.grams, atol=1e-9)
    np.testing.assert_allclose(course.layer_spectra[-1], prediction.layer_spectra, atol=1e-9)
    direction = theory.alignment(moments).vectors[:, 0]
    weights = theory.layer_weights(prediction, direction)
    np.testing.assert_allclose(theory.layer_weights(course, direction)[-1], weights, atol=1e-9)
    assert weights.shape == (2,)


def test_a_balanced_head_of_the_prediction_holds_before_the_joint_verdict():
    moments = theory.Moments(COVARIANCE, CROSS)
    prediction = theory.solve(theory.spectral(moments), depth=2)
    layers = tuple(map(jnp.asarray, reference.balanced_layers(np.asarray(prediction.grams[-1]), 2)))
    found = theory.compare(prediction, layers, moments)
    assert max(found.agreement.distances) < 1e-10
    assert all(found.criteria.values())


def test_modes_and_their_times_are_those_of_the_alignment():
    table = theory.modes(theory.Moments(COVARIANCE, CROSS), depth=2, init_scale=0.1)
    found = theory.alignment(theory.Moments(COVARIANCE, CROSS))
    np.testing.assert_allclose(table.alignment, found.values, rtol=1e-12)
    assert np.all(np.diff(found.values) <= 0)
    times = theory.half_times(table.scale, table.alignment, depth=2, init_scale=0.1)
    np.testing.assert_allclose(times, table.half_time, rtol=1e-12)
    limits = theory.thresholds(table.scale, table.alignment, depth=2)
    np.testing.assert_allclose(limits.saddle_node, table.saddle_node, rtol=1e-12)
