import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from ssljax.augment.policies import Policy
from ssljax.config.config import Config, EncoderConfig, EvaluationConfig, HeadConfig, LossConfig
from ssljax.data.datasets import Dataset
from ssljax.data.sources import Damaged, ImageSource, wrap_dataset
from ssljax.runs.fit import fit
from ssljax.runs.metrics import read_metrics
from ssljax.system.errors import UsageError
from ssljax.training.training import make_training

CONFIG = Config(
    policy=Policy(flip=0.5, noise=0.1),
    strength=0.5,
    encoder=EncoderConfig(kind="linear", widths=()),
    head=HeadConfig(widths=(6, 5), init="balanced", init_scale=0.5),
    loss=LossConfig(name="spectral"),
    batch_size=8,
    num_steps=12,
    steps_per_call=1,
    log_every=2,
    checkpoint_every=6,
    devices=1,
    evaluation=EvaluationConfig(layers=()),
    reader_threads=2,
)
IMAGES = np.random.default_rng(1).integers(0, 17, (43, 3, 3, 1)).astype(np.uint8)
DATA = Dataset(IMAGES, np.arange(43, dtype=np.int32) % 2, 1 / 16, 2, "random")


def final_params(workdir, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    result = fit(config, workdir, progress=False, dataset=DATA)
    return jax.device_get(result.state.params), result.metrics


def assert_same(first, second, **tolerance):
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(one, other, **(tolerance or {"rtol": 0}))


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("streamed") / "run"
    return final_params(workdir, stream="always"), workdir


def test_a_streamed_run_is_the_resident_run(streamed, tmp_path):
    (params, metrics), workdir = streamed
    resident, resident_metrics = final_params(tmp_path / "run")
    assert_same(params, resident)
    assert [line["step"] for line in metrics] == [line["step"] for line in resident_metrics]
    losses = [[line["loss"] for line in run] for run in (metrics, resident_metrics)]
    np.testing.assert_array_equal(*losses)
    found = json.loads((workdir / "input.json").read_text())
    assert found["kind"] == "streamed"
    assert found["images_per_second"] > 0
    assert 0 <= found["waited_fraction"] <= 1
    assert json.loads((tmp_path / "run" / "input.json").read_text())["kind"] == "resident"


def test_a_streamed_run_resumes_bit_for_bit(streamed, tmp_path):
    (params, metrics), _ = streamed
    workdir = tmp_path / "run"

    class Killed(Exception):
        pass

    def read(indices):
        read.left -= len(indices)
        if read.left < 0:
            raise Killed
        return wrap_dataset(DATA).read(indices)

    read.left = 10 * 8  # it dies some steps after the checkpoint of step 6
    dying = dataclasses.replace(wrap_dataset(DATA), read=read)
    with pytest.raises(Killed):
        _fit_on(dying, workdir)
    resumed, resumed_metrics = final_params(workdir, stream="always")
    assert_same(params, resumed)
    assert metrics == resumed_metrics


def _fit_on(source: ImageSource, workdir, **changes):
    """`fit`, with the images read from this source instead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ssljax.training.build.wrap_dataset", lambda dataset: source)
        return final_params(workdir, stream="always", **changes)


def _scratched(indices):
    return [
        Damaged(f"record {index}", "cut short") if index == 11 else example
        for index, example in zip(indices, wrap_dataset(DATA).read(indices))
    ]


def test_a_damaged_image_stops_a_streamed_run_which_resumes_when_told_to_skip_it(tmp_path):
    source = dataclasses.replace(wrap_dataset(DATA), read=_scratched)
    with pytest.raises(UsageError, match=r"record 11 .*--on-damaged skip"):
        _fit_on(source, tmp_path / "run")
    _, metrics = _fit_on(source, tmp_path / "run", on_damaged="skip")
    assert metrics[-1]["step"] == 12
    assert json.loads((tmp_path / "run" / "input.json").read_text())["damaged"] == ["record 11"]


@pytest.mark.parametrize("mode", ["jit", pytest.param("pmap", marks=pytest.mark.slow)])
def test_eight_devices_take_the_streamed_steps_of_one(streamed, tmp_path, mode):
    params, _ = final_params(tmp_path / "run", stream="always", devices=8, parallel=mode)
    # A gradient is a sum over the batch in another order: rounding.
    assert_same(params, streamed[0][0], rtol=2e-5, atol=1e-6)


def test_what_cannot_be_streamed_is_refused():
    source = wrap_dataset(DATA)
    replacement = dataclasses.replace(CONFIG, sampling="replacement")
    with pytest.raises(UsageError, match="sampling 'replacement' needs the data in memory"):
        make_training(replacement, DATA, source=source)
    training = make_training(CONFIG, DATA, source=source)
    with pytest.raises(UsageError, match="random is streamed"):
        training.run(training.init(0), 0.5, 1)
    too_large = dataclasses.replace(CONFIG, batch_size=48)
    with pytest.raises(UsageError, match="exceeds the 43 images"):
        make_training(too_large, DATA, source=source)


@pytest.mark.slow
def test_two_processes_stream_their_rows_of_the_batches_of_one(tmp_path):
    options = (
        "digits_mlp --num-steps 8 --checkpoint-every 8 --stream always --sampling epoch"
        " --steps-per-call 1 --moments.views 0 --encoder.widths 16 --head.widths 8"
        " --evaluation.layers= --log-every 1 --optimizer.warmup-steps 2 --workdir"
    ).split()
    program = [sys.executable, "-m", "ssljax"]
    launch = [*program, "launch", "--processes", "2", "--devices-per-process", "2", "--"]
    for name, start in (("one", program), ("two", launch)):
        command = [*start, "train", *options, str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    runs = [read_metrics(tmp_path / name) for name in ("one", "two")]
    losses = [[line["loss"] for line in run] for run in runs]
    np.testing.assert_allclose(*losses, rtol=1e-5)
