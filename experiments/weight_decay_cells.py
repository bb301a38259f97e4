"""Weight decay and the layer before the head: exact models, descent, and trained networks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.linear_training import (
    Weights,
    data_models,
    descended,
    feature_model,
    gram_errors,
)
from experiments.representations import Representation, one_scale, probed, representations
from experiments.simulated_tasks import OTHER_STRENGTHS, few_label_accuracies, layer_maps
from ssljax.data.sources import Dataset
from ssljax.measure.probe import ridge_probe
from ssljax.nets.network import Network
from theory.downstream.layer_choice import sample_indicators
from theory.downstream.phase_map import phase_map
from theory.layers.chain import chain_layer_grams
from theory.layers.grams import layer_grams, minimum_norm_layers
from theory.losses.quadratic import spectral_loss
from theory.moments.data_models import dropping_moments, resampling_moments
from theory.moments.moments import Moments
from theory.optimum.decay import decayed_optimum
from theory.optimum.quadratic import quadratic_optimum
from theory.optimum.thresholds import decay_thresholds, decayed_mode

AUGMENTATIONS = {"resampling": resampling_moments, "dropping": dropping_moments}
LAYERS = ("feature", "head1", "embedding")
FEW_LABELS = 20
DESCENT_RATE = 0.01
MARGIN = 0.05


class TaskCurve(NamedTuple):
    """Tasks served by the layer before the head at no decay, as decay rises; one setting.

    Attributes:
      fractions: Weight decay over the largest that one of these tasks' features survives.
      accuracies: Before and after the head.
      kept: Share of these tasks whose feature is still in the network.
    """

    fractions: Float[np.ndarray, " decays"]
    accuracies: Float[np.ndarray, "seeds decays tasks layers"]
    kept: Float[np.ndarray, " decays"]

    @property
    def gaps(self) -> Float[np.ndarray, "seeds decays"]:
        """Accuracy before the head less after it, mean over tasks."""
        return np.mean(self.accuracies[..., 0] - self.accuracies[..., 1], axis=2)


def task_curve(
    augmentation: str,
    depth: int,
    fractions: Float[np.ndarray, " decays"],
    seeds: tuple[int, ...],
    repeats: int,
) -> TaskCurve:
    """Few-label classifiers before and after a head, decay by decay.

    Every feature of the model is a task in turn. Those are kept for which the layer before the
    head needs fewer labels when there is no decay: where there is an advantage to shrink.

    Args:
      augmentation: One of `AUGMENTATIONS`.
      depth: Layers.
      fractions: Weight decays over the largest that one of these tasks' features survives.
      seeds: Of the classifiers.
      repeats: Classifiers of each task, decay and seed.

    Returns:
      The curve.
    """
    model = feature_model()
    moments = AUGMENTATIONS[augmentation](model)
    scale = jnp.diagonal(moments.covariance)
    alignment = jnp.diagonal(moments.cross_covariance) / scale
    variances = model.strength**2 + model.view_noise**2
    layers = jnp.array([(depth - 1) / depth, 1.0])
    undecayed = decayed_mode(scale, alignment, weight_decay=0.0, depth=depth)
    indicators = sample_indicators(undecayed ** (depth / 2), variances, model.strength, layers)
    tasks = np.flatnonzero(np.asarray(indicators[:, 0] < indicators[:, 1]))
    largest = jnp.max(decay_thresholds(scale, alignment, depth=depth).saddle_node[tasks])
    accuracies = np.zeros((len(seeds), len(fractions), len(tasks), 2))
    kept = np.zeros(len(fractions))
    for place, fraction in enumerate(fractions):
        roots = jnp.asarray(
            decayed_mode(scale, alignment, weight_decay=float(fraction) * largest, depth=depth)
        )
        kept[place] = np.mean(np.asarray(roots)[tasks] > 0)
        for number, task in enumerate(tasks):
            order = np.concatenate([[task], np.delete(np.arange(len(roots)), task)])
            maps = layer_maps(jnp.diag(roots[order] ** depth), depth)
            for row, seed in enumerate(seeds):
                # The same examples at every decay: differences are the network's alone.
                key = jax.random.fold_in(jax.random.key(seed), int(task))
                found = few_label_accuracies(key, jnp.asarray(model.strength)[order], maps, repeats)
                accuracies[row, place, number] = np.mean(np.asarray(found), axis=0)
    return TaskCurve(np.asarray(fractions), accuracies, kept)


class Region(NamedTuple):
    """Exact map over retention and strength of a task's feature, as decay rises.

    Attributes:
      decays: Weight decays, 0 first.
      shares: Share of the map on which the layer before the head is better.
      shrunk: Among its points that survive, the share on which the advantage is no larger than
        without decay; 1 at no decay.
    """

    decays: Float[np.ndarray, " decays"]
    shares: Float[np.ndarray, "depths decays"]
    shrunk: Float[np.ndarray, "depths decays"]


def exact_region(
    augmentation: str, depths: tuple[int, ...], decays: tuple[float, ...], resolution: int
) -> Region:
    """Where the layer before the head is better, over all tasks of one feature among six.

    Args:
      augmentation: One of `AUGMENTATIONS`.
      depths: Numbers of layers.
      decays: 0 first.
      resolution: Of the map, along both axes.

    Returns:
      The region.
    """
    found = phase_map(
        np.linspace(0.02, 1.0, resolution),
        np.geomspace(0.05, 3.2, resolution),
        depths,
        np.array(decays),
        np.array(OTHER_STRENGTHS),
        moments_of=AUGMENTATIONS[augmentation],
    )
    advantage = np.asarray(found.advantage)
    first = advantage[..., :1]
    alive = (first > 0) & np.isfinite(advantage)
    smaller = alive & (advantage <= first + 1e-12)
    return Region(
        np.array(decays),
        np.mean(advantage > 0, axis=(0, 1)),
        np.sum(smaller, axis=(0, 1)) / np.maximum(np.sum(alive, axis=(0, 1)), 1),
    )


class DescentCheck(NamedTuple):
    """Real descent under weight decay against the optimum continued from no decay.

    Attributes:
      errors: Largest relative error of a layer's Gram, for each model, depth and decay.
      nulls: The same against the optimum without decay.
      switched: Whether each feature is alive 5 % below its threshold, and gone 5 % above.
    """

    errors: Float[np.ndarray, " runs"]
    nulls: Float[np.ndarray, " runs"]
    switched: Float[np.ndarray, " switches"]


def descent_check(
    depths: tuple[int, ...], fractions: tuple[float, ...], time: float
) -> DescentCheck:
    """Descend from the optimum without decay, on the three data models.

    Args:
      depths: Numbers of layers.
      fractions: Weight decays over the saddle-node of the strongest direction.
      time: Steps times rate.

    Returns:
      The check.
    """
    errors, nulls, switched = [], [], []
    for data in data_models():
        for depth in depths:
            free, start = _undecayed(data.moments, depth)
            scale = jnp.diagonal(data.moments.covariance)
            alignment = jnp.diagonal(data.moments.cross_covariance) / scale
            limits = np.asarray(decay_thresholds(scale, alignment, depth=depth).saddle_node)
            for fraction in fractions:
                decay = fraction * float(np.max(limits))
                end = _settled(data.moments, start, decay, time)
                loss = spectral_loss(data.moments.covariance, data.moments.cross_covariance)
                optimum = decayed_optimum(loss, weight_decay=decay, depth=depth)
                expected = jnp.asarray(layer_grams(optimum.gram, depth))
                errors.append(float(np.max(gram_errors(end, expected))))
                nulls.append(float(np.max(gram_errors(end, free))))
            if data.name.startswith("aligned"):
                for feature, limit in enumerate(limits):
                    for side in (1.0 - MARGIN, 1.0 + MARGIN):
                        end = _settled(data.moments, start, side * float(limit), time)
                        left = chain_layer_grams(end)[-1][feature, feature]
                        alive = float(left / free[-1][feature, feature]) > 0.05
                        switched.append(float(alive == (side < 1.0)))
    return DescentCheck(np.array(errors), np.array(nulls), np.array(switched))


def _undecayed(moments: Moments, depth: int) -> tuple[jax.Array, Weights]:
    """Layer Grams at the optimum without decay, and balanced layers that are there."""
    optimum = quadratic_optimum(spectral_loss(moments.covariance, moments.cross_covariance))
    start = tuple(map(jnp.asarray, minimum_norm_layers(optimum.factor, depth)))
    return jnp.asarray(layer_grams(optimum.gram, depth)), start


def _settled(moments: Moments, start: Weights, decay: float, time: float) -> Weights:
    steps = round(time / DESCENT_RATE)
    return descended(moments, start, DESCENT_RATE, steps, weight_decay=decay)


def network_accuracies(
    network: Network, state: Any, train: Dataset, test: Dataset, seed: int, draws: int
) -> Float[np.ndarray, "probes layers"]:
    """Two regularized probes on the layers of a linear head, features divided by one number.

    Logistic regression on all labels, penalty 0.001; and ridge classifiers of 20 labels a class,
    whose penalty is the mean variance of a coordinate, mean over draws of the labels.

    Args:
      network: With a linear head of depth two.
      state: Its parameters and statistics.
      train: Images that probes are fitted on.
      test: Images they are tested on, once.
      seed: Of the draws.
      draws: How many.

    Returns:
      Accuracies; the layers are `LAYERS`.
    """
    outputs = representations(network, state.params, state.statistics, train, test, LAYERS)
    rng = np.random.default_rng(seed)
    rows = [_some(rng, train.labels, train.num_classes) for _ in range(draws)]
    found = np.zeros((2, len(LAYERS)))
    for place, layer in enumerate(LAYERS):
        whole = probed(
            outputs[layer], train.labels, test.labels, train.num_classes, standardize=False
        )
        found[0, place] = whole.test_accuracy
        scaled = one_scale(outputs[layer])
        found[1, place] = np.mean([_few_label(scaled, train, test, chosen) for chosen in rows])
    return found


def _some(rng: np.random.Generator, labels: np.ndarray, classes: int) -> np.ndarray:
    each = (
        rng.permutation(np.flatnonzero(labels == label))[:FEW_LABELS] for label in range(classes)
    )
    return np.concatenate(list(each))


def _few_label(scaled: Representation, train: Dataset, test: Dataset, chosen: np.ndarray) -> float:
    return ridge_probe(
        scaled.train[chosen],
        train.labels[chosen],
        scaled.test,
        test.labels,
        num_classes=train.num_classes,
        l2=1.0,
        standardize=False,
    ).test_accuracy
