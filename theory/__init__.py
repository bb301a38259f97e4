"""Predict what every layer of a contrastive network learns from the moments of two views.

Positive pairs are two augmented views x, x⁺ of one image. All that a linear network can learn from
them is in two matrices: the covariance Σ = E[x xᵀ] and the cross-covariance M = E[x x⁺ᵀ]. Theory
takes them in and says which features each layer before and after the projection head keeps, how
strongly, when, and what that means downstream. In the order of the work:

**What is known of the data**

* `moments_from_views`: Σ and M of an array of views (images, views, features).
* `Moments`: the two matrices, if you have them already; `merge_moments` adds samples up.
* `read_moments`: the same from an npz file, such as ``python -m ssljax moments`` writes.
* `check_moments`: refuses what no views can have, and counts what is unusual.
* `alignment`: ``.values``, which share of each direction survives augmentation, and ``.vectors``.

**What is trained**

* `spectral`, `vicreg`, `barlow`, `infonce`: the loss of moments, as an object.

**Where training ends**

* `solve`: the optimum of a network of any depth, rank and weight decay. ``.grams``,
  ``.weight_spectra``, ``.layer_spectra``, ``.factor``, ``.loss``, ``.active``.
* `layer_weights`: the weight of one feature direction in every layer, before and after the head.
* `thresholds`: the weight decays at which modes disappear.

**How it gets there**

* `flow`: every layer along gradient flow, from any start: a course with the fields of a prediction.
* `modes`: size, learning time and threshold of each mode in closed form.
* `half_times`: when each mode is half learned.
* `window_moments`: the moments of training batches along the way, as `MomentWindows`.
* `driven_descent`: a head that trains along with its encoder, on moments that were measured.
* `driven_flow`: the same as a flow, each step lasting as long as its gradient moves the head.
* `driven_nulls`: what the head would be by predictions that know less.

**What follows**

* `compare`: a measured head against its prediction and every null hypothesis, one verdict.
* `design`: the mixture of augmentation policies that keeps a direction best.
* `InputError`: what every function raises on input that it cannot use, with what to do.

From views to the layers of a network of depth two, and how its loss answers to noise in the data:

>>> import jax, numpy as np
>>> import theory
>>> rng = np.random.default_rng(0)
>>> views = rng.normal(size=(500, 1, 3)) * [2.0, 1.0, 0.5] + rng.normal(size=(500, 2, 3))
>>> with jax.enable_x64(True):
...     moments = theory.moments_from_views(views)
...     prediction = theory.solve(theory.spectral(moments), depth=2)
...     def noisy_loss(noise):
...         noisy = theory.Moments(moments.covariance + noise * np.eye(3), moments.cross_covariance)
...         return theory.solve(theory.spectral(noisy), depth=2).loss
...     slope = float(jax.grad(noisy_loss)(0.0))
>>> prediction.layer_spectra.shape, slope > 0
((3, 3), True)

Everything computes in float64, inside one ``with jax.enable_x64(True):`` that you open. Losses,
predictions and courses are pytrees; all of it can be compiled, mapped and differentiated. Units:
the loss is −2 tr(GM) + tr(GΣGΣ) with G = WᵀW; flow is Ẇ = −∂loss/∂W; weight decay X adds
(X/2) Σ_l ‖W_l‖². The rooms below hold the rest, from the bottom up: `linalg`, `moments`, `losses`,
`optimum`, `layers`, `dynamics`, `geometry`, `downstream`, `comparison`, `commands`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theory.comparison.verdict import compare
    from theory.downstream.design import design
    from theory.dynamics.courses import half_times
    from theory.dynamics.driven import (
        MomentWindows,
        driven_descent,
        driven_flow,
        window_moments,
    )
    from theory.dynamics.driven_nulls import driven_nulls
    from theory.dynamics.flow import flow
    from theory.dynamics.modes import modes
    from theory.layers.grams import layer_weights
    from theory.linalg.errors import InputError
    from theory.losses.family import barlow, infonce, spectral, vicreg
    from theory.moments.alignment import alignment
    from theory.moments.check import check_moments
    from theory.moments.files import read_moments
    from theory.moments.moments import Moments, merge_moments, moments_from_views
    from theory.optimum.solve import solve
    from theory.optimum.thresholds import decay_thresholds as thresholds

__all__ = [
    "InputError",
    "MomentWindows",
    "Moments",
    "alignment",
    "barlow",
    "check_moments",
    "compare",
    "design",
    "driven_descent",
    "driven_flow",
    "driven_nulls",
    "flow",
    "half_times",
    "infonce",
    "layer_weights",
    "merge_moments",
    "modes",
    "moments_from_views",
    "read_moments",
    "solve",
    "spectral",
    "thresholds",
    "vicreg",
    "window_moments",
]

# JAX takes a second to load and a command's help none: each name is loaded where it is first used.
_HOMES = {
    "InputError": "linalg.errors",
    "MomentWindows": "dynamics.driven",
    "Moments": "moments.moments",
    "alignment": "moments.alignment",
    "barlow": "losses.family",
    "check_moments": "moments.check",
    "compare": "comparison.verdict",
    "design": "downstream.design",
    "driven_descent": "dynamics.driven",
    "driven_flow": "dynamics.driven",
    "driven_nulls": "dynamics.driven_nulls",
    "flow": "dynamics.flow",
    "half_times": "dynamics.courses",
    "infonce": "losses.family",
    "layer_weights": "layers.grams",
    "merge_moments": "moments.moments",
    "modes": "dynamics.modes",
    "moments_from_views": "moments.moments",
    "read_moments": "moments.files",
    "solve": "optimum.solve",
    "spectral": "losses.family",
    "thresholds": "optimum.thresholds:decay_thresholds",
    "vicreg": "losses.family",
    "window_moments": "dynamics.driven",
}


def __getattr__(name: str) -> Any:
    """Load a name of the façade."""
    if name not in _HOMES:
        raise AttributeError(f"module 'theory' has no attribute {name!r}")
    home, _, own_name = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(f"theory.{home}"), own_name or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the façade, for help and completion."""
    return [*__all__, "__doc__", "__all__"]
