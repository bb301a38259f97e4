"""What a network trained on coarse classes knows of the fine ones, layer by layer."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.nested_classes import (
    CollapseShares,
    NestedCovariances,
    collapse_shares,
    nested_covariances,
)
from experiments.representations import Representation, drawn_again, probed, representations
from experiments.view_geometry import on_sphere
from ssljax.data.datasets import Dataset
from ssljax.runs.saved_run import Run
from ssljax.system.arrays import Float, Int
from theory.losses.quadratic import spectral_loss
from theory.losses.supervised import supervised_moments
from theory.optimum.quadratic import quadratic_optimum

ENDS = ("feature", "embedding")
Layers = Float[np.ndarray, " layers"]


class Images(NamedTuple):
    """Two splits with the labels a probe is fitted to, the same images for both labels.

    Attributes:
      train: Images to fit probes on.
      test: Images to test on.
      fine: Fine classes of (train, test), and how many there are.
      coarse: Coarse classes likewise.
    """

    train: Dataset
    test: Dataset
    fine: tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"], int]
    coarse: tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"], int]


class LayerClasses(NamedTuple):
    """Some layers of a network.

    Attributes:
      names: Of the layers, first layer first.
      fine: Test accuracy of a standardizing probe for the fine classes.
      coarse: The same for the coarse ones.
      inside: Share of the layer's variance inside coarse classes, test images.
      subclass: Variance between fine classes of a coarse one over that between coarse classes.
    """

    names: tuple[str, ...]
    fine: Layers
    coarse: Layers
    inside: Layers
    subclass: Layers

    def ends(self, quantity: str) -> Float[np.ndarray, "2"]:
        """A quantity at the feature and at the embedding."""
        return getattr(self, quantity)[[self.names.index(name) for name in ENDS]]


class CoarseCell(NamedTuple):
    """One network.

    Attributes:
      layers: Of the network trained, embedding last.
      random_head: Feature and embedding with the head as it was drawn, on the trained encoder.
      untrained: The same of the network before its first step.
      forecast: Of the embedding's shares, for a linear head on this feature.
    """

    layers: LayerClasses
    random_head: LayerClasses
    untrained: LayerClasses
    forecast: CollapseShares


def layer_names(run: Run) -> tuple[str, ...]:
    """Pooled layers in order, each once: stages, feature, hidden layers of the head, embedding."""
    names = run.network.layers
    stages = [name for name in names if name.startswith("stage")]
    if run.config.encoder.kind == "resnet":
        stages = stages[:-1]  # pooled, the last stage is the feature
    heads = [name for name in names if name.startswith("head")]
    return (*stages, "feature", *heads[:-1], "embedding")


def coarse_cell(run: Run, images: Images, seed: int, *, spherical: bool) -> CoarseCell:
    """Measure one network.

    Args:
      run: A network trained on the coarse classes.
      images: Images and both labels.
      seed: Of the random nulls.
      spherical: Whether the loss sees the embedding's direction only.

    Returns:
      The cell.
    """
    network, state = run.network, run.state
    drawn, first = drawn_again(network, seed)
    kept = dict(state.params) | {"head": drawn["head"]}

    def measured(
        params: object, statistics: object, layers: tuple[str, ...]
    ) -> tuple[LayerClasses, dict[str, Representation]]:
        found = representations(network, params, statistics, images.train, images.test, layers)
        return _classes(found, images, spherical), found

    layers, found = measured(state.params, state.statistics, layer_names(run))
    random_head, _ = measured(kept, state.statistics, ENDS)
    before, _ = measured(drawn, first, ENDS)
    feature = nested_covariances(found["feature"].test, images.coarse[1], images.fine[1])
    width = found["embedding"].test.shape[1]
    return CoarseCell(layers, random_head, before, collapse_forecast(feature, width))


def _classes(found: dict[str, Representation], images: Images, spherical: bool) -> LayerClasses:
    fine, coarse, inside, subclass = [], [], [], []
    for name, representation in found.items():
        fine.append(probed(representation, *images.fine).test_accuracy)
        coarse.append(probed(representation, *images.coarse).test_accuracy)
        seen = representation.test
        seen = on_sphere(seen) if spherical and name == "embedding" else seen
        shares = collapse_shares(nested_covariances(seen, images.coarse[1], images.fine[1]))
        inside.append(shares.inside)
        subclass.append(shares.fine)
    return LayerClasses(tuple(found), *map(np.array, (fine, coarse, inside, subclass)))


def collapse_forecast(feature: NestedCovariances, width: int) -> CollapseShares:
    """Shares behind the linear head that is optimal for supervised contrast on a feature.

    The head minimizes the spectral loss whose positive pairs are examples of one coarse class,
    with infinitely many examples of each (`theory.losses.supervised.supervised_moments`).

    Args:
      feature: Covariances of the feature.
      width: Of the embedding.

    Returns:
      The shares its embedding would have.
    """
    with jax.enable_x64(True):
        moments = supervised_moments(
            jnp.asarray(feature.coarse_means),
            jnp.asarray(feature.shares),
            jnp.asarray(feature.fine + feature.within),
        )
        loss = spectral_loss(moments.covariance, moments.cross_covariance)
        gram = np.asarray(quadratic_optimum(loss, rank=width, range_tolerance=1e-6).gram)
    return collapse_shares(feature, gram)


class DiagonalCell(NamedTuple):
    """A network whose head is diagonal: fine accuracy at (feature, embedding) by two probes.

    Attributes:
      standardized: Every coordinate divided by its own standard deviation.
      one_scale: All coordinates divided by one number.
    """

    standardized: Float[np.ndarray, "2"]
    one_scale: Float[np.ndarray, "2"]


def diagonal_cell(run: Run, images: Images) -> DiagonalCell:
    """Fine accuracy before and after a fixed reweighting head, by the probe that undoes it too."""
    state = run.state
    found = representations(
        run.network, state.params, state.statistics, images.train, images.test, ENDS
    )
    return DiagonalCell(
        *(
            np.array(
                [
                    probed(found[layer], *images.fine, standardize=standardize).test_accuracy
                    for layer in ENDS
                ]
            )
            for standardize in (True, False)
        )
    )
