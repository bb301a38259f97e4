"""A day of training in little: memory stays flat, nothing is compiled twice."""

import gc
import itertools
import os
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from ssljax.augment.policies import NOISE_POLICY
from ssljax.config.config import (
    Config,
    EncoderConfig,
    EvaluationConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
)
from ssljax.data.datasets import Dataset
from ssljax.runs import fit as run
from ssljax.runs.fit import fit
from ssljax.training.observers import Observer

_STEPS = 100_000
_CALL = 100


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_a_day_of_steps_leaves_memory_flat_and_compiles_once(tmp_path, monkeypatch):
    moments, arrays, traces = [], [], []
    real = run.Checkpoints.save

    def save(self, *arguments, **options):
        gc.collect()
        moments.append(_resident_megabytes())
        arrays.append(len(jax.live_arrays()))
        return real(self, *arguments, **options)

    def look(params, gradients, outputs, state):
        traces.append(1)
        return state, {}

    monkeypatch.setattr(run.Checkpoints, "save", save)
    seconds = itertools.count(step=86_400 / (_STEPS / _CALL) / 10)  # asked some ten times a call
    monkeypatch.setattr(time, "monotonic", lambda: float(next(seconds)))
    config = Config(
        policy=NOISE_POLICY,
        sampling="replacement",
        encoder=EncoderConfig(kind="linear", widths=()),
        head=HeadConfig(kind="linear", widths=(3, 2)),
        loss=LossConfig(name="spectral"),
        optimizer=OptimizerConfig(learning_rate=0.001, final_fraction=1.0),
        batch_size=4,
        num_steps=_STEPS,
        steps_per_call=_CALL,
        log_every=500,
        checkpoint_every=5_000,
        devices=1,
        evaluation=EvaluationConfig(layers=()),
    )
    images = np.random.default_rng(0).integers(0, 255, (16, 2, 2, 1)).astype(np.uint8)
    dataset = Dataset(images, np.zeros(16, np.int32), 1 / 255, 1, "random")
    result = fit(
        config,
        tmp_path,
        progress=False,
        observers=(Observer(look),),
        dataset=dataset,
        watchdog_seconds=0,
    )
    assert result.metrics[-1]["step"] == _STEPS
    assert len(result.metrics) == _STEPS // 500
    assert len(traces) == 1
    assert len(moments) == 20
    assert max(arrays[2:]) == min(arrays[2:])
    # The first saves start Orbax's threads and buffers; what follows must not grow with the steps.
    assert np.median(moments[-5:]) - np.median(moments[4:9]) < 8
