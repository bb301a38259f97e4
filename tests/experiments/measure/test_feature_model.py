"""The model of features: who serves a task, what survives decay, complete rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core.measurements import Measurement, Run, curve_name, make_table
from experiments.measure import feature_model
from experiments.measure.network import make_subject
from experiments.measure.simulated_tasks import few_label_accuracies
from experiments.tools.listing import find_missing
from experiments.tools.registry import EXPERIMENTS


def test_a_classifier_reads_what_a_layer_keeps():
    strengths = jnp.array([1.0, 1.0, 0.5])
    maps = jnp.stack([jnp.diag(jnp.array(kept)) for kept in ((1.0, 0.1, 0.1), (0.0, 1.0, 1.0))])
    found = np.asarray(few_label_accuracies(jax.random.key(0), strengths, maps, repeats=50)).mean(
        axis=0
    )
    # One feature of strength 1 in noise of 0.5: the normal distribution at 2; without it, chance.
    assert found[0] == pytest.approx(0.977, abs=0.02)
    assert found[1] == pytest.approx(0.5, abs=0.03)


def test_half_of_the_features_survive_half_the_decay():
    with jax.enable_x64(True):
        for depth in (2, 3):
            tasks = feature_model._served_before(depth)
            scale, alignment = feature_model._modes(feature_model.make_model())
            decay = feature_model.half_decay(depth)
            roots = feature_model.decayed_mode(scale, alignment, weight_decay=decay, depth=depth)
            alive = np.sum(np.asarray(roots)[tasks] > 0)
            assert alive == len(tasks) - len(tasks) // 2


@pytest.mark.slow
def test_rows_are_complete_and_descent_ends_where_theory_says():
    subject = make_subject("feature-model", 0, "smoke")
    found = tuple(feature_model.measure_feature_model(subject))
    rows = [row for row in found if isinstance(row, Measurement)]
    curves = {curve_name(c.key): c.values for c in found if not isinstance(c, Measurement)}
    table = make_table(rows, [Run("feature-model", 0, "smoke")], curves)
    assert find_missing("feature-model", 0, table, EXPERIMENTS) == ()
    with jax.enable_x64(True):
        assert feature_model.descend_under_decay(2, 40_000) < 1e-10
