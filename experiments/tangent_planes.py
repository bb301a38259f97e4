"""Planes at the feature: what the head keeps, where data lie, where augmentation leads.

Each is an orthonormal basis at each image. What the head keeps are the leading right singular
vectors of its local slope; the data's tangent plane comes from differences to nearest neighbors,
or from the covariance between images; augmentation's from exact derivatives along its generators.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.head_slopes import head_layers, local_slopes
from experiments.representations import features_of
from ssljax.augment.orbit import generator_scales, orbit_tangents
from ssljax.augment.policies import Policy
from ssljax.data.sources import Dataset
from ssljax.measure.features import view_features
from ssljax.nets.network import Network
from ssljax.system.arrays import Float
from theory.geometry.invariance import augmentation_fractions, orbit_covariances
from theory.geometry.subspaces import captured_energy, row_subspace, subspace_overlap

Bases = Float[np.ndarray, "_ dim _"]
Displacements = Float[np.ndarray, "_ _ dim"]
# Features are float32: directions below this share of the largest variance are rounding.
RANGE_TOLERANCE = 1e-6
TANGENT_BATCH = 32


class PlaneCell(NamedTuple):
    """One network: mean overlaps of planes and captured energies, over images.

    An overlap is the mean squared cosine of the principal angles; the energies are shares of the
    squared length of displacements that lie in a plane.

    Attributes:
      kept_local: What the head keeps against the local data plane.
      kept_global: The same against the plane of largest variance between images.
      kept_discriminant: The same against the plane that separates images best from views.
      kept_tangent: The same against the augmentation tangent.
      tangent_local: The augmentation tangent against the local data plane.
      random_local: A random plane against the local data plane.
      ceiling_local: The local data plane of half of the data against that of the other half.
      ceiling_global: The same of the global plane.
      data_energy: Share of neighbor differences that the head keeps.
      augmentation_energy: Share of the augmentation tangent that it keeps.
      random_data_energy: Share of neighbor differences in a random plane.
      random_augmentation_energy: Share of the augmentation tangent there.
    """

    kept_local: float
    kept_global: float
    kept_discriminant: float
    kept_tangent: float
    tangent_local: float
    random_local: float
    ceiling_local: float
    ceiling_global: float
    data_energy: float
    augmentation_energy: float
    random_data_energy: float
    random_augmentation_energy: float


def plane_cell(
    network: Network,
    state: Any,
    pool: Dataset,
    points: Dataset,
    crowd: Dataset,
    policy: Policy,
    strength: float,
    *,
    rank: int,
    views: int,
    seed: int,
) -> PlaneCell:
    """Measure one network.

    Args:
      network: The network.
      state: Its parameters and statistics.
      pool: Images in which neighbors are looked for, none of them among the points.
      points: Images at which planes are compared.
      crowd: Images of the global planes.
      policy: Augmentation per unit of strength.
      strength: Factor on it.
      rank: Dimensions of the planes, but of the augmentation tangent, which has its own.
      views: Views of each image of the crowd.
      seed: Of views, halves and random planes.

    Returns:
      The cell.
    """
    key = jax.random.fold_in(jax.random.key(seed), 2**21)
    view_key, half_key, random_key = jax.random.split(key, 3)
    around, here = _features(network, state, pool), _features(network, state, points)
    slopes = local_slopes(head_layers(state.params, here.shape[1]), here)
    tangents = network_tangents(network, state, points, policy)
    seen = view_features(
        network.apply,
        state.params,
        state.statistics,
        crowd.images,
        crowd.pixel_scale,
        view_key,
        policy,
        strength,
        views=views,
        layers=("feature",),
    )["feature"]
    order = np.asarray(jax.random.permutation(half_key, len(around)))
    halves = np.array_split(around[order], 2)
    differences = neighbor_differences(here, around, 2 * rank)
    half_planes = [
        leading_rows(neighbor_differences(here, half, 2 * rank), rank) for half in halves
    ]
    kept = leading_rows(slopes, rank)
    local = leading_rows(differences, rank)
    turn = leading_rows(tangents, tangents.shape[1])
    noise = jax.random.normal(random_key, (len(here), rank, here.shape[1]))
    random = leading_rows(np.asarray(noise, np.float64), rank)
    between, discriminant = global_planes(seen, rank)
    half_between = [global_planes(half, rank)[0] for half in np.array_split(seen, 2)]
    return PlaneCell(
        kept_local=overlap(kept, local),
        kept_global=overlap(kept, between),
        kept_discriminant=overlap(kept, discriminant),
        kept_tangent=overlap(kept, turn),
        tangent_local=overlap(turn, local),
        random_local=overlap(random, local),
        ceiling_local=overlap(*half_planes),
        ceiling_global=overlap(*half_between),
        data_energy=energy(kept, differences),
        augmentation_energy=energy(kept, tangents),
        random_data_energy=energy(random, differences),
        random_augmentation_energy=energy(random, tangents),
    )


def network_tangents(
    network: Network, state: Any, points: Dataset, policy: Policy
) -> Displacements:
    """Derivatives of the feature along each generator that the policy uses, at unit strength.

    Args:
      network: The network.
      state: Its parameters and statistics.
      points: Images.
      policy: Its ranges are the units.

    Returns:
      One displacement for each image and generator, float64.
    """
    scales = generator_scales(policy)
    used = np.flatnonzero(scales)
    parts = []
    for start in range(0, len(points.images), TANGENT_BATCH):
        # The last batch is moved back to full size, so that one shape is compiled.
        begin = max(min(start, len(points.images) - TANGENT_BATCH), 0)
        images = points.images[begin : begin + TANGENT_BATCH]
        part = _tangents(
            network.apply, state.params, state.statistics, images, points.pixel_scale, scales
        )
        parts.append(np.asarray(part)[start - begin :])
    return np.asarray(np.concatenate(parts)[:, used], np.float64)


@partial(jax.jit, static_argnums=0)
def _tangents(apply, params, statistics, images, pixel_scale, scales):
    def feature(pixels):
        outputs, _ = apply(params, statistics, pixels, train=False, layers=("feature",))
        return outputs["feature"]

    return orbit_tangents(feature, images.astype(jnp.float32) * pixel_scale, scales)


def neighbor_differences(
    points: Float[np.ndarray, "points dim"], pool: Float[np.ndarray, "pool dim"], count: int
) -> Displacements:
    """Differences from each point to its nearest ones of a pool.

    Args:
      points: At which.
      pool: Among which; a point's own copy in it would count as a neighbor.
      count: Neighbors, at most the size of the pool.

    Returns:
      Differences, float64.
    """
    points, pool = np.asarray(points, np.float64), np.asarray(pool, np.float64)
    squares = np.sum(pool**2, axis=1)[None] - 2 * points @ pool.T
    nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
    return pool[nearest] - points[:, None]


def leading_rows(matrices: Float[np.ndarray, "images rows dim"], rank: int) -> Bases:
    """Leading right singular vectors of each matrix, in columns."""
    with jax.enable_x64(True):
        return np.asarray(_leading_rows(jnp.asarray(matrices, jnp.float64), rank))


@partial(jax.jit, static_argnums=1)
def _leading_rows(matrices, rank):
    return jax.vmap(lambda matrix: row_subspace(matrix, rank))(matrices)


def global_planes(views: Float[np.ndarray, "images views dim"], rank: int) -> tuple[Bases, Bases]:
    """Planes of largest variance between images, and of largest such variance beside the views'.

    Args:
      views: Features of several views of each image.
      rank: Dimensions.

    Returns:
      Both, as bases of one image.
    """
    with jax.enable_x64(True):
        orbit = orbit_covariances(jnp.asarray(views, jnp.float64))
        _, vectors = jnp.linalg.eigh(orbit.between)
        modes = augmentation_fractions(
            orbit.within, orbit.within + orbit.between, range_tolerance=RANGE_TOLERANCE
        )
        discriminant, _ = jnp.linalg.qr(modes.directions[:, :rank])
        return np.asarray(vectors[:, ::-1][:, :rank])[None], np.asarray(discriminant)[None]


# Compiled once for all planes of a shape.
_overlaps = jax.jit(jax.vmap(subspace_overlap))
_energies = jax.jit(jax.vmap(captured_energy))


def overlap(first: Bases, second: Bases) -> float:
    """Mean squared cosine of the principal angles, averaged over images.

    Args:
      first: Bases; one of them alone stands for every image.
      second: Bases, likewise.

    Returns:
      1 where one plane lies in the other.
    """
    images = max(len(first), len(second))
    first, second = (np.broadcast_to(one, (images, *one.shape[1:])) for one in (first, second))
    with jax.enable_x64(True):
        return float(jnp.mean(_overlaps(jnp.asarray(first), jnp.asarray(second))))


def energy(bases: Bases, displacements: Displacements) -> float:
    """Share of each image's displacements that lies in its plane, averaged over images."""
    with jax.enable_x64(True):
        columns = jnp.swapaxes(jnp.asarray(displacements), 1, 2)
        return float(jnp.mean(_energies(jnp.asarray(bases), columns)))


def _features(network: Network, state: Any, images: Dataset) -> np.ndarray:
    return features_of(network, state.params, state.statistics, images, ("feature",))["feature"]
