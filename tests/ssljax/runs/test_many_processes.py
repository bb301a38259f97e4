"""One device, eight devices and two processes of four take the same steps.

Run as a program, this file is one of the processes.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.augment.policies import Policy
from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from ssljax.data.datasets import Dataset
from ssljax.runs.checkpoint import list_saved_steps
from ssljax.system.distributed import Cluster, is_first, join, leave
from ssljax.training.observers import Observer
from ssljax.training.parallel import copy_locally
from ssljax.training.training import make_training

pytestmark = pytest.mark.slow

LOSSES = ("nt_xent", "spectral", "supervised_contrastive", "vicreg")
_STEPS = 50


def _config(loss: str, devices: int, precision: str) -> Config:
    return Config(
        policy=Policy(shift=0.1, log_contrast=0.5, noise=0.2),
        strength=0.5,
        sampling="replacement",
        encoder=EncoderConfig(stage_sizes=(1,), width=4, feature_centering=True),
        head=HeadConfig(kind="mlp", widths=(16, 8), norm="batch"),
        loss=LossConfig(name=loss),  # pyright: ignore[reportArgumentType]
        optimizer=OptimizerConfig(learning_rate=0.05, final_fraction=1.0, weight_decay=1e-3),
        batch_size=32,
        num_steps=_STEPS,
        steps_per_call=1,
        devices=devices,
        precision=precision,  # pyright: ignore[reportArgumentType]
    )


def _dataset() -> Dataset:
    images = np.random.default_rng(0).integers(0, 17, (96, 8, 8, 1)).astype(np.uint8)
    return Dataset(images, np.arange(96, dtype=np.int32) % 3, 1 / 16, 3, "random")


def _spectra(params, gradients, outputs, state):
    """Observer: eigenvalues of the covariance of feature and embedding, kept as its state."""
    del params, gradients, state

    def spectrum(value):
        rows = value.reshape(-1, value.shape[-1])
        return jnp.linalg.eigvalsh(jnp.matmul(rows.T, rows, precision="highest") / len(rows))

    return {name: spectrum(outputs[name]) for name in ("feature", "embedding")}, {}


def _steps(loss: str, devices: int, precision: str, num_steps: int) -> dict[str, np.ndarray]:
    wide = jnp.float64 if precision == "float64" else jnp.float32
    observer = Observer(
        _spectra, {"feature": jnp.zeros(4, wide), "embedding": jnp.zeros(8, wide)}, ("feature",)
    )
    training = make_training(_config(loss, devices, precision), _dataset(), observers=(observer,))
    state, metrics = training.run(training.init(3), 0.5, num_steps)
    state = jax.device_get(copy_locally(state))
    found = {f"metrics/{name}": np.asarray(value) for name, value in metrics.items()}
    parts = {
        "params": state.params,
        "statistics": state.statistics,
        "momentum": [x for x in jax.tree.leaves(state.optimizer_state) if x.dtype == wide],
        "spectra": state.observer_states[0],
    }
    for part, tree in parts.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            found[part + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return found


def _all_steps(devices: int) -> dict[str, np.ndarray]:
    found = {}
    for loss in LOSSES:
        one = _steps(loss, devices, "float32", 1)
        with jax.enable_x64(True):
            many = _steps(loss, devices, "float64", _STEPS)
        for precision, arrays in (("float32", one), ("float64", many)):
            found |= {f"{loss} {precision} {name}": value for name, value in arrays.items()}
    return found


def _program(out: str, *cluster: str) -> None:
    jax.config.update("jax_numpy_rank_promotion", "raise")
    if cluster:
        join(Cluster(cluster[0], int(cluster[1]), int(cluster[2])))
        found = _all_steps(0)
        if is_first():
            np.savez(out, **found)
        leave()
        return
    np.savez(out, **_all_steps(8))
    np.savez(out.replace("eight", "one"), **_all_steps(1))


def _environment(devices: int) -> dict[str, str]:
    return {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """The same steps on one device, on eight, and in two processes of four."""
    folder = tmp_path_factory.mktemp("steps")
    program = [sys.executable, __file__]
    address = f"127.0.0.1:{20000 + os.getpid() % 20000}"
    pair = [
        subprocess.Popen(
            [*program, str(folder / "pair.npz"), address, str(number), "2"],
            env=_environment(4),
            stderr=subprocess.PIPE,
        )
        for number in range(2)
    ]
    for process in pair:
        _, error = process.communicate(timeout=900)
        assert process.returncode == 0, error.decode()
    answer = subprocess.run(
        [*program, str(folder / "eight.npz")], env=_environment(8), timeout=900, check=False
    )
    assert answer.returncode == 0
    found = {}
    for name in ("one", "eight", "pair"):
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            found[name] = dict(arrays)
    return found


def _distance(first, second, prefix):
    names = [name for name in first if name.startswith(prefix)]
    assert names, prefix
    pairs = [(np.float64(first[name]), np.float64(second[name])) for name in names]
    apart = sum(np.sum((a - b) ** 2) for a, b in pairs)
    return float(np.sqrt(apart / sum(np.sum(a**2) for a, _ in pairs)))


@pytest.mark.parametrize("other", ["eight", "pair"])
@pytest.mark.parametrize("loss", LOSSES)
def test_one_step_in_float32_is_the_same(steps, loss, other):
    # After one step the momentum is the gradient, weight decay included.
    for part in ("metrics/loss", "metrics/gradient_norm", "momentum", "statistics", "spectra"):
        assert _distance(steps["one"], steps[other], f"{loss} float32 {part}") < 1e-5, part


@pytest.mark.parametrize("other", ["eight", "pair"])
@pytest.mark.parametrize("loss", LOSSES)
def test_fifty_steps_in_float64_end_in_the_same_parameters(steps, loss, other):
    assert steps["one"][f"{loss} float64 metrics/loss"].dtype == np.float64
    assert _distance(steps["one"], steps[other], f"{loss} float64 params") < 1e-9
    assert _distance(steps["one"], steps[other], f"{loss} float64 metrics/loss") < 1e-9


# Training by two processes from the command line, disturbed.

_OPTIONS = (
    "digits_mlp --num-steps=240 --checkpoint-every=20 --steps-per-call=2 --moments.views=0"
    " --encoder.widths=32,16 --head.widths=16,8 --evaluation.layers="
).split()


def _launch(workdir: Path, *more: str) -> list[str]:
    options = [*_OPTIONS, "--workdir", str(workdir), *more]
    count = ["--processes", "2", "--devices-per-process", "2"]
    return [sys.executable, "-m", "ssljax", "launch", *count, "--", "train", *options]


def _run(command: list[str], seconds: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds)


def _saved(workdir: Path, process: subprocess.Popen[str], count: int) -> None:
    """Wait until a run has saved so many times."""
    deadline = time.monotonic() + 240
    while len(list_saved_steps(workdir)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _children(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of the processes of a launch, in the order of their numbers."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = re.search(r"PPid:\s+(\d+)", (entry / "status").read_text())
                words = (entry / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if parent and int(parent[1]) == process.pid and "--process-id" in words:
                found[int(words[words.index("--process-id") + 1])] = int(entry.name)
    return [found[number] for number in sorted(found)]


def _arrays(workdir: Path) -> dict[str, np.ndarray]:
    out = workdir / "weights.npz"
    answer = _run([sys.executable, "-m", "ssljax", "export", str(workdir), "--out", str(out)])
    assert answer.returncode == 0, answer.stderr
    with np.load(out, allow_pickle=False) as arrays:
        return dict(arrays)


def _assert_same_run(first: Path, second: Path) -> None:
    assert (first / "metrics.jsonl").read_text() == (second / "metrics.jsonl").read_text()
    one, two = _arrays(first), _arrays(second)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two processes that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    answer = _run(_launch(workdir))
    assert answer.returncode == 0, answer.stderr
    assert "Gloo" not in answer.stderr
    return workdir


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_within_a_minute_and_the_command_resumes(
    whole, tmp_path, victim
):
    workdir = tmp_path / "run"
    process = subprocess.Popen(
        _launch(workdir), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _saved(workdir, process, 2)
    children = _children(process)
    os.kill(children[victim], signal.SIGKILL)
    killed = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert time.monotonic() - killed < 60
    assert process.returncode == 137, error
    assert f"process {victim} was ended by SIGKILL: ending the others" in error
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    answer = _run(_launch(workdir))
    assert answer.returncode == 0, answer.stderr
    assert "resuming" in answer.stderr
    _assert_same_run(whole, workdir)


def test_sigterm_stops_both_at_one_step_and_the_command_resumes(whole, tmp_path):
    workdir = tmp_path / "run"
    process = subprocess.Popen(
        _launch(workdir), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _saved(workdir, process, 1)
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143, error
    steps = set(re.findall(r"stopped by SIGTERM after step (\d+)", error))
    assert len(steps) == 1, error
    assert int(steps.pop()) == list_saved_steps(workdir)[-1]
    answer = _run(_launch(workdir))
    assert answer.returncode == 0, answer.stderr
    _assert_same_run(whole, workdir)


def test_a_process_that_stands_still_is_ended_by_the_watchdog_of_the_other(tmp_path):
    workdir = tmp_path / "run"
    process = subprocess.Popen(
        _launch(workdir, "--watchdog-seconds=15", "--num-steps=100000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _saved(workdir, process, 1)
    os.kill(_children(process)[1], signal.SIGSTOP)
    stopped = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert time.monotonic() - stopped < 60
    assert process.returncode == 75, error
    assert "a host is lost or stuck" in error
    assert list_saved_steps(workdir)


def test_a_slow_process_is_waited_for(whole, tmp_path):
    workdir = tmp_path / "run"
    process = subprocess.Popen(
        _launch(workdir, "--watchdog-seconds=60"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _saved(workdir, process, 1)
    child = _children(process)[1]
    for _ in range(3):
        os.kill(child, signal.SIGSTOP)
        time.sleep(2)
        os.kill(child, signal.SIGCONT)
        time.sleep(0.3)
    _, error = process.communicate(timeout=200)
    assert process.returncode == 0, error
    _assert_same_run(whole, workdir)


def test_a_run_of_two_processes_goes_on_in_one(whole, tmp_path):
    workdir = tmp_path / "run"
    process = subprocess.Popen(
        _launch(workdir), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _saved(workdir, process, 1)
    process.terminate()
    process.communicate(timeout=60)
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "ssljax", "train", *_OPTIONS),
            *("--workdir", str(workdir), "--devices=1"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env=_environment(1),
    )
    assert answer.returncode == 0, answer.stderr
    first, second = _arrays(whole), _arrays(workdir)
    for name in first:
        if name.startswith("params"):
            np.testing.assert_allclose(first[name], second[name], rtol=2e-2, atol=2e-3)


def test_every_process_measures_and_the_first_writes_what_one_process_would(tmp_path):
    options = (
        "digits_mlp --num-steps=8 --checkpoint-every=4 --steps-per-call=4 --sampling=epoch"
        " --moments.views=2 --moments.every=4 --moments.every-images=64 --moments.images=64"
        " --encoder.widths=16 --head.widths=8 --optimizer.warmup-steps=2"
        " --evaluation.layers=feature --evaluation.every=4 --evaluation.every-images=200"
    ).split()
    program = [sys.executable, "-m", "ssljax"]
    launch = [*program, "launch", "--processes", "2", "--devices-per-process", "2", "--"]
    for name, start in (("one", program), ("two", launch)):
        answer = _run([*start, "train", *options, "--workdir", str(tmp_path / name)])
        assert answer.returncode == 0, answer.stderr
    one, two = tmp_path / "one", tmp_path / "two"
    assert (one / "neighbors.jsonl").read_text() == (two / "neighbors.jsonl").read_text()
    accuracies = [
        json.loads((folder / "evaluation.json").read_text())["feature"] for folder in (one, two)
    ]
    for name, value in accuracies[0].items():
        assert abs(accuracies[1][name] - value) < 0.005, name
    files = [
        sorted(str(path.relative_to(folder)) for path in (folder / "moments").rglob("*"))
        for folder in (one, two)
    ]
    assert files[0] == files[1]


if __name__ == "__main__":
    _program(*sys.argv[1:])
