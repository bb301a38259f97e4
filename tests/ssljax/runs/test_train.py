import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.augment.policies import NOISE_POLICY
from ssljax.config.config import (
    Config,
    EncoderConfig,
    EvaluationConfig,
    HeadConfig,
    LossConfig,
    MomentsConfig,
    OptimizerConfig,
)
from ssljax.data.datasets import Dataset
from ssljax.runs.checkpoint import list_saved_steps
from ssljax.runs.fit import NonFiniteMetrics, StopRequested, fit
from ssljax.runs.folder import hold_folder
from ssljax.runs.saved_run import load_run
from ssljax.system.errors import UsageError
from ssljax.training.observers import Observer


def _config(**changes) -> Config:
    config = Config(
        policy=NOISE_POLICY,
        strength=0.5,
        sampling="replacement",
        mean_image="images",
        encoder=EncoderConfig(kind="linear", widths=()),
        head=HeadConfig(widths=(6, 5), init="balanced", init_scale=0.5),
        loss=LossConfig(name="spectral"),
        optimizer=OptimizerConfig(learning_rate=0.05, final_fraction=0.1),
        batch_size=8,
        num_steps=20,
        steps_per_call=5,
        log_every=2,
        checkpoint_every=10,
        devices=1,
        evaluation=EvaluationConfig(layers=()),
    )
    return dataclasses.replace(config, **changes)


def _dataset(seed: int = 1) -> Dataset:
    images = np.random.default_rng(seed).integers(0, 17, (40, 3, 3, 1)).astype(np.uint8)
    labels = np.arange(40, dtype=np.int32) % 2
    return Dataset(images, labels, 1 / 16, 2, "random")


def _fit(workdir, dataset=None, **changes):
    return fit(_config(**changes), workdir, progress=False, dataset=dataset or _dataset())


def _assert_same_state(first, second):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def _cut(finished: Path, workdir: Path, step: int) -> Path:
    """The folder as a process killed some time after the checkpoint of a step leaves it."""
    shutil.copytree(finished, workdir)
    for path in (workdir / "checkpoints").iterdir():
        if int(path.name) > step:
            shutil.rmtree(path)
    return workdir


_MOMENTS = MomentsConfig(views=4, layers=("input", "head1"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder and result of a run; tests work on copies."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    return workdir, _fit(workdir, moments=_MOMENTS)


def test_a_run_leaves_its_folder_complete_and_is_read_back(finished):
    workdir, result = finished
    names = {path.name for path in workdir.iterdir()}
    assert {"config.json", "model.json", "environment.json", "metrics.jsonl"} <= names
    assert [line["step"] for line in result.metrics] == list(range(2, 21, 2))
    assert result.metrics[-1]["loss"] < result.metrics[0]["loss"]
    environment = json.loads((workdir / "environment.json").read_text())
    assert environment["device_count"] == 8
    assert environment["versions"]["jax"] == jax.__version__
    run = load_run(workdir)
    assert run.config == result.config
    _assert_same_state(run.state, result.state)


def test_moments_are_written_for_each_layer_with_the_matrices_of_the_head(finished):
    workdir, result = finished
    with np.load(workdir / "moments" / "head1.npz") as moments:
        assert moments["covariance"].shape == (6, 6)
        assert int(moments["views"]) == 4
    with np.load(workdir / "moments" / "head_weights.npz") as weights:
        kernel = result.state.params["head"]["layer2"]["kernel"]
        np.testing.assert_array_equal(weights["W2"], kernel.T)
    with np.load(workdir / "moments" / "input.npz") as moments:
        # The clean mean image is subtracted, noise .125 in 160 views of 9 pixels is left over.
        assert np.linalg.norm(moments["mean"]) < 5 * 0.125 * 3 / np.sqrt(160)


def test_an_interrupted_run_ends_as_an_uninterrupted_one_bit_for_bit(finished, tmp_path):
    workdir, whole = finished
    cut = _cut(workdir, tmp_path / "cut", 10)
    with (cut / "metrics.jsonl").open("a") as file:
        file.write('{"step": 22, "lo')
    resumed = _fit(cut, moments=_MOMENTS)
    _assert_same_state(whole.state, resumed.state)
    assert whole.metrics == resumed.metrics
    assert (cut / "metrics.jsonl").read_text() == (workdir / "metrics.jsonl").read_text()


def test_a_finished_run_is_not_trained_again(finished, tmp_path):
    copy = _cut(finished[0], tmp_path / "copy", 20)
    written = (copy / "checkpoints" / "20").stat().st_mtime_ns
    again = _fit(copy, moments=_MOMENTS)
    assert again.metrics == finished[1].metrics
    _assert_same_state(again.state, finished[1].state)
    assert (copy / "checkpoints" / "20").stat().st_mtime_ns == written


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_fallen_back_from_and_the_end_is_the_same(
    finished, tmp_path, capsys
):
    copy = _cut(finished[0], tmp_path / "copy", 20)
    for file in (copy / "checkpoints" / "20").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    again = _fit(copy, moments=_MOMENTS)
    assert "checkpoint 20 cannot be read" in capsys.readouterr().err
    _assert_same_state(finished[1].state, again.state)
    assert again.metrics == finished[1].metrics
    assert (copy / "damaged" / "20").is_dir()


def test_resuming_with_another_configuration_names_the_fields(finished):
    optimizer = OptimizerConfig(learning_rate=0.01, final_fraction=0.1)
    with pytest.raises(UsageError, match=r"differs in optimizer\.learning_rate, seed"):
        _fit(finished[0], optimizer=optimizer, seed=4)
    with pytest.raises(UsageError, match="differs in num_steps"):
        _fit(finished[0], num_steps=40)


def test_resuming_on_other_images_is_refused(finished):
    with pytest.raises(UsageError, match="a run on other images"):
        _fit(finished[0], dataset=_dataset(seed=2))


def test_cadence_and_devices_may_change_on_resuming(finished, tmp_path):
    cut = _cut(finished[0], tmp_path / "cut", 10)
    changes = {"log_every": 1, "checkpoint_every": 5, "devices": 2, "parallel": "pmap"}
    resumed = _fit(cut, **changes)
    wanted = [*range(2, 11, 2), *range(11, 21)]
    assert [line["step"] for line in resumed.metrics] == wanted
    kernels = [result.state.params["head"]["layer1"]["kernel"] for result in (finished[1], resumed)]
    np.testing.assert_allclose(*kernels, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_more_steps_continue_a_run_whose_learning_rate_is_constant(tmp_path):
    constant = OptimizerConfig(learning_rate=0.05, final_fraction=1.0)
    _fit(tmp_path, optimizer=constant, num_steps=10)
    longer = _fit(tmp_path, optimizer=constant, num_steps=15)
    assert [line["step"] for line in longer.metrics] == [2, 4, 6, 8, 10, 12, 14, 15]


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step(tmp_path):
    def spoil(params, gradients, outputs, state):
        state = state + 1
        return state, {"loss": jnp.where(state == 13, jnp.nan, 1.0)}

    with pytest.raises(NonFiniteMetrics, match=r"step 13 gave loss nan .* step 12: ") as error:
        fit(
            _config(),
            tmp_path,
            progress=False,
            observers=(Observer(spoil, initial_state=jnp.zeros((), jnp.int32)),),
            dataset=_dataset(),
        )
    assert "\n" not in str(error.value)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["10"]


def test_a_folder_in_use_is_refused(tmp_path):
    with hold_folder(tmp_path), pytest.raises(UsageError, match="is training in"):
        _fit(tmp_path)


def test_bad_input_leaves_no_folder_behind(tmp_path):
    with pytest.raises(UsageError, match="no layer 'head7'"):
        _fit(tmp_path / "run", moments=MomentsConfig(views=2, layers=("head7",)))
    with pytest.raises(UsageError, match="does not divide over 8 devices"):
        _fit(tmp_path / "run", batch_size=12, devices=8)
    with pytest.raises(UsageError, match="underflow"):
        _fit(tmp_path / "run", head=HeadConfig(kind="reweight", kappa=1e30))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written, .* is not a folder"):
        _fit(tmp_path / "file" / "run")


def test_a_folder_without_a_run_cannot_be_loaded(tmp_path):
    with pytest.raises(UsageError, match="give the folder of a run"):
        load_run(tmp_path)


def test_sigterm_saves_and_stops(tmp_path):
    def ask(count):
        if count == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    def stop(params, gradients, outputs, state):
        jax.debug.callback(ask, state, ordered=False)
        return state + 1, {}

    observer = Observer(stop, initial_state=jnp.zeros((), jnp.int32))
    with pytest.raises(StopRequested, match=r"stopped by SIGTERM after step \d+, saved in"):
        fit(
            _config(steps_per_call=1, num_steps=2000, checkpoint_every=2000),
            tmp_path,
            progress=False,
            observers=(observer,),
            dataset=_dataset(),
        )
    (saved,) = list_saved_steps(tmp_path)
    assert 7 <= saved < 2000
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["step"] <= saved
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def _killed_and_resumed(tmp_path, arguments):
    """Final parameters of an uninterrupted run and of one that got SIGKILL, by subprocess."""
    command = [sys.executable, "-m", "ssljax", "train", *arguments.split()]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = {"capture_output": True, "timeout": 900}
    answer = subprocess.run([*command, "--workdir", str(whole)], **options)
    assert answer.returncode == 0, answer.stderr.decode()
    process = subprocess.Popen([*command, "--workdir", str(killed)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not list_saved_steps(killed) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    answer = subprocess.run([*command, "--workdir", str(killed)], **options)
    assert answer.returncode == 0, answer.stderr.decode()
    assert b"resuming" in answer.stderr
    _assert_same_state(load_run(whole).state, load_run(killed).state)
    metrics = [(folder / "metrics.jsonl").read_text() for folder in (whole, killed)]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    _killed_and_resumed(
        tmp_path,
        "digits_mlp --num-steps=1000 --checkpoint-every=100 --evaluation.layers= --moments.views=0"
        " --encoder.widths=32,16 --head.widths=16,8",
    )


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR names no directory")
def test_a_killed_run_on_cifar10_ends_as_one_that_was_not(tmp_path):
    _killed_and_resumed(
        tmp_path,
        "simclr_cifar10_cpu --num-steps=300 --checkpoint-every=60 --batch-size=16"
        " --encoder.width=4 --evaluation.layers= --evaluation.every=0"
        " --moments.views=0 --moments.every=0",
    )
