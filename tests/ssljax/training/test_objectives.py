"""Every objective in the training step: the global batch, its parts, and averaged networks."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig
from ssljax.losses.distillation import BYOLSettings, byol_objective
from ssljax.losses.objective import LossContext
from ssljax.losses.table import LOSSES
from ssljax.system.errors import UsageError
from ssljax.training.build import build_average_decay, build_network, build_objective
from ssljax.training.optimizer import constant, sgd
from ssljax.training.parallel import compile_step, make_mesh, make_parallel
from ssljax.training.state import Average, make_state
from ssljax.training.step import make_update

SHAPE = (3, 3, 1)
BATCH = 16
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 17, (BATCH, *SHAPE)).astype(np.uint8)
LABELS = RNG.integers(0, 4, BATCH).astype(np.int32)
DATA = IMAGES, LABELS, np.arange(BATCH, dtype=np.int32)
IN_BLOCKS = ("nt_xent", "supervised_contrastive")
NAMES = (*LOSSES, *(f"{name} in blocks" for name in IN_BLOCKS))


def _config(name: str, **changes) -> Config:
    loss, _, blocks = name.partition(" ")
    is_predicted, is_supervised = LOSSES[loss].predictor, LOSSES[loss].scores
    config = Config(
        encoder=EncoderConfig(kind="linear", widths=()),
        head=HeadConfig(
            widths=(5, 4),
            classes=4 if is_supervised else 0,
            predictor_widths=(3,) if is_predicted else (),
        ),
        loss=LossConfig(name=loss, block_size=3 if blocks else 0),
        batch_size=BATCH,
        num_steps=10,
    )
    return dataclasses.replace(config, **changes)


def _views(key, step, identity, images, strength):
    """One group of a pair without random numbers, which would take most of the compilation."""
    return (jnp.stack([images, strength * images[:, ::-1]], axis=1),)


def _update(config, mesh=None, **options):
    return make_update(
        build_network(config, SHAPE, options.pop("axis_name", None)),
        build_objective(config, mesh),
        sgd(constant(1.0)),
        _views,
        1 / 16,
        average_decay=build_average_decay(config),
        **options,
    )


@functools.cache
def _states():
    """For each objective a state drawn by NumPy, which compiles nothing."""

    def make():
        states = {}
        for name in NAMES:
            config = _config(name)
            averaged = build_average_decay(config) is not None
            network = build_network(config, SHAPE)
            states[name] = make_state(network, sgd(constant(1.0)), 2, averaged=averaged)
        return states

    rng = np.random.default_rng(1)

    def drawn(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(3)
        if leaf.dtype == np.int32:
            return np.zeros(leaf.shape, np.int32)
        return rng.normal(scale=0.5, size=leaf.shape).astype(np.float32)

    states = jax.tree.map(drawn, jax.eval_shape(make))
    return states | {f"{name} in blocks": states[name] for name in IN_BLOCKS}


@functools.cache
def _stepped(num_devices: int, mode: str, accumulate: int = 1):
    """One step of every objective, all in one program: states and metrics by name."""
    parallel = make_parallel(make_mesh(num_devices), mode, BATCH)
    mesh = parallel.mesh if num_devices > 1 and mode == "jit" else None
    placement = parallel.placement
    updates = {
        name: _update(
            _config(name),
            mesh,
            placement=placement,
            accumulate=accumulate,
            axis_name=placement.axis_name,
        )
        for name in NAMES
    }

    def step(states, data, strength):
        batch = [placement.shard(part) for part in data]
        done = {name: updates[name](states[name], *batch, strength) for name in NAMES}
        after = {name: state for name, (state, _) in done.items()}
        return after, {name: metrics for name, (_, metrics) in done.items()}

    data, strength = parallel.place_constant((DATA, np.float32(1.0)))
    states, metrics = compile_step(step, parallel)(parallel.place_state(_states()), data, strength)
    return jax.device_get((parallel.single_state(states), metrics))


def _distance(first, second) -> float:
    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    apart = sum(np.sum((np.float64(a) - np.float64(b)) ** 2) for a, b in pairs)
    return float(np.sqrt(apart / sum(np.sum(np.float64(a) ** 2) for a, _ in pairs)))


def _gradient(states, name):
    """The step's change of the weights, which at rate 1 is the gradient."""
    return jax.tree.map(np.subtract, _states()[name].params, states[name].params)


@pytest.mark.parametrize(
    "run",
    [(8, "jit", 2), pytest.param((8, "pmap"), marks=pytest.mark.slow)],
    ids=["jit-in-two-parts", "pmap"],
)
@pytest.mark.parametrize("name", NAMES)
def test_eight_devices_take_the_step_of_one_and_so_do_parts_of_the_batch(name, run):
    (one, one_metrics), (other, other_metrics) = _stepped(1, "jit"), _stepped(*run)
    # Sums over the batch in another order: rounding.
    np.testing.assert_allclose(
        other_metrics[name]["loss"], one_metrics[name]["loss"], rtol=1e-5, atol=1e-6
    )
    assert _distance(_gradient(one, name), _gradient(other, name)) < 2e-5
    assert float(one_metrics[name]["gradient_norm"]) > 1e-3
    if one[name].average is not None:
        assert _distance(one[name].average, other[name].average) < 1e-6


@pytest.mark.parametrize("name", IN_BLOCKS)
def test_a_loss_in_blocks_takes_the_step_of_the_dense_one(name):
    states, metrics = _stepped(1, "jit")
    blocks = f"{name} in blocks"
    np.testing.assert_allclose(metrics[name]["loss"], metrics[blocks]["loss"], rtol=1e-6)
    assert _distance(_gradient(states, name), _gradient(states, blocks)) < 1e-5


def _rows(params, images):
    """Embeddings of both views by the linear head, in float64: (batch, 2, dim)."""
    rows = np.stack([images, images[:, ::-1]], axis=1).reshape(BATCH, 2, -1) / 16
    for layer in ("layer1", "layer2"):
        rows = rows @ np.float64(params["head"][layer]["kernel"])
    return rows


def test_byol_compares_the_predictor_with_the_averaged_network_written_out():
    state = _states()["byol"]
    after, metrics = (tree["byol"] for tree in _stepped(1, "jit"))
    predictor = state.params["predictor"]
    hidden = _rows(state.params, IMAGES) @ predictor["layer1"]["kernel"]
    prediction = np.maximum(hidden + predictor["layer1"]["bias"], 0)
    prediction = prediction @ predictor["layer2"]["kernel"] + predictor["layer2"]["bias"]
    target = _rows(state.average.params, IMAGES)[:, ::-1]
    lengths = [np.linalg.norm(rows, axis=2) for rows in (prediction, target)]
    assert min(np.min(length) for length in lengths) > 1e-3
    cosines = np.sum(prediction * target, axis=2) / (lengths[0] * lengths[1])
    np.testing.assert_allclose(metrics["loss"], 4 - 2 * np.sum(np.mean(cosines, 0)), rtol=1e-5)
    # At step 0 the decay is the base; the average moves towards the new weights.
    for old, new, average in zip(
        *(jax.tree.leaves(t) for t in (state.average, Average(after.params, {}), after.average)),
        strict=True,
    ):
        np.testing.assert_allclose(average, 0.996 * old + 0.004 * new, rtol=1e-5, atol=1e-7)


def test_no_gradient_flows_into_the_target_of_byol():
    key = jax.random.key(0)
    layers = {
        name: jax.random.normal(jax.random.fold_in(key, i), (6, 2, 3))
        for i, name in enumerate(("embedding", "predictor", "target"))
    }
    gradients = jax.grad(byol_objective(BYOLSettings(), LossContext()).value)(
        layers, jnp.zeros(6, jnp.int32)
    )
    assert float(jnp.abs(gradients["predictor"]).max()) > 1e-3
    np.testing.assert_array_equal(gradients["target"], 0)
    np.testing.assert_array_equal(gradients["embedding"], 0)


def test_accumulation_with_batch_norm_is_the_batch_normalized_in_parts():
    # Part j holds images j, j + 2, …; groups of the batch are contiguous: the order undoes it.
    config = _config("nt_xent", encoder=EncoderConfig(kind="mlp", widths=(8, 6)))
    network = build_network(config, SHAPE)
    state = jax.jit(lambda: make_state(network, sgd(constant(1.0)), 0))()
    order = np.arange(BATCH).reshape(-1, 2).T.reshape(-1)
    parts = jax.jit(_update(config, accumulate=2, unroll=True))(state, *DATA, 1.0)
    grouped = dataclasses.replace(
        config, encoder=dataclasses.replace(config.encoder, norm="batch_per_device")
    )
    update = make_update(
        build_network(grouped, SHAPE, batch_groups=2),
        build_objective(config),
        sgd(constant(1.0)),
        _views,
        1 / 16,
    )
    groups = jax.jit(update)(state, *(part[order] for part in DATA), 1.0)
    np.testing.assert_allclose(parts[1]["loss"], groups[1]["loss"], rtol=1e-5)
    assert _distance(parts[0].params, groups[0].params) < 1e-5
    assert _distance(parts[0].statistics, groups[0].statistics) < 1e-6
    assert _distance(parts[0].statistics, state.statistics) > 1e-3


def test_a_batch_that_does_not_divide_into_the_parts_is_refused():
    update = _update(_config("nt_xent"), accumulate=3)
    with pytest.raises(UsageError, match=r"16 images on a device .* 3 parts"):
        jax.eval_shape(update, _states()["nt_xent"], *DATA, 1.0)
