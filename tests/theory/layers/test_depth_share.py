"""Depth share: real gradient descent on the population loss of encoder and projector together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.layers.depth_share import encoder_defect, encoder_gains, projector_share
from theory.linalg.errors import InputError

WITHIN = np.array([0.05, 0.2, 0.3, 0.6])
TOTAL = np.array([1.0, 0.8, 0.9, 0.7])
TEMPERATURE = 0.5


def optimal_gains(temperature):
    """Gains of the optimal linear map under Euclidean InfoNCE: τ u / s with v + v² = 2 w/s."""
    inverse = 2.0 / (np.sqrt(1.0 + 8.0 * WITHIN / TOTAL) - 1.0)
    return np.sqrt(temperature * (inverse - 1.0) / TOTAL)


def population_loss(product):
    """Euclidean InfoNCE of a linear map of Gaussian views, with infinitely many negatives."""
    within, total = jnp.diag(WITHIN), jnp.diag(TOTAL)
    output = product @ total @ product.T / TEMPERATURE
    _, log_determinant = jnp.linalg.slogdet(jnp.eye(4) + output)
    spread = jnp.trace(jnp.linalg.solve(jnp.eye(4) + output, output))
    pull = jnp.trace(product @ within @ product.T) / TEMPERATURE
    return pull - 0.5 * (log_determinant + spread)


def descended_weights(depth):
    """Plain gradient descent from a balanced start W_l = ½ I on the loss of their product."""

    def loss(weights):
        product = jnp.eye(4)
        for index in range(depth):
            product = weights[index] @ product
        return population_loss(product)

    def step(weights, _):
        return weights - 0.05 * jax.grad(loss)(weights), None

    start = jnp.broadcast_to(0.5 * jnp.eye(4)[None], (depth, 4, 4))
    return jax.lax.scan(step, start, None, length=4000)[0]


@pytest.mark.parametrize(("encoder_depth", "projector_depth"), [(1, 1), (2, 1)])
def test_descent_gives_the_encoder_its_share_of_every_log_gain(encoder_depth, projector_depth):
    weights = np.asarray(descended_weights(encoder_depth + projector_depth))
    gains = optimal_gains(TEMPERATURE)
    encoder = np.linalg.multi_dot([np.eye(4), *weights[:encoder_depth][::-1]])
    composite = np.linalg.multi_dot([np.eye(4), *weights[::-1]])
    np.testing.assert_allclose(np.diag(composite), gains, rtol=1e-5)
    np.testing.assert_allclose(
        np.diag(encoder), encoder_gains(gains, encoder_depth, projector_depth), rtol=1e-5
    )
    slope = np.polyfit(np.log(gains), np.log(np.diag(encoder)), 1)[0]
    np.testing.assert_allclose(
        slope, 1 - projector_share(encoder_depth, projector_depth), atol=1e-4
    )
    output = encoder @ np.diag(TOTAL) @ encoder.T
    noise = encoder @ np.diag(WITHIN) @ encoder.T
    np.testing.assert_allclose(
        float(encoder_defect(gains, WITHIN, TOTAL, encoder_depth, projector_depth)),
        np.trace(noise) / np.trace(output),
        rtol=1e-4,
    )


def test_deeper_projectors_leave_less_invariant_features():
    gains = optimal_gains(1.0)
    defects = [float(encoder_defect(gains, WITHIN, TOTAL, 1, depth)) for depth in range(5)]
    assert defects == sorted(defects)
    assert defects[-1] < np.sum(WITHIN) / np.sum(TOTAL)
    assert [projector_share(1, depth) for depth in (0, 1, 2, 3)] == [0, 0.5, 2 / 3, 0.75]
    with pytest.raises(InputError, match="at least one encoder layer"):
        projector_share(0, 1)
