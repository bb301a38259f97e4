import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.augment.augment import apply_changes, draw_changes
from ssljax.augment.color import hue_matrix
from ssljax.augment.geometry import hat_weights, resample_separable, spline_weights
from ssljax.augment.orbit import (
    GENERATORS,
    generator_scales,
    group_element,
    orbit_tangents,
)
from ssljax.augment.policies import SIMCLR_POLICY, Policy

SIDE = 12
KERNELS = (hat_weights, spline_weights)
element = jax.jit(group_element)


def smooth_images(count=3):
    """Band-limited color images that vanish towards the border, in float64."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    rng = np.random.default_rng(0)
    window = np.exp(-3 * (x**2 + y**2))[None, :, :, None]
    waves = [
        rng.normal(size=(count, 1, 1, 3)) * np.sin(a * x + b * y + c)[None, :, :, None]
        for a, b, c in [(2, 1, 0.3), (-1, 3, 1.0), (0, 2, -0.5)]
    ]
    return jnp.asarray(window * (0.6 + 0.3 * sum(waves)))


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def test_the_spline_passes_through_every_pixel_and_solves_its_own_equations(double):
    rng = np.random.default_rng(1)
    values = rng.normal(size=9)
    at = jnp.concatenate([jnp.arange(9.0), jnp.asarray(rng.uniform(-1, 9, 50))])
    ours = np.asarray(spline_weights(at, 9) @ values)
    np.testing.assert_allclose(ours[:9], values, atol=1e-14)
    from scipy.interpolate import BSpline

    # The same spline by an independent library: coefficients solve the collocation equations.
    knots = np.arange(-4 - 0.0, 9 + 4 + 1)[: 9 + 8]
    system = (4 * np.eye(9) + np.eye(9, k=1) + np.eye(9, k=-1)) / 6
    coefficients = np.concatenate([np.zeros(2), np.linalg.solve(system, values), np.zeros(2)])
    spline = BSpline(knots, coefficients, 3, extrapolate=False)
    np.testing.assert_allclose(ours, spline(np.asarray(at)), atol=1e-13)


def test_the_identity_element_returns_the_images():
    images = smooth_images().astype(jnp.float32)
    np.testing.assert_allclose(element(images, jnp.zeros((3, len(GENERATORS)))), images, atol=3e-6)


def test_tangents_are_the_central_differences_to_the_order_of_their_error(double):
    images = smooth_images()
    scales = jnp.linspace(0.5, 1.5, len(GENERATORS))
    readout = jnp.asarray(np.random.default_rng(2).normal(size=(SIDE * SIDE * 3, 4)))

    def function(x):
        return jnp.tanh(x.reshape(len(x), -1) @ readout)

    exact = jax.jit(lambda x: orbit_tangents(function, x, scales))(images)
    errors = []
    for step in (2e-3, 1e-3):
        differences = []
        for k in range(len(GENERATORS)):
            theta = np.zeros((3, len(GENERATORS)))
            theta[:, k] = step * float(scales[k])
            ahead, behind = (element(images, jnp.asarray(sign * theta)) for sign in (1, -1))
            differences.append((function(ahead) - function(behind)) / 2)
        difference = np.stack(differences, axis=1) / step
        errors.append(np.abs(difference - exact).max() / np.abs(exact).max())
    assert errors[1] < 1e-3
    # Second order: half the step, a quarter of the error.
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.1)


def test_the_hat_kernel_would_have_given_wrong_tangents(double):
    """Why the spline: at the identity every bilinear sample sits on a kink."""
    images = smooth_images(1)
    at = jnp.arange(float(SIDE))[None]

    @jax.jit
    def moved(shift):
        return resample_separable(images, at + shift, at)

    _, tangent = jax.jvp(moved, (0.0,), (1.0,))
    difference = (moved(1e-6) - moved(-1e-6)) / 2e-6
    assert np.abs(tangent - difference).max() > 0.5 * np.abs(difference).max()
    # Weights always sum to 1 inside, so their derivatives must sum to 0; the hat's do not.
    at = jnp.array([5.0])
    total = {f: float(jnp.sum(jax.jacfwd(lambda c: f(c, SIDE))(at))) for f in KERNELS}  # noqa: B023
    assert abs(total[hat_weights]) > 0.5
    assert abs(total[spline_weights]) < 1e-2  # the zeros outside, .27 per pixel away


def test_the_derivative_of_hue_exists_at_gray_and_vanishes_there(double):
    def turned(angle):
        return hue_matrix(angle[None])[0] @ jnp.full(3, 0.4)

    for derivative in (jax.jacfwd(turned), jax.jacrev(turned)):
        np.testing.assert_allclose(derivative(jnp.float64(0)), 0, atol=1e-15)


def test_color_generators_are_one_parameter_groups(double):
    images = smooth_images()
    for name in ("log_jitter_brightness", "log_jitter_saturation", "jitter_hue", "log_contrast"):
        theta = np.zeros((3, len(GENERATORS)))
        theta[:, GENERATORS.index(name)] = 0.3
        once = element(images, jnp.asarray(theta))
        twice = element(once, jnp.asarray(theta))
        np.testing.assert_allclose(twice, element(images, jnp.asarray(2 * theta)), atol=1e-13)


def test_two_rotations_compose_up_to_interpolation(double):
    images = smooth_images()
    theta = np.zeros((3, len(GENERATORS)))
    theta[:, 0] = 0.2
    twice = element(element(images, jnp.asarray(theta)), jnp.asarray(theta))
    directly = element(images, jnp.asarray(2 * theta))
    assert np.abs(twice - directly).max() < 2e-2 * np.abs(images).max()


def test_the_group_is_the_training_code_with_spline_interpolation():
    policy = Policy(rotation=0.5, shift=0.1, log_scale=0.2, log_contrast=0.3, interpolation="cubic")
    images = smooth_images().astype(jnp.float32)
    keys = jax.random.split(jax.random.key(0), 3)
    changes = jax.jit(draw_changes, static_argnums=1)(keys, policy, 0.7)
    theta = jnp.stack([getattr(changes, name, jnp.zeros(3)) for name in GENERATORS], axis=1)
    np.testing.assert_allclose(
        element(images, theta),
        jax.jit(apply_changes, static_argnums=2)(images, changes, policy),
        atol=3e-6,
    )


def test_brightness_moves_every_pixel_alike():
    images = smooth_images().astype(jnp.float32)
    scales = jnp.ones(len(GENERATORS))
    tangents = jax.jit(lambda x: orbit_tangents(lambda y: y.reshape(3, -1), x, scales))(images)
    np.testing.assert_allclose(tangents[:, GENERATORS.index("brightness")], 1, rtol=1e-4)


def test_scales_of_a_policy_are_its_ranges():
    scales = dict(zip(GENERATORS, generator_scales(SIMCLR_POLICY)))
    assert scales["rotation"] == 0
    np.testing.assert_allclose(scales["jitter_hue"], 0.4 * np.pi, rtol=1e-6)
    np.testing.assert_allclose(scales["log_scale"], 0.23, rtol=1e-6)
