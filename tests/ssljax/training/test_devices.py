"""One device and eight give the same loss, gradients, parameters and batch statistics."""

import dataclasses
import functools
import subprocess
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from ssljax.augment.policies import Policy
from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from ssljax.data.datasets import Dataset
from ssljax.system.errors import UsageError
from ssljax.training.observers import Observer
from ssljax.training.parallel import make_mesh, make_parallel
from ssljax.training.training import make_training


def _config(loss: str, **changes) -> Config:
    config = Config(
        policy=Policy(shift=0.1, log_contrast=0.5, noise=0.2),
        strength=0.5,
        sampling="replacement",
        encoder=EncoderConfig(stage_sizes=(1,), width=4, feature_centering=True),
        head=HeadConfig(kind="mlp", widths=(16, 8), norm="batch"),
        loss=LossConfig(name=loss),
        optimizer=OptimizerConfig(learning_rate=0.1, final_fraction=1.0, weight_decay=1e-3),
        batch_size=32,
        num_steps=5,
        steps_per_call=1,
    )
    return dataclasses.replace(config, **changes)


def _dataset() -> Dataset:
    images = np.random.default_rng(0).integers(0, 17, (96, 8, 8, 1)).astype(np.uint8)
    return Dataset(images, np.zeros(96, np.int32), 1 / 16, 1, "random")


class _Run(NamedTuple):
    """Two steps: the state and metrics after the first, and what was noticed on the way."""

    state: Any
    metrics: Any
    traces: int
    shapes: dict[str, tuple[int, ...]]
    is_given_up: bool


@functools.cache
def _start():
    """The state at step 0, which depends on neither loss nor devices."""
    return make_training(_config("nt_xent", devices=1), _dataset()).init(3)


@functools.cache
def _run(loss: str, num_devices: int, mode: str, mesh: str = "") -> _Run:
    traces, shapes = [], {}

    def look(params, gradients, outputs, state):
        del params, gradients
        traces.append(1)
        shapes.update({name: value.shape for name, value in outputs.items()})
        return state, {}

    training = make_training(
        _config(loss, devices=num_devices, parallel=mode, mesh=mesh),
        _dataset(),
        observers=(Observer(look, layers=("feature",)),),
    )
    start = training.parallel.place_state(_start()._replace(observer_states=((),)))
    leaf = jax.tree.leaves(start.params)[0]
    strength = training.place(0.5)
    with jax.transfer_guard("disallow"):
        state, metrics = training.step(start, strength, 1)
    first = jax.device_get((training.parallel.single_state(state), metrics))
    with jax.transfer_guard("disallow"):
        for _ in range(2):
            state, _ = training.step(state, strength, 1)
    return _Run(*first, len(traces), shapes, leaf.is_deleted())


def _distance(first, second) -> float:
    """Relative distance of two trees, as vectors."""
    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    apart = sum(np.sum((np.float64(a) - np.float64(b)) ** 2) for a, b in pairs)
    size = sum(np.sum(np.float64(a) ** 2) for a, _ in pairs)
    return float(np.sqrt(apart / size))


@pytest.mark.optimized
@pytest.mark.parametrize("mode", ["jit", "pmap"])
@pytest.mark.parametrize("loss", ["nt_xent", pytest.param("spectral", marks=pytest.mark.slow)])
def test_eight_devices_take_the_step_of_one(loss, mode):
    # A gradient is a sum over the batch in another order: rounding, 5e-6 where it was measured.
    one, eight = _run(loss, 1, "jit"), _run(loss, 8, mode)
    np.testing.assert_allclose(one.metrics["loss"], eight.metrics["loss"], rtol=2e-5)
    assert _distance(one.metrics["gradient_norm"], eight.metrics["gradient_norm"]) < 2e-5
    # After one step the momentum is the gradient, weight decay included.
    assert _distance(_momentum(one.state), _momentum(eight.state)) < 2e-5
    assert _distance(one.state.params, eight.state.params) < 2e-5
    assert _distance(one.state.statistics, eight.state.statistics) < 2e-5


def test_a_head_divided_over_the_model_takes_the_step_of_one_device():
    one, divided = _run("nt_xent", 1, "jit"), _run("nt_xent", 8, "jit", "data=4,model=2")
    np.testing.assert_allclose(one.metrics["loss"], divided.metrics["loss"], rtol=2e-5)
    assert _distance(_momentum(one.state), _momentum(divided.state)) < 2e-5
    assert _distance(one.state.params, divided.state.params) < 2e-5
    assert divided.traces == 1
    assert divided.is_given_up


def test_matrices_of_the_head_and_what_follows_them_are_divided_and_nothing_else():
    parallel = make_parallel(make_mesh(8, "data=4,model=2"), "jit", 32)
    leaf = {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in _SHAPES.items()}
    state = {"params": {"head": leaf, "encoder": leaf}, "momentum": {"head": leaf}}
    found = jax.tree.map(lambda sharding: sharding.spec, parallel.state_shardings(state))
    whole = dict.fromkeys(_SHAPES, PartitionSpec())
    divided = whole | {"kernel": PartitionSpec(None, "model")}
    assert found == {
        "params": {"head": divided, "encoder": whole},
        "momentum": {"head": divided},
    }


_SHAPES = {"kernel": (5, 6), "odd": (6, 5), "bias": (6,), "map": (3, 3, 2, 2)}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("data=4", "mesh data=4 wants 4 devices, 8 are there"),
        ("data=5,model=2", "wants 10 devices, 8 are there"),
        ("data=0", "give --mesh data=A,model=B"),
        ("rows=8", "give --mesh data=A,model=B"),
        ("data=4,data=2", "names an axis twice"),
        ("data", "give --mesh data=A,model=B"),
    ],
)
def test_a_mesh_that_does_not_fit_is_refused(shape, message):
    with pytest.raises(UsageError, match=message):
        make_mesh(8, shape)


def test_a_mesh_takes_as_many_devices_as_its_shape_names():
    assert make_mesh(0, "data=2,model=2").shape == {"batch": 2, "model": 2}
    assert make_mesh(0, "data=4,model=2").shape == {"batch": 4, "model": 2}
    assert make_mesh(0, "data=4").shape == {"batch": 4}


def test_pmap_has_no_model_axis():
    with pytest.raises(UsageError, match="give --parallel jit"):
        make_parallel(make_mesh(8, "data=4,model=2"), "pmap", 32)


def _momentum(state):
    leaves = jax.tree.leaves(state.optimizer_state)
    return [leaf for leaf in leaves if leaf.dtype == np.float32]


def test_the_step_moved_parameters_and_batch_statistics():
    run, start = _run("nt_xent", 8, "jit"), jax.device_get(_start())
    assert _distance(start.params, run.state.params) > 1e-3
    assert _distance(start.statistics, run.state.statistics) > 1e-3


@pytest.mark.parametrize(("num_devices", "mode"), [(1, "jit"), (8, "jit"), (8, "pmap")])
def test_the_step_traces_once_copies_nothing_from_the_host_and_reuses_the_state(num_devices, mode):
    run = _run("nt_xent", num_devices, mode)
    assert run.traces == 1
    assert run.is_given_up


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_observers_see_both_views_and_the_labels_of_the_global_batch(mode):
    shapes = {"embedding": (32, 2, 8), "feature": (32, 2, 4), "label": (32,)}
    assert _run("nt_xent", 8, mode).shapes == shapes


_FIVE_STEPS = """
import dataclasses, importlib.util, sys
import jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 8)
spec = importlib.util.spec_from_file_location("devices", sys.argv[1])
devices = importlib.util.module_from_spec(spec)
spec.loader.exec_module(devices)
def five(**changes):
    config = devices._config(sys.argv[2], precision="float64", **changes)
    training = devices.make_training(config, devices._dataset())
    state, metrics = training.run(training.init(3), config.strength, 5)
    state = jax.device_get(training.parallel.single_state(state))
    return state.params, state.statistics, jax.device_get(metrics)
one = five(devices=1)
assert all(leaf.dtype == "float64" for leaf in jax.tree.leaves(one[0]))
for mode in ("jit", "pmap"):
    print(max(map(devices._distance, one, five(devices=8, parallel=mode))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["nt_xent", "spectral"])
def test_five_steps_in_float64_agree_to_its_rounding(loss):
    # In float32 a unit near zero changes sign and five steps are not comparable.
    command = [sys.executable, "-c", _FIVE_STEPS, __file__, loss]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    distances = [float(line) for line in answer.stdout.split()]
    assert len(distances) == 2
    assert max(distances) < 1e-10


def test_a_batch_that_does_not_divide_names_the_nearest_that_do():
    with pytest.raises(UsageError, match=r"batch-size 30 .* 8 devices: use 24 or 32"):
        make_parallel(make_mesh(8), "jit", 30)
    with pytest.raises(UsageError, match="use 8, or"):
        make_parallel(make_mesh(8), "pmap", 5)


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(UsageError, match="9 devices were asked for, 8 are there"):
        make_mesh(9)
