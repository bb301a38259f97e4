"""Runs that start from others: weights taken part by part, and parts that do not learn."""

import dataclasses

import jax
import numpy as np
import pytest

from ssljax.augment.policies import NOISE_POLICY
from ssljax.config.config import (
    Config,
    EncoderConfig,
    EvaluationConfig,
    HeadConfig,
    OptimizerConfig,
)
from ssljax.data.datasets import Dataset
from ssljax.runs.export import export_safetensors
from ssljax.runs.fit import fit
from ssljax.runs.saved_run import load_run
from ssljax.system.errors import UsageError

CONFIG = Config(
    policy=NOISE_POLICY,
    encoder=EncoderConfig(kind="mlp", widths=(6, 5), norm="batch"),
    head=HeadConfig(kind="mlp", widths=(6, 5), norm="batch"),
    optimizer=OptimizerConfig(learning_rate=0.05, weight_decay=0.1, average_decay=0.5),
    batch_size=8,
    num_steps=4,
    steps_per_call=2,
    checkpoint_every=4,
    devices=1,
    sinks=(),
    evaluation=EvaluationConfig(layers=()),
)
IMAGES = np.random.default_rng(1).integers(0, 17, (40, 3, 3, 1)).astype(np.uint8)
DATA = Dataset(IMAGES, np.zeros(40, np.int32), 1 / 16, 1, "random")


def _fit(workdir, **changes):
    return fit(dataclasses.replace(CONFIG, **changes), workdir, progress=False, dataset=DATA)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained") / "run"
    _fit(workdir)
    return workdir


def _leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def _is_same(first, second):
    return all(map(np.array_equal, _leaves(first), _leaves(second)))


def test_a_new_head_learns_on_a_frozen_encoder_whose_statistics_stay(trained, tmp_path, capsys):
    old = load_run(trained).state
    head = HeadConfig(kind="mlp", widths=(7, 3), norm="batch")
    result = _fit(tmp_path / "run", seed=1, start_from=str(trained), freeze=("encoder",), head=head)
    assert "starting from step 4" in (said := capsys.readouterr().err)
    assert "encoder; drawn anew: head" in said
    state = result.state
    assert _is_same(state.params["encoder"], old.params["encoder"])
    assert _is_same(state.statistics["encoder"], old.statistics["encoder"])
    assert _is_same(state.average.params["encoder"], old.params["encoder"])
    assert state.params["head"]["layer1"]["kernel"].shape == (5, 7)
    assert result.metrics[-1]["gradient_norm"] > 0
    # The same run once more, from its own checkpoint: what was asked for is part of the run.
    again = _fit(tmp_path / "run", seed=1, start_from=str(trained), freeze=("encoder",), head=head)
    assert _is_same(again.state.params, state.params)
    with pytest.raises(UsageError, match="differs in freeze"):
        _fit(tmp_path / "run", seed=1, start_from=str(trained), head=head)


def test_fine_tuning_goes_on_from_all_weights_and_statistics(trained, tmp_path):
    old = load_run(trained).state
    result = _fit(
        tmp_path,
        start_from=str(trained),
        optimizer=OptimizerConfig(learning_rate=1e-30, average_decay=0.5),
    )
    assert _is_same(result.state.params, old.params)
    assert not _is_same(result.state.statistics, old.statistics)  # not frozen: they follow the data


def test_an_encoder_of_other_shapes_or_another_input_is_refused(trained, tmp_path, capsys):
    wider = EncoderConfig(kind="mlp", widths=(6, 9), norm="batch")
    with pytest.raises(UsageError, match="encoder of other shapes"):
        _fit(tmp_path / "wider", start_from=str(trained), encoder=wider)
    with pytest.raises(UsageError, match="give --mean-image none"):
        _fit(tmp_path / "mean", start_from=str(trained), mean_image="images")
    nowhere = dataclasses.replace(CONFIG, start_from=str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="give the folder of a run"):
        fit(nowhere, tmp_path / "none", progress=True, dataset=DATA)
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_from_a_file_under_torchs_names_is_a_start_too(trained, tmp_path):
    run = load_run(trained)
    path = tmp_path / "encoder.safetensors"
    export_safetensors(run, path)
    state = _fit(tmp_path / "run", seed=1, start_from=str(path), freeze=("encoder",)).state
    assert _is_same(state.params["encoder"], run.state.params["encoder"])
    assert _is_same(state.statistics["encoder"], run.state.statistics["encoder"])
