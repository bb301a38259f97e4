"""Part C: what stronger augmentation does to feature and embedding of a nonlinear head."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.progress import Advance
from experiments.quickstart.scales import (
    INFORMATION_STRENGTH,
    PROBE_STRENGTH,
    Scale,
    sweep_config,
)
from ssljax.augment import random_changes
from ssljax.config import Config
from ssljax.datasets import Dataset, load_dataset
from ssljax.features import layer_features
from ssljax.probe import linear_probe, regression_probe
from ssljax.training import Training, make_training
from ssljax.view_features import view_features, view_keys
from theory.invariance import augmentation_fractions, orbit_covariances, view_invariance_defect
from theory.ranks import variance_effective_rank
from theory.water_filling import cosine_projector

LAYERS = ("feature", "embedding")
PARAMETERS = ("rotation", "shift_x", "brightness")
Cell = Float[np.ndarray, "seeds strengths"]
PairCell = Float[np.ndarray, "seeds strengths layers"]


class SweepOutcome(NamedTuple):
    """Measurements on held-out images; the layers are feature and embedding.

    The embedding is normalized to the sphere, as its loss sees it.

    Attributes:
      strengths: Augmentation strengths of training.
      probe_defects: Invariance defect under views of one fixed strength.
      training_defects: The same under views of the training strength.
      ranks: Effective rank (entropy of variances) of views of the training strength.
      accuracies: Linear probe on clean images.
      information: R² with which each augmentation parameter is read off, by its name.
      predicted_ranks: Water-filling forecast of the embedding's effective rank.
      predicted_defects: Water-filling forecast of its defect at training strength.
      valid: Where the forecast's relaxation holds.
    """

    strengths: Float[np.ndarray, " strengths"]
    probe_defects: PairCell
    training_defects: PairCell
    ranks: PairCell
    accuracies: PairCell
    information: dict[str, PairCell]
    predicted_ranks: Cell
    predicted_defects: Cell
    valid: np.ndarray


def strength_sweep(scale: Scale, advance: Advance) -> SweepOutcome:
    """Train at each strength and seed, and measure on the test images.

    Args:
      scale: How large.
      advance: Told after each training.

    Returns:
      Everything the report shows of part C.
    """
    config = sweep_config(scale)
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    training = make_training(config, train)
    temperature = config.loss.temperature
    rows = []
    for seed in scale.seeds:
        cells = []
        for strength in scale.strengths:
            state, _ = training.run(training.init(seed), strength, config.num_steps)
            cells.append(_measured(training, state, config, train, test, scale, seed, strength))
            advance(f"C  strength sweep, seed {seed}, strength {strength:g}", 1.0)
        rows.append(cells)
    with jax.enable_x64(True):
        forecasts = [[_forecast(cell, temperature) for cell in cells] for cells in rows]

    def gathered(name: str) -> np.ndarray:
        return np.array([[forecast[name] for forecast in row] for row in forecasts])

    def measured(name: str) -> np.ndarray:
        return np.array([[cell[name] for cell in cells] for cells in rows])

    return SweepOutcome(
        strengths=np.array(scale.strengths),
        probe_defects=gathered("probe_defects"),
        training_defects=gathered("training_defects"),
        ranks=gathered("ranks"),
        accuracies=measured("accuracies"),
        information={
            name: np.array([[cell["information"][name] for cell in cells] for cells in rows])
            for name in PARAMETERS
        },
        predicted_ranks=gathered("predicted_rank"),
        predicted_defects=gathered("predicted_defect"),
        valid=gathered("valid").astype(bool),
    )


def _measured(
    training: Training,
    state: Any,
    config: Config,
    train: Dataset,
    test: Dataset,
    scale: Scale,
    seed: int,
    strength: float,
) -> dict[str, Any]:
    key = jax.random.fold_in(jax.random.key(seed), 2**20)

    def views(dataset: Dataset, number: int, at: float, count: int) -> dict[str, np.ndarray]:
        outputs = view_features(
            training.network.apply,
            state.params,
            state.statistics,
            dataset.images,
            dataset.pixel_scale,
            jax.random.fold_in(key, number),
            config.policy,
            at,
            views=count,
            layers=LAYERS,
        )
        return outputs | {"embedding": _on_sphere(outputs["embedding"])}

    return {
        "probe": views(test, 0, PROBE_STRENGTH, scale.sweep_views),
        "training": views(test, 1, strength, scale.sweep_views),
        "accuracies": _accuracies(training, state, train, test),
        "information": _information(config, key, train, test, views),
    }


def _accuracies(training: Training, state: Any, train: Dataset, test: Dataset) -> list[float]:
    clean = [
        layer_features(
            training.network.apply,
            state.params,
            state.statistics,
            dataset.images,
            dataset.pixel_scale,
            layers=LAYERS,
        )
        for dataset in (train, test)
    ]
    return [
        linear_probe(
            clean[0][layer],
            train.labels,
            clean[1][layer],
            test.labels,
            num_classes=train.num_classes,
        ).test_accuracy
        for layer in LAYERS
    ]


def _information(
    config: Config, key: Any, train: Dataset, test: Dataset, views: Any
) -> dict[str, list[float]]:
    """R² of a ridge regression of each augmentation parameter on each layer."""
    fitted = views(train, 2, INFORMATION_STRENGTH, 2)
    held_out = views(test, 3, INFORMATION_STRENGTH, 2)
    targets = []
    for number, dataset in ((2, train), (3, test)):
        keys = view_keys(jax.random.fold_in(key, number), len(dataset.images), 2).reshape(-1)
        changes = random_changes(keys, config.policy, INFORMATION_STRENGTH)
        targets.append(np.stack([np.asarray(getattr(changes, p)) for p in PARAMETERS], axis=1))
    scores = [
        regression_probe(_flat(fitted[layer]), targets[0], _flat(held_out[layer]), targets[1]).r2
        for layer in LAYERS
    ]
    return {
        name: [float(score[index]) for score in scores] for index, name in enumerate(PARAMETERS)
    }


def _forecast(cell: dict[str, Any], temperature: float) -> dict[str, Any]:
    """Everything theory makes of one training, in float64."""
    probe = [jnp.asarray(cell["probe"][layer], jnp.float64) for layer in LAYERS]
    views = [jnp.asarray(cell["training"][layer], jnp.float64) for layer in LAYERS]
    orbits = [orbit_covariances(view) for view in views]
    totals = [orbit.within + orbit.between for orbit in orbits]
    fractions = augmentation_fractions(orbits[0].within, totals[0]).values
    optimum = cosine_projector(fractions, temperature, rank=views[1].shape[-1])
    return {
        "probe_defects": [float(view_invariance_defect(view)) for view in probe],
        "training_defects": [float(view_invariance_defect(view)) for view in views],
        "ranks": [
            float(variance_effective_rank(jnp.clip(jnp.linalg.eigvalsh(total), 0.0)))
            for total in totals
        ],
        "predicted_rank": float(optimum.effective_rank),
        "predicted_defect": float(optimum.defect),
        "valid": bool(optimum.valid),
    }


def _on_sphere(embeddings: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return embeddings / np.maximum(norms, 1e-12)


def _flat(views: np.ndarray) -> np.ndarray:
    return views.reshape(-1, views.shape[-1])
