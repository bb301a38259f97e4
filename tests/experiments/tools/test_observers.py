"""Theory's quantities in the step: what is logged is what the definitions give."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.errors import InputError
from experiments.networks.observers import make_noise_observer
from experiments.tools.observers import (
    defect_observer,
    observers_of,
    rank_observer,
)
from experiments.tools.train import run_train
from ssljax.augment.policies import NOISE_POLICY
from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from ssljax.data.datasets import Dataset
from ssljax.training.training import make_training

VIEWS = np.random.default_rng(0).normal(size=(12, 2, 5)) * np.geomspace(1, 0.1, 5) + 4.0
CONFIG = Config(
    policy=NOISE_POLICY,
    strength=0.5,
    sampling="replacement",
    mean_image="images",
    encoder=EncoderConfig(kind="linear", widths=()),
    head=HeadConfig(widths=(6, 5, 4), init="gaussian", init_scale=0.7),
    loss=LossConfig(name="spectral"),
    optimizer=OptimizerConfig(
        learning_rate=0.03, final_fraction=0.2, momentum=0.0, head_weight_decay=0.1
    ),
    batch_size=8,
    num_steps=40,
    devices=1,
)
IMAGES = np.random.default_rng(1).integers(0, 17, (40, 3, 3, 1)).astype(np.uint8)
DATA = Dataset(IMAGES, np.zeros(40, np.int32), 1 / 16, 1, "random")


def _observed(observer, calls=1):
    outputs = {"feature": jnp.asarray(VIEWS, jnp.float32)}
    state, scalars = observer.initial_state, {}
    for _ in range(calls):
        state, scalars = observer.observe(None, None, outputs, state)
        outputs = {"feature": 2.0 * outputs["feature"] ** 2}  # another spectrum
    return float(next(iter(scalars.values())))


def _rank(views):
    flat = views.reshape(-1, views.shape[-1])
    values = np.linalg.eigvalsh(np.cov(flat.T))
    shares = values / values.sum()
    return np.exp(-np.sum(shares * np.log(shares)))


def test_the_rank_is_that_of_the_centered_views_and_kept_between_its_steps():
    np.testing.assert_allclose(_observed(rank_observer("feature")), _rank(VIEWS), rtol=1e-4)
    again = 2.0 * VIEWS**2
    np.testing.assert_allclose(_observed(rank_observer("feature"), 2), _rank(again), rtol=1e-3)
    kept = _observed(rank_observer("feature", 5), 2)
    np.testing.assert_allclose(kept, _rank(VIEWS), rtol=1e-4)


def test_few_views_of_many_dimensions_have_the_same_rank_either_way():
    wide = np.random.default_rng(2).normal(size=(4, 2, 20))
    observer = rank_observer("feature")
    outputs = {"feature": jnp.asarray(wide, jnp.float32)}
    _, scalars = observer.observe(None, None, outputs, observer.initial_state)
    flat = wide.reshape(8, 20)
    values = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False)[:7] ** 2
    shares = values / values.sum()
    wanted = np.exp(-np.sum(shares * np.log(shares)))
    np.testing.assert_allclose(float(scalars["effective_rank/feature"]), wanted, rtol=1e-4)


def test_the_defect_is_the_share_of_variance_within_pairs():
    centered = VIEWS - VIEWS.mean(axis=(0, 1))
    within = np.mean(np.sum((centered[:, 0] - centered[:, 1]) ** 2, axis=-1)) / 2
    total = np.mean(np.sum(centered**2, axis=-1))
    np.testing.assert_allclose(_observed(defect_observer("feature")), within / total, rtol=1e-4)


def _trained(config, names):
    observers = observers_of(config, names, ("embedding",), 10)
    training = make_training(config, DATA, observers=observers)
    state, metrics = training.run(training.init(0), 0.5, config.num_steps)
    return state, {name: np.asarray(values) for name, values in metrics.items()}


def test_the_ledger_holds_to_rounding_under_plain_descent():
    state, metrics = _trained(CONFIG, ("ranks", "defects", "ledger"))
    weights = [np.asarray(state.params["head"][f"layer{i}"]["kernel"], float).T for i in (1, 2, 3)]
    assert metrics["ledger_error/1"].shape == (40,)
    for pair in (1, 2):
        assert metrics[f"ledger_error/{pair}"][0] == 0
        assert metrics[f"ledger_error/{pair}"].max() < 1e-5
        # It is not held up by nothing moving: the imbalance itself does.
        balance = metrics[f"balance/{pair}"]
        assert abs(balance[-1] - balance[0]) > 1e-3
        # Nor by the decay alone: without the gradients the account is wrong.
        assert metrics[f"decay_error/{pair}"].max() > 1e-4
    lower, upper = weights[:2]
    last = upper.T @ upper - lower @ lower.T
    scale = np.linalg.norm(upper.T @ upper) + np.linalg.norm(lower @ lower.T)
    np.testing.assert_allclose(np.linalg.norm(last) / scale, metrics["balance/1"][-1], rtol=0.05)
    assert np.unique(metrics["effective_rank/embedding"]).size == 4  # every tenth of 40 steps


def test_window_sums_make_the_account_of_the_whole_run():
    constant = dataclasses.replace(CONFIG.optimizer, final_fraction=1.0)
    config = dataclasses.replace(
        CONFIG, head=HeadConfig(widths=(6, 4), init="gaussian"), optimizer=constant
    )
    observer = make_noise_observer(config)
    training = make_training(config, DATA, observers=(observer,))
    start = training.init(0)
    first = [np.asarray(start.params["head"][f"layer{i}"]["kernel"], float).T for i in (1, 2)]
    state, _ = training.run(start, 0.5, config.num_steps)
    last = [np.asarray(state.params["head"][f"layer{i}"]["kernel"], float).T for i in (1, 2)]
    seen = state.observer_states[0]
    assert np.asarray(seen["counts"]).tolist() == [4] * 10
    total, upper, lower = (
        np.asarray(seen[name], float).sum(axis=0) for name in ("imbalance", "upper", "lower")
    )
    kept = (1 - 0.03 * 0.1) ** 2
    ends = [w[1].T @ w[1] - w[0] @ w[0].T for w in (first, last)]
    # D_T - D_0 = sum of (kept - 1) D_k + rate^2 (upper - lower), summed over the steps.
    moved = (kept - 1) * total + 0.03**2 * (upper - lower)
    np.testing.assert_allclose(moved, ends[1] - ends[0], atol=1e-5)


@pytest.mark.slow
def test_momentum_breaks_the_ledger():
    heavy = dataclasses.replace(CONFIG.optimizer, momentum=0.9, learning_rate=0.01)
    _, broken = _trained(dataclasses.replace(CONFIG, optimizer=heavy), ("ledger",))
    assert broken["ledger_error/1"].max() > 1e-3


def test_what_the_law_does_not_cover_is_refused():
    adam = dataclasses.replace(CONFIG, optimizer=OptimizerConfig(name="adamw"))
    with pytest.raises(InputError, match="under adamw"):
        observers_of(adam, ("ledger",), (), 1)
    with pytest.raises(InputError, match="nothing called 'rank'"):
        observers_of(CONFIG, ("rank",), (), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("digits_smoke --observe-every 0", "at least 1"),
        ("digits_mlp --observe ledger", "a mlp head of 2 under adamw"),
        ("digits_smoke --observe-every ten", "invalid int"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        run_train(arguments.split())
    assert list(tmp_path.iterdir()) == []


def test_mistakes_in_the_options_of_training_are_ssljaxs(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run_train(["digits_smoek"]) == 2
    assert "did you mean digits_smoke" in capsys.readouterr().err
    assert run_train(["digits_smoke", "--observe-layers", "head9"]) == 2
    assert "no layer 'head9'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
