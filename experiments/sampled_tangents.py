"""Exact augmentation tangents against the same planes estimated from sampled views."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.tangent_planes import leading_rows, network_tangents, overlap
from ssljax.augment.orbit import GENERATORS, generator_scales, group_element, orbit_covariance
from ssljax.augment.policies import Policy
from ssljax.data.sources import Dataset
from ssljax.measure.features import view_features
from ssljax.nets.network import Network
from ssljax.system.arrays import Float
from theory.geometry.invariance import orbit_covariances
from theory.geometry.subspaces import tangent_cosine_squared

SAMPLE_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
SAMPLE_COUNTS = (16, 64, 256)
LAW_STRENGTH = 0.03
SIGNAL_TO_NOISE = 4 / 3
"""Variance along the tangent over that of the added noise per coordinate."""

Over = Float[np.ndarray, " strengths"]


class SampledTangents(NamedTuple):
    """One network.

    Attributes:
      group_overlaps: Leading plane of views sampled from the group against the exact tangent, by
        strength.
      policy_overlaps: The same of the policy's own views, with their flips, gray and crops.
      random_overlap: Of a random plane.
      spread_ratios: First-order over sampled trace of the within-orbit covariance, by strength.
      sines: Mean sine between the leading direction of noisy samples along one generator and the
        exact tangent, by number of samples.
      predicted_sines: The same by the law.
    """

    group_overlaps: Over
    policy_overlaps: Over
    random_overlap: float
    spread_ratios: Over
    sines: Float[np.ndarray, " counts"]
    predicted_sines: Float[np.ndarray, " counts"]


def sampled_tangents(
    network: Network,
    state: Any,
    points: Dataset,
    policy: Policy,
    *,
    samples: int,
    counts: tuple[int, ...] = SAMPLE_COUNTS,
    seed: int,
) -> SampledTangents:
    """Compare sampled with exact tangents at the feature.

    Args:
      network: The network.
      state: Its parameters and statistics.
      points: A few images.
      policy: Augmentation per unit of strength.
      samples: Views of each image for the planes.
      counts: Numbers of samples along one generator, for the law.
      seed: Of samples and noise.

    Returns:
      The comparison.
    """
    key = jax.random.fold_in(jax.random.key(seed), 2**23)
    tangents = network_tangents(network, state, points, policy)
    parameters, dim = tangents.shape[1:]
    exact = leading_rows(tangents, parameters)
    within = float(np.trace(np.asarray(orbit_covariance(jnp.asarray(tangents, jnp.float32)))))
    group, own, ratios = [], [], []
    for number, strength in enumerate(SAMPLE_STRENGTHS):
        draw, other = jax.random.split(jax.random.fold_in(key, number))
        moved = _group_views(network, state, points, policy, draw, strength, samples)
        group.append(overlap(_leading_plane(moved, parameters), exact))
        seen = view_features(
            network.apply,
            state.params,
            state.statistics,
            points.images,
            points.pixel_scale,
            other,
            policy,
            strength,
            views=samples,
            layers=("feature",),
        )["feature"]
        own.append(overlap(_leading_plane(seen, parameters), exact))
        with jax.enable_x64(True):
            sampled = orbit_covariances(jnp.asarray(moved, jnp.float64)).within
            ratios.append(strength**2 * within / float(jnp.trace(sampled)))
    sines = [
        _noisy_sine(network, state, points, policy, tangents, jax.random.fold_in(key, count), count)
        for count in counts
    ]
    with jax.enable_x64(True):
        law = [float(tangent_cosine_squared(SIGNAL_TO_NOISE, 1.0, dim, count)) for count in counts]
    return SampledTangents(
        group_overlaps=np.array(group),
        policy_overlaps=np.array(own),
        random_overlap=parameters / dim,
        spread_ratios=np.array(ratios),
        sines=np.array(sines),
        predicted_sines=np.sqrt(1.0 - np.array(law)),
    )


def noisy_sine(
    displacements: Float[np.ndarray, "images samples dim"],
    direction: Float[np.ndarray, "images dim"],
    noise: Float[np.ndarray, "images samples dim"],
    signal_to_noise: float,
) -> float:
    """Sine between the leading principal direction of noisy samples and a direction.

    Args:
      displacements: Of samples from where they started.
      direction: At each image, of any length.
      noise: Standard normal; scaled so that the displacements' variance along the direction is
        `signal_to_noise` times that of the noise in each coordinate.
      signal_to_noise: > 0.

    Returns:
      Square root of the mean squared sine over images.
    """
    unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    along = np.einsum("isd,id->is", displacements, unit)
    scale = np.sqrt(np.mean(along**2, axis=1) / signal_to_noise)
    samples = displacements + scale[:, None, None] * noise
    leading = _leading_plane(samples, 1)[..., 0]
    cosines = np.einsum("id,id->i", leading, unit)
    return float(np.sqrt(np.mean(1.0 - np.minimum(cosines**2, 1.0))))


def _leading_plane(samples: np.ndarray, rank: int) -> np.ndarray:
    samples = np.asarray(samples, np.float64)
    return leading_rows(samples - np.mean(samples, axis=1, keepdims=True), rank)


def _group_views(
    network: Network,
    state: Any,
    points: Dataset,
    policy: Policy,
    key: jax.Array,
    strength: float,
    samples: int,
    only: int | None = None,
) -> np.ndarray:
    """Features at coordinates uniform on the policy's ranges, of all generators or one of them."""
    scales = strength * generator_scales(policy)
    if only is not None:
        scales = np.where(np.arange(len(GENERATORS)) == only, scales, 0.0)
    shape = (samples, len(points.images), len(GENERATORS))
    draws = jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
    coordinates = draws * jnp.asarray(scales, jnp.float32)[None, None]
    views = [
        _moved_features(
            network.apply,
            state.params,
            state.statistics,
            points.images,
            points.pixel_scale,
            coordinates[number],
        )
        for number in range(samples)
    ]
    return np.stack(jax.device_get(views), axis=1)


@partial(jax.jit, static_argnums=0)
def _moved_features(apply, params, statistics, images, pixel_scale, coordinates):
    pixels = group_element(images.astype(jnp.float32) * pixel_scale, coordinates)
    outputs, _ = apply(params, statistics, pixels, train=False, layers=("feature",))
    return outputs["feature"]


def _noisy_sine(
    network: Network,
    state: Any,
    points: Dataset,
    policy: Policy,
    tangents: np.ndarray,
    key: jax.Array,
    count: int,
) -> float:
    """`noisy_sine` of the generator that moves the feature most."""
    draw, other = jax.random.split(key)
    used = np.flatnonzero(generator_scales(policy))
    strongest = int(np.argmax(np.sum(tangents**2, axis=(0, 2))))
    moved = _group_views(
        network, state, points, policy, draw, LAW_STRENGTH, count, only=int(used[strongest])
    )
    displacements = np.asarray(moved, np.float64)
    displacements = displacements - np.mean(displacements, axis=1, keepdims=True)
    noise = np.asarray(jax.random.normal(other, displacements.shape), np.float64)
    return noisy_sine(displacements, tangents[:, strongest], noise, SIGNAL_TO_NOISE)
