"""Part A: a depth-3 linear model on pixels, predicted from the data's own moments."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.core.progress import Advance
from experiments.quickstart.scales import LEADING_MODES, MODE_FLOOR, Scale, linear_config
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
FINE_TIMES = 200


class LinearOutcome(NamedTuple):
    """Prediction and measurement of the linear model; time is the sum of learning rates.

    Attributes:
      num_modes: Modes compared: alignment above the floor of measurability and of the scale.
      above_noise: Modes whose cross-fitted alignment lies above the noise floor.
      layer_spectra: Predicted eigenvalues of each layer's covariance, input first.
      measured_layer_spectra: Of the trained networks' outputs on fresh views.
      times: When the mode sizes are given.
      fine_times: Times between them, for drawing.
      fine_mode_sizes: Predicted n at the fine times.
      mode_sizes: n of each mode, predicted, in the order of alignment.
      measured_mode_sizes: The same of the trained networks.
      shallow_mode_sizes: Predicted for a network of depth 2, a null while modes grow; where they
        end does not depend on the depth.
      half_times: Time at which a mode reaches half its final predicted size; NaN for modes that
        start too large.
      measured_half_times: The same, measured against the same height.
      verdicts: Trained layers against predicted ones, with nulls, for each seed.
      leading_verdicts: The same on the strongest modes only.
      gains: Predicted weight sqrt(vᵀ G_l v) in each layer of the features v that the whole map
        weights most.
      measured_gains: The same of the trained networks.
      null_errors: Median relative error of n at the end for each null, by its name, each seed.
      alignments: Alignments of the modes, descending.
    """

    num_modes: int
    above_noise: int
    layer_spectra: Float[np.ndarray, "layers dim"]
    measured_layer_spectra: Float[np.ndarray, "seeds layers dim"]
    times: Float[np.ndarray, " times"]
    fine_times: Float[np.ndarray, " fine"]
    fine_mode_sizes: Float[np.ndarray, "fine modes"]
    mode_sizes: Float[np.ndarray, "times modes"]
    measured_mode_sizes: Float[np.ndarray, "seeds times modes"]
    shallow_mode_sizes: Float[np.ndarray, "times modes"]
    half_times: Float[np.ndarray, " modes"]
    measured_half_times: Float[np.ndarray, "seeds modes"]
    verdicts: tuple[JointVerdict, ...]
    leading_verdicts: tuple[JointVerdict, ...]
    gains: Float[np.ndarray, "depth modes"]
    measured_gains: Float[np.ndarray, "seeds depth modes"]
    null_errors: dict[str, Float[np.ndarray, " seeds"]]
    alignments: Float[np.ndarray, " modes"]


class _Trained(NamedTuple):
    weights: list[list[np.ndarray]]
    initial: list[np.ndarray]
    layer_covariances: dict[str, np.ndarray]


def linear_layers(scale: Scale, advance: Advance) -> LinearOutcome:
    """Predict from moments alone, train by stochastic gradient descent, compare.

    Args:
      scale: How large.
      advance: Told after each piece of work.

    Returns:
      Everything the report shows of part A.
    """
    config = linear_config(scale)
    dataset = load_dataset(config.data, config.split)
    training = make_training(config, dataset)
    moments = _input_moments(config, dataset, training, scale)
    advance("A  linear model: training", 0.5)
    every = scale.linear_steps // scale.records
    times = np.concatenate([[0.0], np.cumsum(training.learning_rates.astype(np.float64))])
    times = times[::every][: scale.records + 1]
    runs = []
    for seed in scale.seeds:
        runs.append(_train(config, dataset, training, scale, seed, every))
        advance(f"A  linear model: seed {seed} trained", 1.0)
    with jax.enable_x64(True):
        outcome = _outcome(config, moments, runs, times)
    advance("A  linear model: compared", 0.5)
    return outcome


def _input_moments(
    config: Config, dataset: Dataset, training: Training, scale: Scale
) -> dict[str, np.ndarray]:
    """Moments of what the first layer receives; their views are never trained on."""
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
        views=scale.linear_views,
        layers=("input",),
    )["input"]


def _train(
    config: Config, dataset: Dataset, training: Training, scale: Scale, seed: int, every: int
) -> _Trained:
    state = training.init(seed)
    weights = [_weights(state.params)]
    for _ in range(scale.records):
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
    return _Trained(weights, weights[0], {name: covariances[name]["covariance"] for name in LAYERS})


def _weights(params: dict) -> list[np.ndarray]:
    head = jax.device_get(params["head"])
    return [head[f"layer{layer}"]["kernel"].T.astype(np.float64) for layer in (1, 2, 3)]


def _outcome(
    config: Config, measured: dict[str, np.ndarray], runs: list[_Trained], times: np.ndarray
) -> LinearOutcome:
    moments = Moments(**{name: jnp.asarray(value) for name, value in measured.items()})
    covariance, cross = moments.covariance, moments.cross_covariance
    dim = covariance.shape[0]
    images, views = int(measured["images"]), int(measured["views"])
    modes = generalized_eigenpairs(covariance, cross, range_tolerance=1e-6)
    floor = noise_floor(dim, images, views)
    num_modes = int(jnp.sum(modes.values > max(MODE_FLOOR, floor)))
    above_noise = int(jnp.sum(crossfit_alignment(moments) > floor))
    # A mode's size n is read along its own direction: nothing is sorted, so nothing can match
    # by sorting.
    readers = covariance @ modes.vectors[:, :num_modes]

    def sizes(gram: jax.Array) -> jax.Array:
        return jnp.sum(readers * (gram @ readers), axis=0)

    loss = spectral_loss(covariance, cross)
    everywhere = np.unique(np.concatenate([times, np.linspace(0.0, times[-1], FINE_TIMES)]))
    fine_grams = _predicted_grams(loss, config.head.init_scale, everywhere)
    fine_sizes = jax.vmap(sizes)(fine_grams[:, -1])
    recorded = np.searchsorted(everywhere, times)
    grams, mode_sizes = fine_grams[recorded], fine_sizes[recorded]
    histories = jnp.array([[_end_to_end(w) for w in run.weights] for run in runs])
    measured_sizes = jax.vmap(jax.vmap(sizes))(histories)
    final = grams[-1]
    weights = [tuple(jnp.asarray(w) for w in run.weights[-1]) for run in runs]
    nulls = prediction_nulls(jax.random.key(0), final, covariance)

    def verdicts(count: int) -> tuple[JointVerdict, ...]:
        return tuple(
            judge_head(
                final,
                chain,
                covariance,
                nulls
                | {"untrained": chain_layer_grams(tuple(jnp.asarray(w) for w in run.initial))},
                num_modes=count,
            )
            for chain, run in zip(weights, runs)
        )

    measured_grams = jnp.array([chain_layer_grams(chain) for chain in weights])
    null_grams = {
        "input": jnp.eye(dim),
        "untrained": grams[0, -1],
        "shuffled pairs": _predicted_grams(
            spectral_loss(covariance, shuffled_pairs_null(covariance, noise_floor=floor)),
            config.head.init_scale,
            everywhere,
        )[-1, -1],
    }
    height = 0.5 * mode_sizes[-1]
    return LinearOutcome(
        num_modes=num_modes,
        above_noise=above_noise,
        layer_spectra=np.asarray(layer_spectra(covariance, final)),
        measured_layer_spectra=np.array(
            [
                [np.linalg.eigvalsh(run.layer_covariances[name])[::-1] for name in LAYERS]
                for run in runs
            ]
        ),
        times=times,
        fine_times=everywhere,
        fine_mode_sizes=np.asarray(fine_sizes),
        mode_sizes=np.asarray(mode_sizes),
        measured_mode_sizes=np.asarray(measured_sizes),
        shallow_mode_sizes=np.asarray(
            jax.vmap(sizes)(_predicted_grams(loss, config.head.init_scale, times, 2)[:, -1])
        ),
        half_times=_crossing(times, np.asarray(mode_sizes), np.asarray(height)),
        measured_half_times=np.array(
            [_crossing(times, np.asarray(one), np.asarray(height)) for one in measured_sizes]
        ),
        verdicts=verdicts(num_modes),
        leading_verdicts=verdicts(min(LEADING_MODES, num_modes)),
        gains=np.asarray(_gains(final, final, num_modes)),
        measured_gains=np.asarray(
            jax.vmap(lambda grams: _gains(grams, final, num_modes))(measured_grams)
        ),
        null_errors={
            name: _median_errors(measured_sizes[:, -1], sizes(gram))
            for name, gram in null_grams.items()
        },
        alignments=np.asarray(modes.values[:num_modes]),
    )


def _predicted_grams(
    loss: QuadraticLoss, start: float, times: np.ndarray, depth: int = DEPTH
) -> jax.Array:
    """Layer Grams at each time of the balanced flow from equal layers of Gram `start`."""
    dim = loss.linear.shape[0]
    factors = quadratic_flow(loss, np.sqrt(start) * jnp.eye(dim), depth, jnp.asarray(times))
    return jax.vmap(lambda factor: jnp.asarray(factor_layer_grams(factor, depth)))(factors)


def _gains(grams: jax.Array, reference: jax.Array, num_modes: int) -> jax.Array:
    """Weight of the reference's strongest singular directions in each layer, (depth, modes)."""
    _, vectors = jnp.linalg.eigh(reference[-1])
    leading = vectors[:, -num_modes:]
    return jnp.sqrt(jnp.einsum("dm,lde,em->lm", leading, grams, leading))


def _end_to_end(weights: list[np.ndarray]) -> np.ndarray:
    product = weights[0]
    for weight in weights[1:]:
        product = weight @ product
    return product.T @ product


def _median_errors(measured: jax.Array, predicted: jax.Array) -> np.ndarray:
    return np.asarray(jnp.median(jnp.abs(measured - predicted[None]) / measured, axis=1))


def _crossing(times: np.ndarray, sizes: np.ndarray, height: np.ndarray) -> np.ndarray:
    """First time each mode reaches its height, linear between records.

    NaN for modes that never do, or that start above a quarter of the final size.
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
