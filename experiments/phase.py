"""Which layer wins: the map over augmentation retention and feature strength, with simulations."""

import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.environment import environment
from experiments.figures.phase import phase_figure
from experiments.files import make_folder
from experiments.progress import experiment_progress
from experiments.report import Figure, Section, write_report
from experiments.results import Results, Row, write_results
from experiments.table import print_results
from theory.data_models import FeatureModel, resampling_moments
from theory.downstream import head_disadvantages, scenario_edges, weight_threshold
from theory.layers import fractional_gram
from theory.quadratic import quadratic_optimum, spectral_loss

VIEW_NOISE = 0.5
# The five other features, kept by augmentation: none sits at the noise level, where weights peak,
# so that the region in which the head helps is as wide as the three in which it hurts.
OTHER_STRENGTHS = (0.2, 0.3, 1.0, 1.5, 2.0)
LABELS = 12
SCOPE = (
    "Scope. Everything here is synthetic and linear: features of the two-point model, a network of"
    " two balanced layers at its optimum, a ridge classifier on twelve labels. The map is exact for"
    " the margin indicator; that accuracy follows the indicator is what the points test."
)


class Scale(NamedTuple):
    """Resolution of the map, points simulated along each axis, classifiers trained at each."""

    resolution: int
    points: int
    repeats: int


SCALES = {
    "smoke": Scale(40, 3, 200),
    "laptop": Scale(160, 8, 400),
    "paper": Scale(320, 16, 2000),
}


def run(out: Path, scale: str) -> Results:
    """Draw the map, simulate points on it, write `results.json`, the figure and `report.html`.

    Args:
      out: Folder, created.
      scale: "smoke", "laptop" or "paper".

    Returns:
      What was written.

    Raises:
      InputError: The folder cannot be written.
    """
    started = time.perf_counter()
    size = SCALES[scale]
    make_folder(out)
    retentions = np.linspace(0.02, 1.0, size.resolution)
    strengths = np.geomspace(0.05, 3.2, size.resolution)
    points = [
        (float(alpha), float(phi))
        for alpha in np.linspace(0.1, 0.95, size.points)
        for phi in np.geomspace(0.07, 2.6, size.points)
    ]
    with experiment_progress(2.0, "the map") as advance, jax.enable_x64(True):
        advantage = np.asarray(_map(jnp.asarray(retentions), jnp.asarray(strengths)))
        edges = _edges(strengths)
        advance(f"{len(points)} simulated points", 0.2)
        gains = _simulated(size, jnp.asarray(points))
        advance("writing", 1.8)
    means, errors = np.mean(gains, axis=1), np.std(gains, axis=1) / np.sqrt(gains.shape[1])
    clear = np.abs(means) > 2 * errors
    predicted = np.array([_advantage_at(alpha, phi) for alpha, phi in points])
    right = np.sign(means[clear]) == np.sign(predicted[clear])
    majority = max(np.mean(means[clear] > 0), np.mean(means[clear] < 0))
    row = Row(
        id=1,
        claim=(
            "the layer with the smaller margin indicator classifies better from few labels"
            f" (share of {int(clear.sum())} clearly separated points of {len(points)})"
        ),
        source="Xue et al. 2024, when pre-projection wins (statement re-derived)",
        predicted=1.0,
        measured=float(np.mean(right)),
        error=float(1 - np.mean(right)),
        null=float(1 - majority),
        tolerance=0.1,
        spread=float(np.sqrt(np.mean(right) * (1 - np.mean(right)) / max(1, right.size))),
    )
    results = Results("phase", scale, (0,), environment(time.perf_counter() - started), (row,))
    figure = out / "phase.png"
    phase_figure(figure, retentions, strengths, advantage, edges, np.array(points), means, clear)
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        "Before or after the projection head: which layer serves a task better",
        [
            "The task's label is one feature. Pre-training gives it a weight that depends on how"
            " often augmentation keeps it and on its strength beside the noise of a view; the head"
            " squares the weights, so a feature that ranks high gains by the head and one that"
            " ranks low loses. Three regions follow in which the layer before the head is better:"
            " augmentation disrupts the feature, the feature is too weak, or it is too strong."
        ],
        SCOPE,
        [
            Section(
                "The map",
                [
                    f"The other five features have strengths {OTHER_STRENGTHS} and are always"
                    f" kept; the noise of a view has standard deviation {VIEW_NOISE}. At each point"
                    f" {size.repeats} classifiers were trained on {LABELS} labels each, on the"
                    " two layers of the network that is optimal for the model's moments."
                ],
                [
                    Figure(
                        figure,
                        "Color: log2 of the indicator after the head over the one before it; blue"
                        " means the layer before the head needs fewer labels. Lines: edges of the"
                        " three scenarios. Points: the simulated winner (blue before, orange"
                        " after); crosses are ties within two standard errors.",
                    )
                ],
            )
        ],
        results,
    )
    print_results(results, out / "report.html")
    return results


def _weights(alpha: Float[Array, ""], phi: Float[Array, ""]) -> tuple[Array, Array]:
    """Weight after the head and variance of each feature, the task's first."""
    strength = jnp.concatenate([phi[None], jnp.array(OTHER_STRENGTHS)])
    retention = jnp.concatenate([alpha[None], jnp.ones(len(OTHER_STRENGTHS))])
    variance = strength**2 + VIEW_NOISE**2
    return retention * strength / variance, variance


def _advantage(alpha: Float[Array, ""], phi: Float[Array, ""]) -> Array:
    return jnp.log2(jnp.asarray(head_disadvantages(*_weights(alpha, phi)))[0])


def _map(retentions: Array, strengths: Array) -> Array:
    """log2 of I_post/I_pre, (strengths, retentions)."""
    across = jax.vmap(_advantage, in_axes=(0, None))
    return jax.vmap(across, in_axes=(None, 0))(retentions, strengths)


def _advantage_at(alpha: float, phi: float) -> float:
    with jax.enable_x64(True):
        return float(_advantage(jnp.asarray(alpha), jnp.asarray(phi)))


def _edges(strengths: np.ndarray) -> np.ndarray:
    """Retention below which augmentation has disrupted a feature of each strength."""
    weights, variances = _weights(jnp.asarray(1.0), jnp.asarray(1.0))
    others = jnp.arange(weights.shape[0]) > 0
    threshold = jnp.asarray(weight_threshold(weights, variances, others))
    return np.array(
        [
            float(
                scenario_edges(
                    jnp.asarray(phi), jnp.asarray(1.0), jnp.asarray(VIEW_NOISE), threshold
                ).disrupted
            )
            for phi in strengths
        ]
    )


def _simulated(size: Scale, points: Array) -> np.ndarray:
    """Accuracy before the head less accuracy after it, (points, repeats)."""
    keys = jax.random.split(jax.random.key(0), len(points))
    one = jax.jit(lambda key, point: _gains(key, point, size.repeats))
    return np.stack([np.asarray(one(key, point)) for key, point in zip(keys, points)])


def _gains(key: Array, point: Array, repeats: int) -> Array:
    strength = jnp.concatenate([point[1:], jnp.array(OTHER_STRENGTHS)])
    retention = jnp.concatenate([point[:1], jnp.ones(len(OTHER_STRENGTHS))])
    model = FeatureModel(strength, retention, jnp.asarray(VIEW_NOISE), jnp.asarray(0.0))
    moments = resampling_moments(model)
    loss = spectral_loss(moments.covariance, moments.cross_covariance)
    gram = quadratic_optimum(loss).gram
    # Symmetric square roots of the two layers' Grams stand for the layers, up to a rotation that
    # neither margins nor ridge classifiers see.
    before, after = fractional_gram(gram, 0.25), fractional_gram(gram, 0.5)

    def gain(key: Array) -> Array:
        train_key, test_key = jax.random.split(key)
        train = _labeled(train_key, strength, LABELS)
        test = _labeled(test_key, strength, 400)
        accuracies = [_accuracy(train, test, jnp.asarray(layer)) for layer in (before, after)]
        return accuracies[0] - accuracies[1]

    return jax.vmap(gain)(jax.random.split(key, repeats))


def _labeled(key: Array, strength: Array, count: int) -> tuple[Array, Array]:
    sign_key, noise_key = jax.random.split(key)
    shape = (count, strength.shape[0])
    signs = jax.random.rademacher(sign_key, shape, strength.dtype)
    noise = VIEW_NOISE * jax.random.normal(noise_key, shape, strength.dtype)
    return strength[None] * signs + noise, signs[:, 0]


def _accuracy(train: tuple[Array, Array], test: tuple[Array, Array], layer: Array) -> Array:
    """Ridge classifier whose penalty is the mean eigenvalue of the training second moment."""
    inputs, labels = train[0] @ layer, train[1]
    second = inputs.T @ inputs
    penalty = jnp.trace(second) / second.shape[0]
    classifier = jnp.linalg.solve(second + penalty * jnp.eye(second.shape[0]), inputs.T @ labels)
    return jnp.mean(jnp.sign(test[0] @ layer @ classifier) == test[1])
