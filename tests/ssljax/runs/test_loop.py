"""The training loop: how long calls are, when metrics are read, what is recorded beside them."""

import dataclasses
import json

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
)
from ssljax.data.datasets import Dataset
from ssljax.runs.fit import fit
from ssljax.runs.metrics import MetricsReport
from ssljax.system.interruption import Watchdog
from ssljax.system.profiler import Profiler
from ssljax.system.progress import TrainingProgress
from ssljax.training.compiled import Training
from ssljax.training.training import make_training

CONFIG = Config(
    policy=NOISE_POLICY,
    encoder=EncoderConfig(kind="linear", widths=()),
    head=HeadConfig(widths=(6, 5), init="balanced", init_scale=0.5),
    loss=LossConfig(name="spectral"),
    batch_size=8,
    num_steps=20,
    steps_per_call=10,
    log_every=10,
    checkpoint_every=20,
    devices=1,
    sinks=(),
    evaluation=EvaluationConfig(layers=()),
)
IMAGES = np.random.default_rng(1).integers(0, 17, (40, 3, 3, 1)).astype(np.uint8)
DATA = Dataset(IMAGES, np.zeros(40, np.int32), 1 / 16, 1, "random")


def _fit(workdir, options=None, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    return fit(config, workdir, progress=False, dataset=DATA, **(options or {}))


def test_an_odd_schedule_shortens_calls_no_more_than_it_must(tmp_path, monkeypatch):
    lengths, programs = [], set()
    step = Training.step

    def watched(self, state, strength, num_steps=1, **options):
        lengths.append(num_steps)
        answer = step(self, state, strength, num_steps, **options)
        programs.update(self._programs)
        return answer

    monkeypatch.setattr(Training, "step", watched)
    moments = MomentsConfig(views=2, layers=("head1",), every=7, every_images=8)
    odd = _fit(tmp_path / "odd", moments=moments)
    assert lengths == [7, 7, 6]
    assert programs == {("scan", 7), ("loop", 7)}
    measured = sorted(path.name for path in (tmp_path / "odd" / "moments").glob("step_*"))
    assert measured == [f"step_{step:08d}" for step in (0, 7, 14)]
    plain = _fit(tmp_path / "plain")
    logged = [line for line in odd.metrics if line["step"] not in (7, 14)]  # those have ranks
    assert logged == plain.metrics
    for one, other in zip(jax.tree.leaves(odd.state.params), jax.tree.leaves(plain.state.params)):
        np.testing.assert_array_equal(one, other)


class _Metric:
    """A number on its way from the device."""

    def __init__(self, value, is_ready):
        self._value, self._is_ready, self.is_read = value, is_ready, False

    def is_ready(self):
        return self._is_ready

    def __array__(self, dtype=None, copy=None):
        self.is_read = True
        return np.asarray([self._value], dtype)


def test_metrics_are_read_when_they_are_there_and_never_those_of_the_newest_call():
    finished = []
    bar = TrainingProgress(9, 1, 0, enabled=False)
    report = MetricsReport(None, [], bar, 1, np.ones(9), finished=finished.append)
    added = []
    for step, is_ready in enumerate((True, False, False, False, True, True)):
        added.append(_Metric(float(step), is_ready))
        report.add(step, {"loss": added[-1], "gradient_norm": np.ones(1)})
    # The first was there; three calls ahead the host waits for the second and the third; no more.
    assert finished == [1, 2, 3]
    assert [metric.is_read for metric in added] == [True, True, True, False, False, False]
    report.flush()
    assert finished == [1, 2, 3, 4, 5, 6]


def test_a_save_is_no_silence_for_the_watchdog(tmp_path, monkeypatch):
    dogs, paused = [], []

    class Watched(Watchdog):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            dogs.append(self)

    monkeypatch.setattr("ssljax.runs.fit.Watchdog", Watched)
    monkeypatch.setattr(
        "ssljax.runs.fit.Checkpoints.save",
        lambda *arguments, **options: paused.append(dogs[0]._pauses),
    )
    _fit(tmp_path)
    assert paused == [1]


def test_sinks_are_given_the_numbers_of_every_line(tmp_path):
    told = []
    _fit(tmp_path, {"sinks": (lambda step, values: told.append((step, values["loss"])),)})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert told == [(line["step"], line["loss"]) for line in lines]
    assert [step for step, _ in told] == [10, 20]


def test_a_profile_of_some_steps_is_left_in_the_folder(tmp_path, capsys):
    _fit(tmp_path, {"profile_steps": 3}, steps_per_call=1, num_steps=8)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert "profile in" in capsys.readouterr().err


def test_a_run_too_short_for_a_profile_says_so(tmp_path, capsys):
    with Profiler(tmp_path / "profile", 3) as profiler:
        profiler.advance(10, lambda: None)
        profiler.advance(10, lambda: None, is_last=True)
    assert not (tmp_path / "profile").exists()
    assert "no profile: no step was taken after the first two calls" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["default", "highest"])
def test_products_of_the_step_have_the_precision_asked_for_and_the_run_says_so(tmp_path, asked):
    perceptron = {"encoder": EncoderConfig(kind="mlp"), "head": HeadConfig(kind="mlp")}
    config = dataclasses.replace(CONFIG, matmul_precision=asked, **perceptron)
    training = make_training(config, DATA)
    shapes = jax.eval_shape(training.make_state, 0)
    text = str(jax.make_jaxpr(training._take_step)(shapes, training._data, jnp.ones(())))
    products = text.split("dot_general[")[1:]
    highest = ["HIGHEST" in product.split("]\n")[0].split(" let ")[0][:400] for product in products]
    assert len(products) > 6
    assert all(highest) == (asked == "highest")
    if asked == "highest":
        _fit(tmp_path, matmul_precision=asked)
        environment = json.loads((tmp_path / "environment.json").read_text())
        assert environment["matmul_precision"] == "highest"
