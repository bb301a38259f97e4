"""A network of the table, trained or loaded, with all that measuring needs of it."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import jax
import numpy as np
import optax
from jaxtyping import Array, PyTree

from experiments.networks.cache import digest_run, load_network, train_network
from experiments.networks.configs import make_config
from experiments.networks.images import fingerprint, load_training_images
from experiments.networks.observers import make_observers
from experiments.networks.random_heads import draw_heads
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from experiments.networks.variant import Variant
from experiments.networks.views import View, make_view
from ssljax.config.config import Config, HeadConfig
from ssljax.data.datasets import Dataset
from ssljax.nets.network import layer_dims, make_head_map
from ssljax.nets.table import HEADS, Numerics
from ssljax.runs.metrics import read_metrics
from ssljax.training.state import make_state

ESTIMATED_ON = 2000
"""Training images whose views the statistics of random heads are estimated on."""


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A finished training.

    Attributes:
      config: What was trained.
      dataset: The images it was trained on.
      variants: `trained`, `untrained`, `random_head:0` … .
      view: Views under its augmentation.
      key: Root key of its random numbers.
      observed: Scalars a step, and final states of observers.
      digest: Of all that decides the result.
      data: Fingerprint of the images.
    """

    config: Config
    dataset: Dataset
    variants: Mapping[str, Variant]
    view: View
    key: Array
    observed: Mapping[str, np.ndarray]
    digest: str
    data: str


def load_trained(network: str, seed: int, tier: str) -> TrainedNetwork:
    """Return a network of a seed from the cache, trained now where it is not there.

    Args:
      network: A name of `TRAININGS`, of the kind `encoder`.
      seed: Of the training.
      tier: A name of `SIZES`.

    Raises:
      UsageError: Images are missing or damaged.
    """
    training = TRAININGS[network]
    config = make_config(training, SIZES[tier], seed)
    dataset = load_training_images(network, tier)
    observers = make_observers(config, training.observers)
    folder = train_network(config, dataset, tuple(observers.values()))
    run = load_network(folder, dataset)
    view = make_view(config.policy, seed, dataset.pixel_scale)
    (width,) = layer_dims(run.network, dataset.image_shape, ("feature",)).values()
    trained = Variant(
        run.network,
        run.state.params,
        run.state.statistics,
        dataset.pixel_scale,
        _build_head(config.head, width),
    )
    start = make_state(run.network, optax.identity(), seed)
    variants = {
        "trained": trained,
        "untrained": dataclasses.replace(trained, params=start.params, statistics=start.statistics),
        **draw_heads(trained, config, view(dataset.images[:ESTIMATED_ON], config.strength, 0)),
    }
    return TrainedNetwork(
        config,
        dataset,
        variants,
        view,
        run.state.key,
        _read_observed(folder, tuple(observers), run.state.observer_states),
        digest_run(config, dataset, tuple(observers.values())),
        fingerprint(dataset),
    )


@cache
def _build_head(config: HeadConfig, width: int) -> Callable[[PyTree, PyTree, Array], Array]:
    return make_head_map(HEADS[config.kind].build(config.selected(), Numerics()), width)


def _read_observed(
    folder: Path, observers: tuple[str, ...], states: tuple[PyTree, ...]
) -> dict[str, np.ndarray]:
    """Scalars of every logged step, and the final states as `OBSERVER/NAME`."""
    lines = read_metrics(folder)
    found = {name: np.array([line[name] for line in lines]) for name in lines[-1]}
    for observer, state in zip(observers, states, strict=True):
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            found[f"{observer}/{name}"] = np.asarray(leaf)
    return found
