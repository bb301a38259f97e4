"""Second moments of two views in, what each layer of a contrastive network keeps out.

From raw views to predicted layer spectra:

>>> import jax, numpy as np
>>> import theory
>>> views = np.random.default_rng(0).normal(size=(500, 1, 3)) + np.zeros((1, 2, 1))
>>> views = views * [2.0, 1.0, 0.5] + np.random.default_rng(1).normal(size=(500, 2, 3))
>>> with jax.enable_x64(True):
...     moments = theory.moments_from_views(views)
...     loss = theory.spectral_loss(moments.covariance, moments.cross_covariance)
...     grams = theory.layer_grams(theory.quadratic_optimum(loss).gram, depth=2)
...     spectra = theory.layer_spectra(moments.covariance, grams)
>>> spectra.shape
(3, 3)

Everything computes in float64 inside `with jax.enable_x64(True):`; the modules hold the rest.
"""

from theory.commands.predictions import solution
from theory.dynamics.flow import balanced_flow, quadratic_flow
from theory.layers.grams import layer_grams, layer_spectra, layer_weights, weight_spectra
from theory.linalg.errors import InputError
from theory.losses.quadratic import QuadraticLoss, spectral_loss
from theory.moments.alignment import crossfit_alignment, noise_floor
from theory.moments.check import check_moments
from theory.moments.files import read_moments, write_arrays
from theory.moments.moments import Moments, merge_moments, moments_from_views
from theory.optimum.decay import decayed_optimum
from theory.optimum.quadratic import Optimum, quadratic_optimum

__all__ = [
    "InputError",
    "Moments",
    "Optimum",
    "QuadraticLoss",
    "balanced_flow",
    "check_moments",
    "crossfit_alignment",
    "decayed_optimum",
    "layer_grams",
    "layer_spectra",
    "layer_weights",
    "merge_moments",
    "moments_from_views",
    "noise_floor",
    "quadratic_flow",
    "quadratic_optimum",
    "read_moments",
    "solution",
    "spectral_loss",
    "weight_spectra",
    "write_arrays",
]
