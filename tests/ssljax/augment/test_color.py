import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.augment.color import (
    LUMA,
    NUM_ORDERS,
    apply_color,
    compose,
    gray_map,
    hue_matrix,
    jitter_map,
)


def rotation_about_gray(angle):
    """Rodrigues' formula written out for the axis (1, 1, 1) / sqrt(3), in float64."""
    k = np.ones(3) / np.sqrt(3)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def jittered(image, factors, order):
    """The four changes one after the other on every pixel: torchvision's formulas, no clipping."""
    luma = np.array(LUMA)
    for which in order:
        f = factors[which]
        if which == 0:
            image = f * image
        elif which == 1:
            image = f * image + (1 - f) * np.mean(image @ luma)
        elif which == 2:
            image = f * image + (1 - f) * (image @ luma)[..., None]
        else:
            image = image @ rotation_about_gray(f).T
    return image


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_in_every_order_equals_the_changes_applied_one_by_one(channels):
    rng = np.random.default_rng(1)
    images = rng.uniform(size=(NUM_ORDERS, 4, 5, channels)).astype(np.float32)
    factors = rng.uniform(0.5, 1.5, (4, NUM_ORDERS)).astype(np.float32)
    color = jitter_map(jnp.mean(images, axis=(1, 2)), *jnp.asarray(factors), jnp.arange(NUM_ORDERS))
    ours = np.asarray(apply_color(jnp.asarray(images), color))
    orders = sorted(itertools.permutations(range(4)))
    for b, order in enumerate(orders):
        colored = np.repeat(images[b].astype(float), 3 // channels, axis=2)
        if channels == 1:  # a gray image keeps its gray; hue and saturation leave it alone
            order = [which for which in order if which < 2]
        expected = jittered(colored, factors[:, b].astype(float), order)[..., :channels]
        np.testing.assert_allclose(ours[b], expected, atol=3e-6)


def test_hue_rotations_add_their_angles_and_keep_gray_and_the_mean():
    a, b = jnp.array([0.7]), jnp.array([-1.9])
    np.testing.assert_allclose(hue_matrix(a)[0] @ hue_matrix(b)[0], hue_matrix(a + b)[0], atol=1e-6)
    np.testing.assert_allclose(hue_matrix(a)[0] @ jnp.ones(3), np.ones(3), atol=1e-6)
    np.testing.assert_allclose(jnp.ones(3) @ hue_matrix(a)[0], np.ones(3), atol=1e-6)
    np.testing.assert_allclose(hue_matrix(jnp.zeros(1))[0], np.eye(3), atol=1e-7)


def test_a_third_of_a_turn_of_hue_permutes_the_channels():
    turned = hue_matrix(jnp.array([2 * np.pi / 3]))[0] @ jnp.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(turned, [0, 1, 0], atol=1e-6)


def test_composition_applies_the_inner_map_first():
    rng = np.random.default_rng(2)
    images = jnp.asarray(rng.uniform(size=(2, 3, 3, 3)), jnp.float32)
    factors = jnp.asarray(rng.uniform(0.5, 1.5, (4, 2)), jnp.float32)
    inner = jitter_map(jnp.mean(images, axis=(1, 2)), *factors, jnp.array([3, 17]))
    outer = gray_map(2, 3)
    np.testing.assert_allclose(
        apply_color(images, compose(outer, inner)),
        apply_color(apply_color(images, inner), outer),
        atol=2e-6,
    )
