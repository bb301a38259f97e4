"""Measurements while training: on their steps, once, the same after an interruption."""

import dataclasses
import json
import shutil

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
    OnlineProbeConfig,
    OptimizerConfig,
)
from ssljax.data.datasets import Dataset
from ssljax.measure.measurements import draw_subset, head_grams
from ssljax.measure.neighbors import cosine_knn
from ssljax.measure.ranks import layer_ranks
from ssljax.runs.fit import NonFiniteMetrics, fit
from ssljax.runs.metrics import read_metrics
from ssljax.runs.saved_run import load_run
from ssljax.system.errors import UsageError

CONFIG = Config(
    policy=NOISE_POLICY,
    strength=0.5,
    sampling="replacement",
    mean_image="images",
    encoder=EncoderConfig(kind="linear", widths=()),
    head=HeadConfig(widths=(6, 5), init="balanced", init_scale=0.5),
    loss=LossConfig(name="spectral"),
    optimizer=OptimizerConfig(learning_rate=0.01, final_fraction=1.0),
    batch_size=8,
    num_steps=20,
    steps_per_call=10,
    log_every=2,
    checkpoint_every=10,
    devices=1,
    moments=MomentsConfig(views=3, layers=("head1", "embedding"), every=5, every_images=0),
    evaluation=EvaluationConfig(
        layers=("embedding",), probe="sgd", every=10, every_images=0, neighbors=3
    ),
    online_probe=OnlineProbeConfig(layers=("input", "embedding"), learning_rate=0.05),
)


def _dataset(seed):
    rng = np.random.default_rng(seed)
    labels = (np.arange(40) % 2).astype(np.int32)
    # Bright left or bright right: what a probe on pixels learns at once.
    bright = np.where(labels[:, None, None], [6, 6, 15], [15, 6, 6])[..., None]
    images = np.clip(bright + rng.integers(-4, 3, (40, 3, 3, 1)), 0, 16).astype(np.uint8)
    return Dataset(images, labels, 1 / 16, 2, "bars")


TRAIN, TEST = _dataset(0), _dataset(1)


def _fit(workdir, config=CONFIG):
    return fit(config, workdir, progress=False, dataset=TRAIN, test=TEST)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("monitored") / "run"
    return workdir, _fit(workdir)


def _files(workdir):
    return {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in sorted((workdir / "moments").rglob("step_*/*.npz"))
    }


def _arrays(path):
    with np.load(path) as file:
        return dict(file)


def test_moments_are_measured_on_every_scheduled_step_from_the_start(finished):
    workdir, result = finished
    steps = sorted(path.name for path in (workdir / "moments").glob("step_*"))
    assert steps == [f"step_{step:08d}" for step in (0, 5, 10, 15, 20)]
    last = workdir / "moments" / "step_00000020"
    names = sorted(path.name for path in last.iterdir())
    assert names == ["embedding.npz", "head1.npz", "head_grams.npz", "head_weights.npz"]
    weights, grams = _arrays(last / "head_weights.npz"), _arrays(last / "head_grams.npz")["gram"]
    kernel = np.asarray(result.state.params["head"]["layer1"]["kernel"], np.float64)
    np.testing.assert_array_equal(weights["W1"], kernel.T.astype(np.float32))
    np.testing.assert_allclose(grams[0], kernel @ kernel.T, atol=1e-12)
    whole = weights["W2"].astype(np.float64) @ weights["W1"].astype(np.float64)
    np.testing.assert_allclose(grams[1], whole.T @ whole, atol=1e-12)
    # The last scheduled measurement and the one when training ends are of the same views.
    for name, array in _arrays(last / "head1.npz").items():
        np.testing.assert_array_equal(array, _arrays(workdir / "moments" / "head1.npz")[name])


def test_what_is_measured_is_the_average_of_the_weights_where_a_run_keeps_one(tmp_path):
    config = dataclasses.replace(
        CONFIG,
        optimizer=dataclasses.replace(CONFIG.optimizer, average_decay=0.5),
        evaluation=EvaluationConfig(layers=()),
        online_probe=OnlineProbeConfig(layers=()),
        num_steps=5,
    )
    state = _fit(tmp_path, config).state
    measured = _arrays(tmp_path / "moments" / "step_00000005" / "head_weights.npz")["W1"]
    kept, last = (
        np.asarray(part.params["head"]["layer1"]["kernel"]).T for part in (state.average, state)
    )
    np.testing.assert_array_equal(measured, kept)
    assert np.abs(kept - last).max() > 1e-6


def test_ranks_of_measured_layers_join_the_metrics_of_their_step_even_between_logged_ones(finished):
    lines = {line["step"]: line for line in read_metrics(finished[0])}
    assert sorted(lines) == [2, 4, 5, 6, 8, 10, 12, 14, 15, 16, 18, 20]
    for step in (5, 10, 15, 20):
        arrays = _arrays(finished[0] / "moments" / f"step_{step:08d}" / "embedding.npz")
        for name, value in layer_ranks(arrays).items():
            assert lines[step][f"rank/embedding/{name}"] == value
        assert np.isfinite(lines[step]["loss"])
    assert not any(name.startswith("rank/") for name in lines[4])


def test_neighbors_are_counted_beside_those_of_raw_pixels(finished):
    lines = [
        json.loads(line) for line in (finished[0] / "neighbors.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines] == [0, 10, 20]
    pixels = cosine_knn(
        TRAIN.images.reshape(40, -1).astype(np.float32), TRAIN.labels,
        TEST.images.reshape(40, -1).astype(np.float32), TEST.labels, neighbors=3,
    )  # fmt: skip
    assert {line["pixels"] for line in lines} == {pixels}
    assert all(0 <= line["embedding"] <= 1 for line in lines)


def test_a_run_killed_between_measurements_ends_with_the_same_ones(finished, tmp_path, monkeypatch):
    workdir, whole = finished
    cut = tmp_path / "cut"
    shutil.copytree(workdir, cut)
    shutil.rmtree(cut / "checkpoints" / "20")
    for step in (15, 20):  # step 15 was measured, killed before step 20
        shutil.rmtree(cut / "moments" / f"step_{step:08d}", ignore_errors=step == 20)
    (cut / "moments" / "step_00000015").mkdir()
    lines = (cut / "neighbors.jsonl").read_text().splitlines(keepends=True)
    stale = '{"step": 20, "pixels": 9, "embedding": 9}\n{"step": 20, "emb'
    (cut / "neighbors.jsonl").write_text("".join(lines[:2]) + stale)
    with monkeypatch.context() as patch:
        # Parameters that a step spoiled are not saved: the checkpoint before stays the newest.
        patch.setattr("ssljax.runs.metrics._all_finite", lambda params: jnp.zeros((), bool))
        with pytest.raises(NonFiniteMetrics, match=r"step 20 left .* is that of step 10 in"):
            _fit(cut)
    resumed = _fit(cut)
    assert _files(cut) == _files(workdir)
    assert (cut / "neighbors.jsonl").read_text() == (workdir / "neighbors.jsonl").read_text()
    kernels = [run.state.params["head"]["layer1"]["kernel"] for run in (whole, resumed)]
    np.testing.assert_array_equal(*kernels)


def test_an_evaluation_is_not_made_twice(finished, tmp_path, monkeypatch):
    copy = shutil.copytree(finished[0], tmp_path / "copy")
    monkeypatch.setattr(
        "ssljax.measure.measurements.measure_accuracies", lambda *given, **options: 1 / 0
    )
    assert _fit(copy).evaluation == finished[1].evaluation


def test_measuring_leaves_the_training_as_it_was(finished, tmp_path):
    plain = dataclasses.replace(
        CONFIG,
        moments=MomentsConfig(),
        evaluation=EvaluationConfig(layers=()),
        online_probe=OnlineProbeConfig(),
        steps_per_call=5,
    )
    result = _fit(tmp_path / "plain", plain)
    for one, other in zip(
        jax.tree.leaves(result.state.params), jax.tree.leaves(finished[1].state.params)
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_the_online_probe_learns_and_a_run_with_one_is_read_back(finished):
    workdir, result = finished
    accuracies = [line["online_probe/input"] for line in result.metrics]
    assert result.metrics[0]["online_probe/input"] <= accuracies[-1]
    assert accuracies[-1] > 0.9
    run = load_run(workdir)
    np.testing.assert_array_equal(
        run.state.params["head"]["layer2"]["kernel"],
        result.state.params["head"]["layer2"]["kernel"],
    )


def test_other_online_probes_are_another_run(finished):
    other = dataclasses.replace(CONFIG, online_probe=OnlineProbeConfig())
    with pytest.raises(UsageError, match=r"differs in online_probe\.layers"):
        _fit(finished[0], other)


def test_a_part_of_the_images_is_the_same_each_time_and_has_no_order_of_its_own():
    rows = np.arange(40, dtype=np.int32)
    numbered = dataclasses.replace(TRAIN, labels=rows, images=TRAIN.images)
    first, second = draw_subset(numbered, 10), draw_subset(numbered, 10)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.images, TRAIN.images[first.labels])
    assert len(set(first.labels.tolist())) == 10
    assert first.labels.max() >= 20  # not just the first ones, which may be of one class
    assert draw_subset(numbered, 0) is numbered
    assert draw_subset(numbered, 99) is numbered


def test_grams_of_a_head_are_those_of_the_products():
    rng = np.random.default_rng(0)
    weights = {f"W{i}": rng.normal(size=(4 - i, 5 - i)).astype(np.float32) for i in (1, 2, 3)}
    grams = head_grams(weights)
    assert grams.shape == (3, 4, 4)
    whole = weights["W3"].astype(float) @ weights["W2"] @ weights["W1"]
    np.testing.assert_allclose(grams[2], whole.T @ whole, atol=1e-12)


def test_a_run_that_diverges_names_the_checkpoint_to_go_back_to(tmp_path):
    wild = dataclasses.replace(
        CONFIG,
        optimizer=OptimizerConfig(learning_rate=1e4, warmup_steps=16, final_fraction=1.0),
        moments=MomentsConfig(),
        evaluation=EvaluationConfig(layers=()),
        online_probe=OnlineProbeConfig(),
        checkpoint_every=1,
        keep_checkpoints=2,
        steps_per_call=1,
    )
    with pytest.raises(
        NonFiniteMetrics, match=r"the newest checkpoint is that of step \d+"
    ) as error:
        _fit(tmp_path, wild)
    assert "last finite metrics, step" in str(error.value)
    run = load_run(tmp_path)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(run.state.params))
    assert f"step {int(run.state.step)}" in str(error.value)


def test_evaluation_states_the_images_that_it_used(finished, tmp_path):
    def counts(workdir):
        found = json.loads((workdir / "evaluation.json").read_text())["protocol"]
        names = [
            f"{part}_images{end}" for part in ("training", "test") for end in ("", "_available")
        ]
        return [found[name] for name in names]

    assert counts(finished[0]) == [40, 40, 40, 40]
    evaluation = dataclasses.replace(CONFIG.evaluation, images=25, every=0)
    fewer = dataclasses.replace(CONFIG, evaluation=evaluation, moments=MomentsConfig())
    _fit(tmp_path / "fewer", fewer)
    assert counts(tmp_path / "fewer") == [25, 40, 25, 40]
