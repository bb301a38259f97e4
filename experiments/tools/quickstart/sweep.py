"""Part C: what stronger augmentation does to feature and embedding of a nonlinear head."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.core.measurements import Measurement
from experiments.measure.rows import accuracy_row
from experiments.tools.quickstart.settings import (
    PARAMETERS,
    PROBE_STRENGTH,
    SWEEP,
    Size,
    exact_rows,
    make_key,
    sweep_config,
)
from ssljax.augment.augment import draw_changes
from ssljax.config.config import Config
from ssljax.data.datasets import Dataset, load_dataset
from ssljax.measure.features import layer_features, view_features, view_keys
from ssljax.measure.probe import linear_probe, regression_probe
from ssljax.nets.network import Network
from ssljax.training.training import make_training
from theory.geometry.invariance import (
    augmentation_fractions,
    orbit_covariances,
    view_invariance_defect,
)
from theory.geometry.ranks import variance_effective_rank
from theory.geometry.water_filling import cosine_projector

LAYERS = ("feature", "embedding")
INFORMATION_STRENGTH = 0.5

Views = Mapping[str, Float[np.ndarray, "images views dim"]]
# Op by op, drawing changes takes longer than the networks do.
_draw_changes = jax.jit(draw_changes, static_argnums=1)


def measure_sweep(size: Size, seed: int) -> Iterator[Measurement]:
    """Yield what is measured on the test images after training at each strength."""
    config = sweep_config(size)
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    training = make_training(config, train)
    for strength in size.strengths:
        state, _ = training.run(training.init(seed), strength, config.num_steps)
        yield from _measure(training.network, state, config, train, test, strength, size, seed)


def _measure(
    network: Network,
    state: Any,
    config: Config,
    train: Dataset,
    test: Dataset,
    strength: float,
    size: Size,
    seed: int,
) -> Iterator[Measurement]:
    root = jax.random.fold_in(jax.random.key(seed), 2**20)

    def draw(dataset: Dataset, key: jax.Array, at: float, views: int) -> Views:
        found = view_features(
            network.apply,
            state.params,
            state.statistics,
            dataset.images,
            dataset.pixel_scale,
            key,
            config.policy,
            at,
            views=views,
            layers=LAYERS,
        )
        return found | {"embedding": place_on_sphere(found["embedding"])}

    probing = draw(test, jax.random.fold_in(root, 0), PROBE_STRENGTH, size.sweep_views)
    training = draw(test, jax.random.fold_in(root, 1), strength, size.sweep_views)
    with jax.enable_x64(True):
        yield from _geometry_rows(seed, strength, probing, training, config.loss.temperature)
    clean = [
        layer_features(
            network.apply,
            state.params,
            state.statistics,
            dataset.images,
            dataset.pixel_scale,
            layers=LAYERS,
        )
        for dataset in (train, test)
    ]
    for layer in LAYERS:
        found = linear_probe(
            clean[0][layer],
            train.labels,
            clean[1][layer],
            test.labels,
            num_classes=train.num_classes,
            max_iterations=500,
        )
        key = make_key(SWEEP, seed, "accuracy", "trained", layer, "digits", trained=strength)
        yield accuracy_row(key, (found.predictions == test.labels)[None])
    views, targets = [], []
    for number, dataset in enumerate((train, test)):
        key = jax.random.fold_in(jax.random.fold_in(root, 2), number)
        views.append(draw(dataset, key, INFORMATION_STRENGTH, 2))
        keys = view_keys(key, len(dataset.images), 2).reshape(-1)
        changes = _draw_changes(keys, config.policy, INFORMATION_STRENGTH)
        targets.append(np.stack([np.asarray(getattr(changes, p)) for p in PARAMETERS], axis=1))
    for layer in LAYERS:
        flat = [found[layer].reshape(-1, found[layer].shape[-1]) for found in views]
        scores = regression_probe(flat[0], targets[0], flat[1], targets[1]).r2
        for name, score in zip(PARAMETERS, scores, strict=True):
            key = make_key(
                SWEEP, seed, "r2", "trained", layer, "digits", property=name, trained=strength
            )
            yield from exact_rows(key, score)


def place_on_sphere(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings divided by their length, as a cosine loss sees them; zero stays zero."""
    norms = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return embeddings / np.maximum(norms, 1e-12)


def _geometry_rows(
    seed: int, strength: float, probing: Views, training: Views, temperature: float
) -> Iterator[Measurement]:
    """Yield defects and ranks, and what water-filling forecasts of the embedding's."""

    def key(quantity: str, variant: str = "trained", layer: str = "", **settings: Any):
        return make_key(SWEEP, seed, quantity, variant, layer, trained=strength, **settings)

    for layer in LAYERS:
        views = jnp.asarray(probing[layer], jnp.float64)
        defect = float(view_invariance_defect(views))
        yield from exact_rows(key("defect", layer=layer, strength=PROBE_STRENGTH), defect)
    views = [jnp.asarray(training[layer], jnp.float64) for layer in LAYERS]
    orbits = [orbit_covariances(each) for each in views]
    totals = [orbit.within + orbit.between for orbit in orbits]
    variances = [jnp.clip(jnp.linalg.eigvalsh(total), 0.0) for total in totals]
    fractions = augmentation_fractions(orbits[0].within, totals[0]).values
    optimum = cosine_projector(fractions, temperature, rank=views[1].shape[-1])
    found = {
        "defect": [float(view_invariance_defect(each)) for each in views],
        "erank": [float(variance_effective_rank(each)) for each in variances],
    }
    forecasts = {"defect": float(optimum.defect), "erank": float(optimum.effective_rank)}
    for quantity, (feature, embedding) in found.items():
        error = "rank_error" if quantity == "erank" else "defect_error"
        for layer, value in zip(LAYERS, (feature, embedding), strict=True):
            yield from exact_rows(key(quantity, layer=layer, strength="training"), value)
        # Where augmentation is stronger than the relaxation allows nothing is forecast.
        if bool(optimum.valid):
            guess = forecasts[quantity]
            yield from exact_rows(key(quantity, "theory", strength="training"), guess)
            for variant, value in (("theory", guess), ("rival:feature", feature)):
                yield from exact_rows(key(error, variant), abs(np.log(value / embedding)))
