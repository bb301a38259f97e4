"""Part A: a linear network of three layers on pixels, predicted from the data's own moments."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.core.measurements import Measurement
from experiments.measure.subject import Curve
from experiments.tools.quickstart.settings import (
    LEADING_MODES,
    LINEAR,
    MODE_FLOOR,
    QUARTERS,
    Size,
    exact_rows,
    linear_config,
    make_key,
)
from ssljax.config.config import Config
from ssljax.data.datasets import Dataset, load_dataset
from ssljax.measure.moments import layer_moments
from ssljax.training.training import Training, make_training
from theory.comparison.nulls import prediction_nulls, shuffled_pairs_null
from theory.comparison.verdict import JointVerdict, judge_head
from theory.dynamics.layer_flow import quadratic_flow
from theory.layers.chain import chain_layer_grams
from theory.layers.grams import layer_spectra
from theory.linalg.factors import factor_layer_grams
from theory.linalg.whitening import generalized_eigenpairs
from theory.losses.quadratic import QuadraticLoss, spectral_loss
from theory.moments.alignment import crossfit_alignment, noise_floor
from theory.moments.moments import Moments

LAYERS = ("input", "head1", "head2", "embedding")
DEPTH = 3


class Trained(NamedTuple):
    """A trained network.

    Attributes:
      weights: W_1 ... W_3 at every recorded moment, the start first.
      covariances: Of each layer's outputs on fresh views, by layer.
      times: Sum of learning rates at every recorded moment.
    """

    weights: list[list[np.ndarray]]
    covariances: Mapping[str, np.ndarray]
    times: Float[np.ndarray, " records"]


class Forecast(NamedTuple):
    """What the moments of the data say, before anything trains.

    Attributes:
      covariance: Σ of the pixels.
      readers: What reads the size n of a mode off a Gram, a column a mode; nothing is sorted.
      alignments: Of the modes compared, descending.
      above_noise: Number of modes whose cross-fitted alignment is above sampling noise.
      grams: Layer Grams at every recorded moment, (records, depth, dim, dim).
      sizes: n of each mode there, (records, modes).
      shallow: The same of a network of two layers: a rival while modes grow.
      shuffled: Gram of the whole map at the end, from shuffled pairs.
    """

    covariance: jax.Array
    readers: jax.Array
    alignments: jax.Array
    above_noise: int
    grams: jax.Array
    sizes: Float[np.ndarray, "records modes"]
    shallow: Float[np.ndarray, "records modes"]
    shuffled: jax.Array


def measure_linear(size: Size, seed: int) -> Iterator[Measurement | Curve]:
    """Yield what theory forecasts from moments alone, what training gave, and their distances."""
    config = linear_config(size)
    dataset = load_dataset(config.data, config.split)
    training = make_training(config, dataset)
    moments = _measure_input(config, dataset, training, size)
    trained = _train(config, dataset, training, size, seed)
    with jax.enable_x64(True):
        forecast = predict(moments, config.head.init_scale, trained.times)
        yield from compare_layers(seed, forecast, trained)
        yield from compare_sizes(seed, forecast, trained)


def _measure_input(
    config: Config, dataset: Dataset, training: Training, size: Size
) -> dict[str, np.ndarray]:
    """Return moments of what the first layer receives; their views are never trained on."""
    params, statistics = training.network.init(jax.random.key(0))
    return layer_moments(
        training.network.apply,
        params,
        statistics,
        dataset.images,
        dataset.pixel_scale,
        jax.random.key(2**30),
        config.policy,
        config.strength,
        views=size.linear_views,
        layers=("input",),
    )["input"]


def _train(config: Config, dataset: Dataset, training: Training, size: Size, seed: int) -> Trained:
    every = size.linear_steps // size.records
    state = training.init(seed)
    weights = [_weights(state.params)]
    for _ in range(size.records):
        state, _ = training.run(state, config.strength, every)
        weights.append(_weights(state.params))
    covariances = layer_moments(
        training.network.apply,
        state.params,
        state.statistics,
        dataset.images,
        dataset.pixel_scale,
        jax.random.fold_in(jax.random.key(2**30), seed),
        config.policy,
        config.strength,
        views=4,
        layers=LAYERS,
    )
    times = np.concatenate([[0.0], np.cumsum(training.learning_rates.astype(np.float64))])
    return Trained(
        weights,
        {name: covariances[name]["covariance"] for name in LAYERS},
        times[::every][: size.records + 1],
    )


def _weights(params: dict) -> list[np.ndarray]:
    head = jax.device_get(params["head"])
    return [head[f"layer{layer}"]["kernel"].T.astype(np.float64) for layer in (1, 2, 3)]


def predict(measured: Mapping[str, np.ndarray], start: float, times: np.ndarray) -> Forecast:
    """Return the forecast of balanced gradient flow; call inside ``jax.enable_x64(True)``.

    Args:
      measured: Fields of `Moments`.
      start: Gram of every layer at the start, a multiple of the identity.
      times: When it is wanted.
    """
    moments = Moments(**{name: jnp.asarray(value) for name, value in measured.items()})
    covariance = jnp.asarray(moments.covariance)
    cross = jnp.asarray(moments.cross_covariance)
    modes = generalized_eigenpairs(covariance, cross, range_tolerance=1e-6)
    floor = noise_floor(covariance.shape[0], int(measured["images"]), int(measured["views"]))
    count = int(jnp.sum(modes.values > max(MODE_FLOOR, floor)))
    readers = covariance @ jnp.asarray(modes.vectors)[:, :count]
    loss = spectral_loss(covariance, cross)
    grams = _predict_grams(loss, start, times, DEPTH)
    shallow = _predict_grams(loss, start, times, DEPTH - 1)[:, -1]
    apart = spectral_loss(covariance, shuffled_pairs_null(covariance, noise_floor=floor))
    return Forecast(
        covariance,
        readers,
        jnp.asarray(modes.values)[:count],
        int(jnp.sum(crossfit_alignment(moments) > floor)),
        grams,
        np.asarray(jax.vmap(lambda gram: _read_sizes(readers, gram))(grams[:, -1])),
        np.asarray(jax.vmap(lambda gram: _read_sizes(readers, gram))(shallow)),
        _predict_grams(apart, start, times, DEPTH)[-1, -1],
    )


def _read_sizes(readers: jax.Array, gram: jax.Array) -> jax.Array:
    return jnp.sum(readers * (gram @ readers), axis=0)


def _predict_grams(loss: QuadraticLoss, start: float, times: np.ndarray, depth: int) -> jax.Array:
    """Return layer Grams at each time of the balanced flow from equal layers of Gram `start`."""
    dim = loss.linear.shape[0]
    factors = quadratic_flow(loss, np.sqrt(start) * jnp.eye(dim), depth, jnp.asarray(times))
    return jax.vmap(lambda factor: jnp.asarray(factor_layer_grams(factor, depth)))(factors)


def compare_layers(
    seed: int, forecast: Forecast, trained: Trained
) -> Iterator[Measurement | Curve]:
    """Yield distances of the layers' Grams, exponents, balance and layer spectra.

    Call inside ``jax.enable_x64(True)``.
    """
    final, covariance = forecast.grams[-1], forecast.covariance
    chain = tuple(jnp.asarray(weight) for weight in trained.weights[-1])
    start = tuple(jnp.asarray(weight) for weight in trained.weights[0])
    nulls = prediction_nulls(jax.random.key(0), final, covariance)
    nulls |= {"untrained": chain_layer_grams(start)}
    count = forecast.readers.shape[1]
    verdicts = {
        modes: judge_head(final, chain, covariance, nulls, num_modes=modes)
        for modes in dict.fromkeys((count, min(LEADING_MODES, count)))
    }
    for variant, number in (("theory", count), ("moments", forecast.above_noise)):
        yield from exact_rows(make_key(LINEAR, seed, "modes", variant), number)
    yield from law_rows(LINEAR, seed, verdicts[count])
    for modes, verdict in verdicts.items():
        settings = {"given": "moments"} | ({"modes": "leading"} if modes < count else {})
        yield from distance_rows(LINEAR, seed, verdict, **settings)
    predicted = np.asarray(layer_spectra(covariance, final))
    for place, layer in enumerate(LAYERS):
        measured = np.linalg.eigvalsh(trained.covariances[layer])[::-1]
        for variant, values in (("theory", predicted[place]), ("trained", measured)):
            yield Curve(make_key(LINEAR, seed, "layer_spectrum", variant, layer), values[:count])


def law_rows(
    network: str, seed: int, verdict: JointVerdict, **settings: str
) -> Iterator[Measurement]:
    """Yield how well hidden layers are the powers l/L of the whole map.

    Args:
      network: Name in the table.
      seed: Of the training.
      verdict: Of a head of two layers or more.
      settings: Become the level.
    """
    agreement = verdict.agreement
    depth = len(agreement.exponents)
    exponents = agreement.exponents[:-1]
    others = {"theory": depth, "rival:one_less": depth - 1, "rival:one_more": depth + 1}
    for variant, layers in others.items():
        errors = np.abs(np.arange(1, depth) / layers - exponents)
        key = make_key(network, seed, "slope_error", variant, **settings)
        yield from exact_rows(key, np.max(errors))
    for layer in range(1, depth):
        for variant, distances in (
            ("theory", agreement.law_distances),
            ("rival:nearest", agreement.best_null),
        ):
            key = make_key(
                network, seed, "gram_distance", variant, f"head{layer}", given="map", **settings
            )
            yield from exact_rows(key, distances[layer - 1])
    yield from exact_rows(make_key(network, seed, "imbalance", **settings), np.max(verdict.balance))


def distance_rows(
    network: str, seed: int, verdict: JointVerdict, **settings: str
) -> Iterator[Measurement]:
    """Yield how far the Gram of every layer is from its prediction and from the nearest rival."""
    agreement = verdict.agreement
    depth = len(agreement.distances)
    for place in range(depth):
        layer = "embedding" if place == depth - 1 else f"head{place + 1}"
        for variant, distances in (
            ("theory", agreement.distances),
            ("rival:nearest", agreement.best_null),
        ):
            key = make_key(network, seed, "gram_distance", variant, layer, **settings)
            yield from exact_rows(key, distances[place])


def compare_sizes(seed: int, forecast: Forecast, trained: Trained) -> Iterator[Measurement | Curve]:
    """Yield errors of the modes' sizes at the end and all through training, and of half-times.

    Call inside ``jax.enable_x64(True)``.
    """
    wholes = jnp.array([_multiply(weights) for weights in trained.weights])
    measured = np.asarray(jax.vmap(lambda gram: _read_sizes(forecast.readers, gram))(wholes))
    final, predicted = measured[-1], forecast.sizes
    dim = forecast.covariance.shape[0]
    rivals = {
        "rival:input": jnp.eye(dim),
        "rival:start": forecast.grams[0, -1],
        "rival:shuffled": forecast.shuffled,
    }

    def key(quantity: str, variant: str):
        return make_key(LINEAR, seed, quantity, variant)

    error = np.median(np.abs(final / predicted[-1] - 1.0))
    yield from exact_rows(key("size_error", "theory"), error)
    for variant, gram in rivals.items():
        sizes = np.asarray(_read_sizes(forecast.readers, gram))
        yield from exact_rows(key("size_error", variant), np.median(np.abs(final - sizes) / final))
    course = measured[1:]
    error = np.median(np.abs(course / predicted[1:] - 1.0))
    yield from exact_rows(key("course_error", "theory"), error)
    # Two rivals: nothing is ever learned, and one layer less.
    for variant, sizes in (("start", predicted[:1]), ("one_less", forecast.shallow[1:])):
        error = np.median(np.abs(sizes / course - 1.0))
        yield from exact_rows(key("course_error", f"rival:{variant}"), error)
    height = 0.5 * predicted[-1]
    times = [find_crossings(trained.times, sizes, height) for sizes in (predicted, measured)]
    known = np.isfinite(times[0]) & np.isfinite(times[1])
    expected, found = times[0][known], times[1][known]
    inverse = 1.0 / np.asarray(forecast.alignments)[known]
    for variant, guess in (
        ("theory", expected),
        # As good as its scale can make it: only the ratios of times are its own.
        ("rival:inverse_rate", inverse * np.exp(np.mean(np.log(found / inverse)))),
    ):
        yield from exact_rows(key("time_error", variant), np.median(np.abs(np.log(guess / found))))
    for name, record in QUARTERS.items():
        place = round(record * (len(trained.times) - 1))
        for variant, sizes in (("theory", predicted), ("trained", measured)):
            yield Curve(make_key(LINEAR, seed, "sizes", variant, time=name), sizes[place])
    for variant, values in (("theory", expected), ("trained", found)):
        yield Curve(key("half_times", variant), values)


def _multiply(weights: list[np.ndarray]) -> np.ndarray:
    product = weights[0]
    for weight in weights[1:]:
        product = weight @ product
    return product.T @ product


def find_crossings(
    times: Float[np.ndarray, " times"],
    sizes: Float[np.ndarray, "times modes"],
    height: Float[np.ndarray, " modes"],
) -> Float[np.ndarray, " modes"]:
    """Return the first time that each mode reaches its height, linear between records.

    NaN for modes that never do, or that start above half of it.
    """
    crossings = np.full(sizes.shape[1], np.nan)
    for mode, target in enumerate(height):
        above = np.flatnonzero(sizes[:, mode] >= target)
        if above.size == 0 or above[0] == 0 or sizes[0, mode] > 0.5 * target:
            continue
        after = above[0]
        low, high = sizes[after - 1, mode], sizes[after, mode]
        share = (target - low) / (high - low)
        crossings[mode] = times[after - 1] + share * (times[after] - times[after - 1])
    return crossings
