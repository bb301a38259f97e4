"""`compare` on heads from anywhere: a head at its optimum passes, everything else does not."""

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.results import read_results

DECAY = 0.05


def _problem(seed=0, images=1500, views=6, dim=8):
    """Features with known alignments, and the balanced head of depth 2 at its optimum."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    scale = np.geomspace(2.0, 0.2, dim)
    signal = np.sqrt(scale * np.linspace(0.95, 0.35, dim))
    noise = np.sqrt(scale - signal**2)
    shared = rng.normal(size=(images, 1, dim)) * signal
    features = (shared + rng.normal(size=(images, views, dim)) * noise) @ basis.T
    return features


def _descended(features, steps=6000, rate=0.02):
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
    return features, *_descended(features)


def _compared(tmp_path, *arguments, **arrays):
    path = tmp_path / "head.npz"
    np.savez(path, **arrays)
    out = tmp_path / "out"
    code = main(["compare", str(path), "--out", str(out), *arguments])
    return code, out


@pytest.mark.slow
def test_a_head_trained_by_descent_meets_its_prediction(trained, tmp_path):
    features, first, second = trained
    # The same views are predicted from and trained on, so that only optimization can differ.
    code, out = _compared(
        tmp_path, features=features[:, :3], W1=first, W2=second, weight_decay=np.array(DECAY)
    )
    assert code == 0
    rows = read_results(out / "results.json").rows
    by_claim = {row.claim: row for row in rows}
    assert all(row.verdict == "holds" for row in rows if row.id == 15), by_claim
    count = next(row for row in rows if "number of active" in row.claim)
    assert abs(count.predicted - count.measured) <= 1


def test_the_same_function_with_other_layers_fails_the_law(trained, tmp_path):
    features, first, second = trained
    gauge = np.diag(np.geomspace(0.3, 3.0, 8))
    _, out = _compared(
        tmp_path,
        features=features,
        W1=gauge @ first,
        W2=second @ np.linalg.inv(gauge),
        weight_decay=np.array(DECAY),
    )
    rows = read_results(out / "results.json").rows
    law = [row for row in rows if row.id == 15]
    assert any(row.verdict == "fails" for row in law)
    size = next(row for row in rows if "size of the active" in row.claim)
    assert size.error < 0.02


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"W1": np.eye(3)}, "no features"),
        ({"features": np.ones((4, 3))}, "features of shape"),
        ({"features": np.ones((4, 2, 3))}, "lacks W1"),
        ({"features": np.ones((4, 2, 3)), "W1": np.eye(3), "W3": np.eye(3)}, "lacks W2"),
        ({"features": np.ones((4, 2, 3)), "W1": np.ones((3, 5))}, "transpose"),
        ({"features": np.full((4, 2, 3), np.nan), "W1": np.eye(3)}, "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(arrays, words, tmp_path, capsys):
    code, out = _compared(tmp_path, **arrays)
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2
    assert words in message
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "nowhere.npz"], "nowhere.npz"),
        (["compare", "nowhere.npz", "--views", "1"], "at least 2"),
        (["compare", "nowhere.npz", "--weight-decay", "-1"], ">= 0"),
        (["quickstrat"], "quickstart"),
        (["quickstart", "--scale", "huge"], "smoke"),
        ([], "NAME"),
    ],
)
def test_a_careless_command_gets_one_line_and_code_two(arguments, words, capsys):
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert words in lines[-1]
    assert "Traceback" not in "\n".join(lines)
