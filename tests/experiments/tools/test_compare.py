"""`compare` on heads from anywhere: a head at its optimum is explained, everything else is not."""

import json

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.tools.comparison.heads import shrink_start

DECAY = 0.05


def _problem(seed=0, images=1500, views=6, dim=8):
    """Features with known alignments."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    scale = np.geomspace(2.0, 0.2, dim)
    signal = np.sqrt(scale * np.linspace(0.95, 0.35, dim))
    noise = np.sqrt(scale - signal**2)
    shared = rng.normal(size=(images, 1, dim)) * signal
    return (shared + rng.normal(size=(images, views, dim)) * noise) @ basis.T


def _descend(features, steps=6000, rate=0.02):
    """Full-batch descent on the population loss of the features, from balanced weights."""
    count, views, dim = features.shape
    flat = features.reshape(-1, dim)
    covariance = flat.T @ flat / len(flat)
    sums = features.sum(axis=1)
    cross = (sums.T @ sums / (count * views) - covariance) / (views - 1)
    first = np.eye(dim)
    second = np.eye(dim)
    for step in range(steps):
        along = [0, 0.25, 0.5, 0.6, 0.65, 1]
        decay = DECAY * np.interp(step / steps, along, [0, 0, 1.25, 1.25, 1, 1])
        whole = second @ first
        gradient = -4 * whole @ cross + 4 * whole @ covariance @ whole.T @ whole @ covariance
        first, second = (
            first - rate * (second.T @ gradient + decay * first),
            second - rate * (gradient @ first.T + decay * second),
        )
    return first, second


@pytest.fixture(scope="module")
def trained():
    features = _problem()
    # The same views are predicted from and trained on, so that only optimization can differ.
    return {"features": features[:, :3], **dict(zip(("W1", "W2"), _descend(features[:, :3])))}


def _compare(tmp_path, *arguments, heads=1, beside=(), **arrays):
    paths = [*beside]
    for number in range(heads):
        paths.append(tmp_path / f"head{number}.npz")
        np.savez(paths[-1], **arrays)
    out = tmp_path / "out"
    code = main(["compare", *map(str, paths), "--out", str(out), *arguments])
    results = out / "results.json"
    return code, json.loads(results.read_text()) if results.exists() else None


def test_a_head_trained_by_descent_is_explained(trained, tmp_path, capsys):
    code, found = _compare(tmp_path, **trained, weight_decay=np.array(DECAY))
    assert code == 0
    (head,) = found["heads"]
    assert head["verdict"] == "explained"
    assert all(head["criteria"].values())
    assert head["predicted_count"] == head["measured_count"]
    # Descent ends at the optimum of these very moments.
    assert head["size_error"] < 1e-3
    assert min(head["rival_errors"].values()) > 0.02
    first = found["answer"][0]
    count = head["measured_count"]
    assert first.startswith(f"Theory explains this head: it predicts the sizes of {count} modes to")
    assert "where the best rival (theory without weight decay) is off by" in first
    assert first in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index(first) < page.index("What is assumed")
    assert found["assumptions"]["weight decay"].startswith("0.05")


def test_the_same_function_with_other_layers_is_not_explained(trained, tmp_path):
    gauge = np.diag(np.geomspace(0.3, 3.0, 8))
    arrays = {
        "features": trained["features"],
        "W1": gauge @ trained["W1"],
        "W2": trained["W2"] @ np.linalg.inv(gauge),
        "weight_decay": np.array(DECAY),
    }
    _, found = _compare(tmp_path, **arrays)
    (head,) = found["heads"]
    assert head["verdict"] == "not explained"
    assert not head["criteria"]["balance"]
    assert head["size_error"] < 1e-3
    answer = " ".join(found["answer"])
    assert "Theory does not explain this head: the Gram of layer 1 is" in answer
    assert "not settled. Add --settle" in answer


def test_without_its_weight_decay_the_head_is_not_explained(trained, tmp_path):
    _, found = _compare(tmp_path, "--weight-decay", "0", **trained)
    assert found["heads"][0]["verdict"] == "not explained"
    assert list(found["heads"][0]["rival_errors"]) == ["the feature's own variances"]


def test_of_another_loss_only_the_layer_law_is_tested(trained, tmp_path):
    _, found = _compare(tmp_path, "--loss", "nt_xent", **trained, weight_decay=np.array(DECAY))
    (head,) = found["heads"]
    assert head["verdict"] == "explained"
    assert "Theory does not predict where the loss nt_xent ends" in found["answer"][0]
    assert "it holds for this head" in found["answer"][0]
    assert "layer law only" in found["assumptions"]["loss"]


def test_several_seeds_are_answered_at_once(trained, tmp_path):
    _, found = _compare(tmp_path, heads=3, **trained, weight_decay=np.array(DECAY))
    assert len(found["heads"]) == 3
    assert found["answer"][0].startswith("Theory explains all 3 heads")
    assert found["answer"][1].startswith("Over 3 seeds the best rival is")


def test_different_settings_are_no_seeds(trained, tmp_path, capsys):
    np.savez(tmp_path / "other.npz", **trained, weight_decay=0.2)
    code, found = _compare(
        tmp_path, beside=[tmp_path / "other.npz"], **trained, weight_decay=np.array(DECAY)
    )
    assert (code, found) == (2, None)
    assert "different weight decays: 0.05 and 0.2" in capsys.readouterr().err


def test_biases_unknown_keys_and_a_mean_are_named(trained, tmp_path):
    shifted = {**trained, "features": trained["features"] + 5.0}
    _, found = _compare(tmp_path, **shifted, b1=np.ones(8), epoch=3, weight_decay=DECAY)
    beware = found["assumptions"]["beware"]
    assert "biases (b1)" in beware
    assert "keys that compare does not know: epoch" in beware
    assert "not centered" in " ".join(found["answer"])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"W1": np.eye(3)}, "no features"),
        ({"features": np.ones((4, 3))}, "features of shape"),
        ({"features": np.ones((4, 2, 3))}, "lacks W1"),
        ({"features": np.ones((4, 2, 3)), "W1": np.eye(3), "W3": np.eye(3)}, "lacks W2"),
        ({"features": np.ones((4, 2, 3)), "W1": np.ones((3, 5))}, "transpose"),
        ({"features": np.full((4, 2, 3), np.nan), "W1": np.eye(3)}, "not finite"),
        ({"features": np.ones((4, 2, 3)), "W1": np.eye(3), "weight_decay": -1.0}, "0 or more"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(arrays, words, tmp_path, capsys):
    code, found = _compare(tmp_path, **arrays)
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2
    assert words in message
    assert found is None
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_head_settles_from_a_start_that_is_far_too_large(tmp_path):
    features = _problem(views=8)
    rng = np.random.default_rng(1)
    weights = {name: rng.normal(size=(8, 8)) for name in ("W1", "W2")}
    _, found = _compare(
        tmp_path, "--settle", features=features, **weights, weight_decay=np.array(DECAY)
    )
    assert [head["state"] for head in found["heads"]] == ["as trained", "settled"]
    assert "settled head" in found["answer"][0]
    settled = found["heads"][1]
    assert abs(settled["predicted_count"] - settled["measured_count"]) <= 1
    assert max(settled["balance"]) < 0.05
    assert settled["size_error"] < 0.1


def test_only_a_start_that_would_diverge_is_shrunk():
    views = np.random.default_rng(0).normal(size=(500, 2, 3))
    weights = (np.eye(3), np.diag([1.0, 1.5, 0.5]))
    assert shrink_start(weights, views) is weights
    first, second = shrink_start((3 * weights[0], weights[1]), views)
    outputs = (views.reshape(-1, 3) @ first.T) @ second.T
    largest = np.linalg.eigvalsh(outputs.T @ outputs / len(outputs))[-1]
    np.testing.assert_allclose(largest, 1.0)
