"""Every geometry and comparison function under jit, vmap and differentiation at once."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from theory.comparison.metrics import (
    active_subspace,
    layer_exponents,
    log_identity_r2,
    riemannian_distance,
)
from theory.comparison.nulls import gauge_null, isotropic_null, rotation_null, wrong_depth_null
from theory.geometry.invariance import (
    augmentation_fractions,
    invariance_defect,
    orbit_covariances,
)
from theory.geometry.ranks import (
    lidar,
    rankme,
    variance_effective_rank,
)
from theory.geometry.subspaces import (
    subspace_overlap,
)
from theory.geometry.water_filling import (
    cosine_projector,
)
from theory.layers.chain import balance_residuals, chain_layer_grams
from theory.layers.depth_share import encoder_defect, encoder_gains
from theory.linalg.errors import InputError

RNG = np.random.default_rng(0)
SQUARE = RNG.standard_normal((4, 4)) * 0.4 + np.diag([1.0, 1.5, 2.0, 2.5])
POSITIVE = SQUARE @ SQUARE.T
OTHER = np.diag([1.0, 0.6, 0.4, 0.2]) + 0.05
WIDE = RNG.standard_normal((3, 4))
VIEWS = RNG.standard_normal((6, 3, 4))
ROWS = RNG.standard_normal((6, 4))
SPECTRUM = np.array([2.0, 1.1, 0.6, 0.2])
FRACTIONS = np.array([0.1, 0.3, 0.55, 0.8])
BASIS = np.linalg.qr(RNG.standard_normal((4, 3)))[0]
TURNED = np.linalg.qr(RNG.standard_normal((4, 2)))[0]


def stacked(gram):
    return jnp.stack([gram, gram @ gram])


CASES = {
    "variance_effective_rank": (variance_effective_rank, SPECTRUM),
    "rankme": (rankme, WIDE),
    "lidar": (lambda x: lidar(x, OTHER), POSITIVE),
    "orbit_covariances": (orbit_covariances, VIEWS),
    "invariance_defect": (lambda x: invariance_defect(x, OTHER, SPECTRUM), POSITIVE),
    "augmentation_fractions": (lambda x: augmentation_fractions(x, POSITIVE).values, OTHER),
    "cosine_projector": (lambda x: cosine_projector(x, 0.5).shares, FRACTIONS),
    "active_subspace": (
        lambda x: (lambda b: b @ b.T)(active_subspace(POSITIVE, x, 2)),
        OTHER,
    ),
    "log_identity_r2": (lambda x: log_identity_r2(x, FRACTIONS), SPECTRUM),
    "layer_exponents": (lambda x: layer_exponents(stacked(x), BASIS), POSITIVE),
    "riemannian_distance": (lambda x: riemannian_distance(x, OTHER, BASIS), POSITIVE),
    "chain_layer_grams": (lambda x: chain_layer_grams((x, WIDE)), SQUARE),
    "balance_residuals": (lambda x: balance_residuals((x, WIDE)), SQUARE),
    "rotation_null": (lambda x: rotation_null(jax.random.key(0), stacked(x), BASIS), POSITIVE),
    "gauge_null": (lambda x: gauge_null(jax.random.key(0), (x, WIDE)), SQUARE),
    "isotropic_null": (lambda x: isotropic_null(stacked(x), BASIS), POSITIVE),
    "wrong_depth_null": (lambda x: wrong_depth_null(x, 2, 3), POSITIVE),
    "subspace_overlap": (lambda x: subspace_overlap(x, TURNED), BASIS),
    "encoder_gains": (lambda x: encoder_gains(x, 1, 2), SPECTRUM),
    "encoder_defect": (lambda x: encoder_defect(SPECTRUM, x, SPECTRUM, 1, 2), FRACTIONS),
}


STEP = 1e-6


def _batch(name):
    """The point of a case and its neighbors on both sides, and the direction between them."""
    point = CASES[name][1]
    direction = jnp.asarray(np.random.default_rng(1).standard_normal(point.shape))
    if point.ndim == 2 and point.shape[0] == point.shape[1] and np.allclose(point, point.T):
        direction = 0.5 * (direction + direction.T)
    return jnp.stack([point, point + STEP * direction, point - STEP * direction]), direction


@jax.jit
def _differentiate(inputs):
    """Every case, mapped over its batch, with its slope: one program for all of them."""

    def along(name, points, direction):
        flat = lambda x: jax.flatten_util.ravel_pytree(CASES[name][0](x))[0]  # noqa: E731
        return jax.vmap(lambda x: jax.jvp(flat, (x,), (direction,)))(points)

    return {name: along(name, *each) for name, each in inputs.items()}


def test_every_function_compiles_batches_and_differentiates():
    inputs = {name: _batch(name) for name in CASES}
    found = _differentiate(inputs)
    for name, (values, slopes) in found.items():
        assert np.all(np.isfinite(values)), name
        numeric = (values[1] - values[2]) / (2 * STEP)
        scale = float(jnp.max(jnp.abs(numeric))) + float(jnp.max(jnp.abs(values[0])))
        np.testing.assert_allclose(slopes[0], numeric, rtol=1e-5, atol=1e-7 * scale, err_msg=name)
    with jax.no_tracing():
        _differentiate(inputs)


@pytest.mark.parametrize("name", CASES)
def test_every_function_refuses_float32(name):
    function, point = CASES[name]
    with pytest.raises(InputError, match="float32"):
        function(jnp.asarray(point, jnp.float32))
