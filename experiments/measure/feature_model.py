"""Tasks on Xue et al.'s model of features, before and after the last layer of a linear network.

A view holds independent features, each kept by augmentation with a probability of its own, plus
noise. A task is the sign of one feature, learned from few labels by a ridge classifier on a layer
of the network that theory says training ends at.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.core.measurements import Measurement
from experiments.measure.linear.descent import descend_layers
from experiments.measure.rows import exact_row
from experiments.measure.simulated_tasks import (
    OTHER_STRENGTHS,
    VIEW_NOISE,
    few_label_accuracies,
    layer_maps,
    task_model,
)
from experiments.measure.subject import Curve, Subject
from experiments.networks.settings import HEAD_DEPTHS, MAP_RETENTIONS, MAP_STRENGTHS
from theory.downstream.layer_choice import head_disadvantages, sample_indicators
from theory.downstream.phase_map import phase_map
from theory.layers.chain import chain_layer_grams
from theory.layers.grams import layer_grams, minimum_norm_layers
from theory.losses.quadratic import spectral_loss
from theory.moments.data_models import FeatureModel, resampling_moments
from theory.optimum.decay import decayed_optimum
from theory.optimum.quadratic import quadratic_optimum
from theory.optimum.thresholds import decay_thresholds, decayed_mode

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5)
RETENTIONS = (1.0, 1.0, 0.5, 1.0, 0.3, 1.0)
REPEATS, SMOKE_REPEATS = 400, 20
TASKS, SMOKE_TASKS = 24, 4
DESCENT_SHARE, DESCENT_RATE, DESCENT_STEPS, SMOKE_STEPS = 0.4, 0.01, 40_000, 200


class Leads(NamedTuple):
    """Lead of the layer before the head, task by task, without decay and where half survive.

    Attributes:
      without: Accuracy before less after the head.
      decayed: The same under decay.
      survives: Whether the task's feature is still in the network.
    """

    without: Float[np.ndarray, " tasks"]
    decayed: Float[np.ndarray, " tasks"]
    survives: np.ndarray


def measure_feature_model(subject: Subject) -> Iterator[Measurement | Curve]:
    """Yield leads with and without decay, the map of tasks, and how well margins name the layer.

    Args:
      subject: Its seed draws classifiers and tasks.
    """
    judged = subject.size.judged
    repeats = REPEATS if judged else SMOKE_REPEATS
    with jax.enable_x64(True):
        for depth in HEAD_DEPTHS:
            leads = compare_layers(depth, subject.seed, repeats)
            for decay, values in (("none", leads.without), ("half", leads.decayed)):
                alive = values[leads.survives]
                key = subject.key("gap", depth=depth, decay=decay)
                yield exact_row(key, float(values.mean()), len(values))
                key = subject.key("gap", depth=depth, decay=decay, features="surviving")
                yield exact_row(key, float(alive.mean()), len(alive))
        for decay, weight_decay in (("none", 0.0), ("half", half_decay(HEAD_DEPTHS[0]))):
            advantage = map_advantage(weight_decay)
            share = float(np.mean(advantage > 0))
            yield exact_row(subject.key("share", decay=decay), share, advantage.size)
            yield Curve(subject.key("lead_map", decay=decay, depth=HEAD_DEPTHS[0]), advantage)
        wrong, constant = misname_layers(subject.seed, TASKS if judged else SMOKE_TASKS, repeats)
        for variant, share in (("theory", wrong), ("rival:constant", constant)):
            yield exact_row(subject.key("share", variant, wrong="yes"), share)
        steps = DESCENT_STEPS if judged else SMOKE_STEPS
        error = descend_under_decay(HEAD_DEPTHS[0], steps)
        yield exact_row(subject.key("identity_error"), error)


def make_model() -> FeatureModel:
    """Return the model: six features along the axes, weak, disrupted and strong ones."""
    return FeatureModel(
        jnp.array(STRENGTHS), jnp.array(RETENTIONS), jnp.asarray(VIEW_NOISE), jnp.asarray(0.0)
    )


def compare_layers(depth: int, seed: int, repeats: int) -> Leads:
    """Return leads on the tasks that the layer before the head serves better without decay.

    Args:
      depth: Layers of the network.
      seed: Draws the examples, the same with and without decay.
      repeats: Classifiers of each task.
    """
    model = make_model()
    scale, alignment = _modes(model)
    tasks = _served_before(depth)
    decays = (0.0, half_decay(depth))
    roots = [
        jnp.asarray(decayed_mode(scale, alignment, weight_decay=decay, depth=depth))
        for decay in decays
    ]
    leads = np.zeros((2, len(tasks)))
    for number, task in enumerate(tasks):
        order = np.concatenate([[task], np.delete(np.arange(len(STRENGTHS)), task)])
        key = jax.random.fold_in(jax.random.key(seed), int(task))
        for place, values in enumerate(roots):
            maps = layer_maps(jnp.diag(values[order] ** depth), depth)
            found = few_label_accuracies(key, jnp.asarray(model.strength)[order], maps, repeats)
            leads[place, number] = float(jnp.mean(found[:, 0] - found[:, 1]))
    return Leads(leads[0], leads[1], np.asarray(roots[1])[tasks] > 0)


def half_decay(depth: int) -> float:
    """Return the weight decay that at least half of the features of `compare_layers` survive.

    It lies at the geometric mean of the two middle thresholds; of an odd number, one more survives.
    """
    scale, alignment = _modes(make_model())
    limits = np.asarray(decay_thresholds(scale, alignment, depth=depth).saddle_node)
    limits = np.sort(limits[_served_before(depth)])
    middle = len(limits) // 2
    return float(np.sqrt(limits[middle - 1] * limits[middle]))


def map_advantage(weight_decay: float) -> Float[np.ndarray, "strengths retentions"]:
    """Return log2 of the labels needed after over before the head, over tasks of one feature.

    Args:
      weight_decay: Of the network of two layers; features that it removes count as 0.
    """
    found = phase_map(
        jnp.asarray(MAP_RETENTIONS),
        jnp.asarray(MAP_STRENGTHS),
        HEAD_DEPTHS[:1],
        jnp.asarray([weight_decay]),
        jnp.asarray(OTHER_STRENGTHS),
    )
    advantage = np.asarray(found.advantage)[:, :, 0, 0].T
    return np.where(np.isfinite(advantage), advantage, 0.0)


def misname_layers(seed: int, tasks: int, repeats: int) -> tuple[float, float]:
    """Return on which share of random tasks margins, and the better constant, name the wrong layer.

    Args:
      seed: Draws retention and strength of each task's feature, and the classifiers.
      tasks: How many.
      repeats: Classifiers of each; tasks whose lead is within two standard errors do not count,
        unless none is left.
    """
    draw = np.random.default_rng(seed)
    retentions, strengths = draw.uniform(0, 1, tasks), np.exp(draw.uniform(-1.6, 0.9, tasks))
    named, leads, clear = [], [], []
    for number, (retention, strength) in enumerate(zip(retentions, strengths, strict=True)):
        model = task_model(retention, strength)
        moments = resampling_moments(model)
        gram = quadratic_optimum(spectral_loss(moments.covariance, moments.cross_covariance)).gram
        weights = jnp.sqrt(jnp.diagonal(jnp.asarray(gram)))
        disadvantage = head_disadvantages(weights, jnp.diagonal(moments.covariance))[0]
        named.append(float(disadvantage) > 1)
        key = jax.random.fold_in(jax.random.key(seed), number)
        maps = layer_maps(jnp.asarray(gram), 2)
        found = np.asarray(few_label_accuracies(key, jnp.asarray(model.strength), maps, repeats))
        lead = found[:, 0] - found[:, 1]
        leads.append(lead.mean())
        clear.append(abs(lead.mean()) > 2 * lead.std() / np.sqrt(repeats))
    counted = np.array(clear) if any(clear) else np.ones(tasks, bool)
    before = np.array(leads)[counted] > 0
    wrong = np.mean(np.array(named)[counted] != before)
    return float(wrong), float(min(before.mean(), 1 - before.mean()))


def descend_under_decay(depth: int, steps: int) -> float:
    """Return how far descent under decay ends from the optimum continued from no decay.

    Args:
      depth: Layers, which start at the optimum without decay.
      steps: Of descent, at a decay between thresholds, where nothing is slow.

    Returns:
      Largest relative error of a layer's Gram.
    """
    moments = resampling_moments(make_model())
    loss = spectral_loss(moments.covariance, moments.cross_covariance)
    scale, alignment = _modes(make_model())
    limits = np.asarray(decay_thresholds(scale, alignment, depth=depth).saddle_node)
    decay = DESCENT_SHARE * float(limits.max())
    start = tuple(map(jnp.asarray, minimum_norm_layers(quadratic_optimum(loss).factor, depth)))
    end = descend_layers(moments, start, DESCENT_RATE, steps, weight_decay=decay)
    found = jnp.asarray(chain_layer_grams(end))
    optimum = decayed_optimum(loss, weight_decay=decay, depth=depth)
    expected = jnp.asarray(layer_grams(optimum.gram, depth))
    sizes = jnp.linalg.norm(expected, axis=(1, 2))
    return float(jnp.max(jnp.linalg.norm(found - expected, axis=(1, 2)) / sizes))


def _modes(model: FeatureModel) -> tuple[Array, Array]:
    """Return variance and alignment of every feature."""
    moments = resampling_moments(model)
    scale = jnp.diagonal(moments.covariance)
    return scale, jnp.diagonal(moments.cross_covariance) / scale


def _served_before(depth: int) -> np.ndarray:
    """Return the features whose task needs fewer labels before the head, without decay."""
    model = make_model()
    scale, alignment = _modes(model)
    weights = decayed_mode(scale, alignment, weight_decay=0.0, depth=depth) ** (depth / 2)
    variances = model.strength**2 + model.view_noise**2
    layers = jnp.array([(depth - 1) / depth, 1.0])
    labels = np.asarray(sample_indicators(weights, variances, model.strength, layers))
    return np.flatnonzero(labels[:, 0] < labels[:, 1])
