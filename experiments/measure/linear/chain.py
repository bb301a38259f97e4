"""Four linear layers trained on the moments of augmented pixels: what each of them weighs.

Balanced layers stay balanced under gradient descent, so that the Gram of layer l is the Gram of the
whole map to the power l/L; Adam has no such law. Weights and layer spectra are compared with those
powers of the optimum that the moments predict.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.core.measurements import Measurement
from experiments.measure.linear.descent import (
    Weights,
    descend_by_adam,
    descend_layers,
    draw_orthogonal_layers,
)
from experiments.measure.linear.pixels import PixelData, measure_pixels, project_images
from experiments.measure.linear.reweighting import weights_errors
from experiments.measure.rows import exact_row
from experiments.measure.subject import Curve, Labeled, Split, Subject
from ssljax.measure.probe import ridge_probe
from theory.comparison.metrics import layer_exponents
from theory.dynamics.descent import critical_learning_rate
from theory.geometry.ranks import variance_effective_rank
from theory.layers.chain import chain_layer_grams
from theory.layers.grams import layer_grams, layer_spectra, weight_spectra
from theory.losses.quadratic import spectral_loss
from theory.moments.moments import Moments
from theory.optimum.quadratic import quadratic_optimum
from theory.optimum.thresholds import decay_thresholds

DEPTH = 4
START = 0.8
IMAGES, DIRECTIONS = 5000, 32
VIEWS, SMOKE_VIEWS = 8, 2
STEPS, SMOKE_STEPS = 20_000, 200
ADAM_RATE = 0.01
RATIO, RATIO_STEPS = 1.5, 40_000
FEW_LABELS, DRAWS, SMOKE_DRAWS = 20, 20, 2


def measure_linear_chain(subject: Subject) -> Iterator[Measurement | Curve]:
    """Yield ranks, slopes, spectra and leads of four linear layers on pixels.

    Args:
      subject: Its seed draws the images, their views, the start and the labels.
    """
    judged = subject.size.judged
    steps = STEPS if judged else SMOKE_STEPS
    split = subject.task("cifar10")
    chosen = np.random.default_rng(subject.seed).permutation(len(split.train.images))[:IMAGES]
    data = measure_pixels(
        split.train.images[chosen],
        subject.seed,
        strength=subject.training.strength,
        views=VIEWS if judged else SMOKE_VIEWS,
        directions=DIRECTIONS,
    )
    with jax.enable_x64(True):
        moments = Moments(jnp.asarray(data.covariance), jnp.asarray(data.cross_covariance))
        start = draw_orthogonal_layers(jax.random.key(subject.seed), DIRECTIONS, DEPTH, START)
        rate = _safe_rate(moments)
        end = descend_layers(moments, start, rate, steps)
        by_adam = descend_by_adam(moments, start, ADAM_RATE, steps)
        runs = {"step:0": start, "trained": end, "optimizer:adam": by_adam}
        yield from _weight_ranks(subject, runs)
        yield from _compare_with_moments(subject, moments, end)
        yield from _slopes(subject, end)
        decayed = descend_layers(moments, end, rate, steps, weight_decay=half_decay(moments))
        draws = DRAWS if judged else SMOKE_DRAWS
        for name, layers in (("none", end), ("half", decayed)):
            leads = few_label_leads(layers, data, split, subject.seed, draws)
            yield exact_row(subject.key("gap", decay=name), float(leads.mean()), draws)
        steps = RATIO_STEPS if judged else 10 * SMOKE_STEPS
        for variant, error in weights_errors(RATIO, subject.seed, steps).items():
            yield exact_row(subject.key("weights_error", variant, head="reweight"), error)


def half_decay(moments: Moments) -> float:
    """Return the weight decay that half of the directions survive, as if the moments commuted.

    It lies at the geometric mean of the two middle thresholds, of the variances and alignments on
    the diagonals.

    Args:
      moments: In coordinates in which they nearly commute.
    """
    limits = np.sort(np.asarray(decay_thresholds(*_modes(moments), depth=DEPTH).saddle_node))
    middle = len(limits) // 2
    return float(np.sqrt(limits[middle - 1] * limits[middle]))


def few_label_leads(
    layers: Weights, data: PixelData, split: Split, seed: int, draws: int
) -> Float[np.ndarray, " draws"]:
    """Return how much better classes are read from layer L − 1 than from layer L.

    A ridge classifier is fitted on `FEW_LABELS` images of each class, and the penalty is the mean
    variance of a coordinate, so that the scale of a layer does not matter.

    Args:
      layers: W_1 … W_L.
      data: The coordinates of the images.
      split: Clean images and their classes.
      seed: Draws the labeled images, the same for all networks.
      draws: How often they are drawn.

    Returns:
      Test accuracy before less after the last layer, for each draw.
    """
    rng = np.random.default_rng(seed)
    drawn = [_draw_labels(rng, split.train.labels) for _ in range(draws)]
    maps = [np.asarray(layers[0])]
    for layer in layers[1:]:
        maps.append(np.asarray(layer) @ maps[-1])
    accuracies = [_few_label_accuracies(data, split, end, drawn) for end in maps[-2:]]
    return accuracies[0] - accuracies[1]


def _few_label_accuracies(
    data: PixelData, split: Split, end: np.ndarray, drawn: list[np.ndarray]
) -> Float[np.ndarray, " draws"]:
    classes = int(split.train.labels.max()) + 1
    test = project_images(data, split.test.images) @ end.T
    accuracies = []
    for chosen in drawn:
        labeled = Labeled(split.train.images[chosen], split.train.labels[chosen])
        train = project_images(data, labeled.images) @ end.T
        size = np.sqrt(np.mean(np.var(train, axis=0)))
        probe = ridge_probe(
            train / size,
            labeled.labels,
            test / size,
            split.test.labels,
            num_classes=classes,
            l2=1.0,
            standardize=False,
        )
        accuracies.append(probe.test_accuracy)
    return np.array(accuracies)


def _draw_labels(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [rng.permutation(np.flatnonzero(labels == one))[:FEW_LABELS] for one in np.unique(labels)]
    )


def _modes(moments: Moments) -> tuple[Array, Array]:
    """Return variance and alignment on the diagonals."""
    variances = jnp.diagonal(moments.covariance)
    return variances, jnp.diagonal(moments.cross_covariance) / variances


def _safe_rate(moments: Moments) -> float:
    """Return a quarter of the largest learning rate, to be on the safe side of it."""
    return 0.25 * float(critical_learning_rate(*_modes(moments), depth=DEPTH))


def _effective_ranks(spectra: Float[Array, "layers dim"]) -> Float[np.ndarray, " layers"]:
    return np.array([float(variance_effective_rank(jnp.maximum(row, 0.0))) for row in spectra])


def _weight_ranks(subject: Subject, runs: dict[str, Weights]) -> Iterator[Measurement]:
    for variant, layers in runs.items():
        ranks = _effective_ranks(jnp.asarray(weight_spectra(chain_layer_grams(layers))))
        for number, rank in enumerate(ranks, start=1):
            key = subject.key("weight_erank", variant, layer=f"layer{number}")
            yield exact_row(key, float(rank))


def _compare_with_moments(
    subject: Subject, moments: Moments, layers: Weights
) -> Iterator[Measurement | Curve]:
    """Yield both spectra of every layer, measured and predicted, and the error of the ranks."""
    loss = spectral_loss(moments.covariance, moments.cross_covariance)
    grams = {
        "trained": jnp.asarray(chain_layer_grams(layers)),
        "theory": jnp.asarray(layer_grams(quadratic_optimum(loss).gram, DEPTH)),
    }
    ranks = {}
    for variant, each in grams.items():
        outputs = jnp.asarray(layer_spectra(moments.covariance, each))
        ranks[variant] = _effective_ranks(outputs)
        for number in range(1, DEPTH + 1):
            for name, values in (
                ("weight_spectrum", jnp.asarray(weight_spectra(each))[number - 1]),
                ("layer_spectrum", outputs[number]),
            ):
                key = subject.key(name, variant, layer=f"layer{number}")
                yield Curve(key, np.asarray(values))
    measured = np.log(ranks["trained"][1:])
    for variant, told in (("theory", ranks["theory"][1:]), ("rival:data", ranks["theory"][:1])):
        error = float(np.sqrt(np.mean((np.log(told) - measured) ** 2)))
        yield exact_row(subject.key("rank_error", variant), error, DEPTH)


def _slopes(subject: Subject, layers: Weights) -> Iterator[Measurement]:
    """Yield the error of the slope of log weights on those of the last layer, l/L."""
    grams = jnp.asarray(chain_layer_grams(layers))
    measured = np.asarray(layer_exponents(grams, jnp.eye(DIRECTIONS)))[:-1]
    below = np.arange(1, DEPTH)
    for variant, depth in (("theory", 0), ("rival:one_less", -1), ("rival:one_more", 1)):
        error = np.sqrt(np.mean((measured - below / (DEPTH + depth)) ** 2))
        yield exact_row(subject.key("slope_error", variant), float(error), len(below))
