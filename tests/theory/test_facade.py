"""Public functions compile, map over batches, have finite gradients and refuse float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import reference
from theory.downstream import layer_choice as downstream
from theory.downstream import phase_map, probe_risk
from theory.dynamics import decayed_courses, early_phase, mode_table
from theory.layers import grams as layers
from theory.layers import reweighting
from theory.linalg import alignment
from theory.losses import family as quadratic_losses
from theory.losses import gaussian_infonce, quadratic, supervised
from theory.moments import augmentation_graph, augmentations, sampling_noise
from theory.moments.moments import moments_from_views
from theory.optimum import low_rank

DIM = 4
COVARIANCE, CROSS = reference.random_moments(np.random.default_rng(0), DIM)
WEIGHTS, VARIANCES = np.array([1.0, 0.7, 0.4, 0.2]), np.array([1.0, 2.0, 0.5, 1.5])
MEANS, CHANCES = np.random.default_rng(1).normal(size=(3, DIM)), np.array([0.2, 0.3, 0.5])
VIEWS = np.random.default_rng(2).normal(size=(6, 2, DIM))


def _optimum(covariance, cross_covariance):
    return quadratic.quadratic_optimum(quadratic.spectral_loss(covariance, cross_covariance))


def _decayed(covariance, cross_covariance, weight_decay):
    loss = quadratic.spectral_loss(covariance, cross_covariance)
    return quadratic_losses.with_single_layer_decay(loss, weight_decay)


def _crossfit(views):
    return sampling_noise.crossfit_alignment(moments_from_views(views))


SCALAR = np.float64(0.3)
CASES = {
    "psd_power": (alignment.psd_power, (COVARIANCE, SCALAR)),
    "alignment": (alignment.alignment, (COVARIANCE, CROSS)),
    "quadratic_optimum": (_optimum, (COVARIANCE, CROSS)),
    "with_single_layer_decay": (_decayed, (COVARIANCE, CROSS, SCALAR)),
    "vicreg_loss": (quadratic_losses.vicreg_loss, (COVARIANCE, CROSS, SCALAR)),
    "barlow_optimum": (functools.partial(quadratic_losses.barlow_optimum, rank=2), (CROSS,)),
    "gaussian_infonce_loss": (gaussian_infonce.gaussian_infonce_loss, (COVARIANCE, CROSS, SCALAR)),
    "random_energy_load": (
        functools.partial(gaussian_infonce.random_energy_load, negatives=100),
        (VARIANCES, SCALAR),
    ),
    "gaussian_mutual_information": (gaussian_infonce.gaussian_mutual_information, (WEIGHTS / 2,)),
    "moments_from_views": (moments_from_views, (VIEWS,)),
    "crossfit_alignment": (_crossfit, (VIEWS,)),
    "layer_grams": (functools.partial(layers.layer_grams, depth=3), (COVARIANCE,)),
    "minimum_norm_layers": (functools.partial(layers.minimum_norm_layers, depth=3), (MEANS,)),
    "layer_spectra": (layers.layer_spectra, (COVARIANCE, np.stack([COVARIANCE, CROSS]))),
    "low_rank_layer_spectra": (
        functools.partial(low_rank.low_rank_layer_spectra, depth=2),
        (COVARIANCE, MEANS),
    ),
    "noise_moments": (augmentations.noise_moments, (COVARIANCE, SCALAR)),
    "mask_moments": (augmentations.mask_moments, (COVARIANCE, SCALAR)),
    "complementary_mask_moments": (augmentations.complementary_mask_moments, (COVARIANCE,)),
    "gain_moments": (augmentations.gain_moments, (COVARIANCE, SCALAR, SCALAR)),
    "linear_operator_moments": (
        augmentations.linear_operator_moments,
        (COVARIANCE, np.stack([COVARIANCE, CROSS]), np.array([0.5, 0.5])),
    ),
    "supervised_moments": (supervised.supervised_moments, (MEANS, CHANCES, COVARIANCE)),
    "within_class_share": (supervised.within_class_share, (CROSS, COVARIANCE, CROSS)),
    "squared_loss_factor": (supervised.squared_loss_factor, (COVARIANCE, MEANS)),
    "residual_sizes": (functools.partial(supervised.residual_sizes, depth=3), (SCALAR,)),
    "sample_indicators": (
        downstream.sample_indicators,
        (WEIGHTS, VARIANCES, VARIANCES, np.array([0.5, 1.0])),
    ),
    "head_disadvantages": (downstream.head_disadvantages, (WEIGHTS, VARIANCES)),
    "best_fractions": (downstream.best_fractions, (WEIGHTS, VARIANCES)),
    "scenario_edges": (downstream.scenario_edges, (SCALAR, np.float64(0.9), SCALAR, SCALAR)),
    "probe_risk": (
        lambda v, t, r, s: probe_risk.probe_risk(v, t, 10, r, s),
        (VARIANCES, WEIGHTS, SCALAR, SCALAR),
    ),
    "layer_probe_risks": (
        lambda s, n, t, f, r: probe_risk.layer_probe_risks(s, n, t, f, 10, r),
        (VARIANCES, WEIGHTS, WEIGHTS, np.array([0.0, 0.5]), SCALAR),
    ),
    "early_gram_path": (early_phase.early_gram_path, (CROSS, COVARIANCE, WEIGHTS)),
    "early_time_courses": (
        lambda x, r, t: early_phase.early_time_courses(x, r, 2, t),
        (WEIGHTS / 10, WEIGHTS, np.array([0.0, 0.3])),
    ),
    "decayed_time_courses": (
        lambda s, a, r, x: decayed_courses.decayed_time_courses(
            s, a, r, 2, np.array([0.0, 0.5], x.dtype), x
        ),
        (VARIANCES, WEIGHTS, WEIGHTS, SCALAR),
    ),
    "mode_table": (
        lambda s, a, r: mode_table.mode_table(s, a, r, 2)._replace(order=None, active=None),
        (VARIANCES, WEIGHTS, WEIGHTS / 10),
    ),
    "commutator": (mode_table.commutator, (COVARIANCE, CROSS)),
    "phase_map": (
        lambda a, p, x, o: phase_map.phase_map(a, p, (2,), x, o).advantage,
        (np.array([0.5, 0.9]), WEIGHTS[:2], np.array([0.0, 1e-3]), VARIANCES),
    ),
    "spectral_embedding": (
        lambda shares: (
            augmentation_graph.spectral_embedding(
                augmentation_graph.augmentation_graph(shares), 2
            ).values
        ),
        (np.abs(MEANS),),
    ),
    "reweighted_weights": (reweighting.reweighted_weights, (WEIGHTS, np.float64(1.3))),
}


def _leaves(tree):
    return [np.asarray(leaf, float) for leaf in jax.tree.leaves(tree)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_compiled_once_mapped_and_differentiated(name):
    function, arguments = CASES[name]
    arguments = tuple(jnp.asarray(argument) for argument in arguments)
    eager = _leaves(function(*arguments))
    compiled = jax.jit(function)
    for found, expected in zip(_leaves(compiled(*arguments)), eager, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-10)
    again = tuple(1.01 * argument for argument in arguments)
    with jax.no_tracing():
        compiled(*again)
    batch = jax.vmap(lambda *each: [jnp.asarray(x) for x in jax.tree.leaves(function(*each))])(
        *(jnp.stack([argument, argument]) for argument in arguments)
    )
    for found, expected in zip(batch, eager, strict=True):
        np.testing.assert_allclose(np.abs(found[1]), np.abs(expected), atol=1e-10)

    def total(*values):
        leaves = [jnp.asarray(leaf, float) for leaf in jax.tree.leaves(function(*values))]
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in leaves)

    gradients = jax.grad(total, tuple(range(len(arguments))))(*arguments)
    for gradient in gradients:
        assert gradient.dtype == np.float64
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", CASES)
def test_float32_is_refused_with_a_word_on_what_to_do(name):
    function, arguments = CASES[name]
    single = tuple(jnp.asarray(argument, np.float32) for argument in arguments)
    with pytest.raises(ValueError, match="enable_x64"):
        function(*single)
