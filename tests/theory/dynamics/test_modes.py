"""Whether the modes of learning are those of the optimum, as one number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.dynamics.modes import commutator


def test_commutator_is_that_of_the_product_and_zero_where_nothing_is_shared():
    covariance, swap = jnp.diag(jnp.array([2.0, 1.0])), jnp.array([[0.0, 1.0], [1.0, 0.0]])
    # ΣM = [[0, 2], [1, 0]]: ‖ΣM − MΣ‖ = √2, ‖ΣM‖ = √5.
    assert float(commutator(covariance, swap)) == pytest.approx(np.sqrt(2) / (2 * np.sqrt(5)))
    nothing = jnp.zeros((2, 2))
    assert float(commutator(covariance, nothing)) == 0.0
    slope = jax.grad(lambda shared: commutator(covariance, shared))(nothing)
    np.testing.assert_array_equal(slope, nothing)
