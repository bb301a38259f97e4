"""`python -m theory solve` and `flow`: exact results, and one line with code 2 for bad input."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests import reference
from theory.commands import main

DIM = 6
COVARIANCE, CROSS = reference.random_moments(np.random.default_rng(0), DIM)


@pytest.fixture
def moments_file(tmp_path):
    path = tmp_path / "moments.npz"
    np.savez(path, covariance=COVARIANCE, cross_covariance=CROSS)
    return path


def _run(*arguments):
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize(("depth", "rank"), [(1, 6), (3, 6), (3, 2)])
def test_solve_writes_powers_of_the_first_gram_that_end_at_the_optimum(
    moments_file, tmp_path, depth, rank
):
    out = tmp_path / "out.npz"
    assert _run("solve", moments_file, "--out", out, "--depth", depth, "--rank", rank) == 0
    result = np.load(out)
    grams = result["gram"]
    assert grams.shape == (depth, DIM, DIM)
    for layer in range(depth):
        power = np.linalg.matrix_power(grams[0], layer + 1)
        np.testing.assert_allclose(grams[layer], power, rtol=0, atol=1e-10)
        values = np.linalg.eigvalsh(grams[layer])[::-1]
        np.testing.assert_allclose(result["spectrum"][layer], values, atol=1e-10)
    expected = reference.optimum(COVARIANCE, CROSS, rank)
    np.testing.assert_allclose(grams[-1], expected, rtol=0, atol=1e-10)
    root = reference.power(COVARIANCE, 0.5)
    for layer, gram in enumerate([np.eye(DIM), *grams]):
        values = np.linalg.eigvalsh(root @ gram @ root)[::-1]
        np.testing.assert_allclose(result["layer_spectrum"][layer], values, atol=1e-10)
    inverse = reference.power(COVARIANCE, -0.5)
    alignment = np.linalg.eigvalsh(inverse @ CROSS @ inverse)[::-1]
    np.testing.assert_allclose(result["alignment"], alignment, atol=1e-12)
    assert abs(result["loss"] + np.sum(alignment[:rank] ** 2)) < 1e-10
    assert result["active"] == rank


def test_factors_replace_the_grams(moments_file, tmp_path):
    for flags, name in (([], "dense.npz"), (["--factors"], "thin.npz")):
        assert _run("solve", moments_file, "--out", tmp_path / name, "--rank", 2, *flags) == 0
    dense, thin = np.load(tmp_path / "dense.npz"), np.load(tmp_path / "thin.npz")
    assert thin["vectors"].shape == (DIM, 2)
    assert thin["values"].shape == (2, 2)
    assert "gram" not in thin
    grams = [(thin["vectors"] * row) @ thin["vectors"].T for row in thin["values"]]
    np.testing.assert_allclose(grams, dense["gram"], atol=1e-13)
    for name in ("layer_spectrum", "spectrum", "loss", "alignment"):
        np.testing.assert_allclose(thin[name], dense[name], atol=1e-13)


def test_negative_alignments_are_counted_as_zero_and_reported(tmp_path, capsys):
    moments = tmp_path / "moments.npz"
    cross = CROSS - 0.5 * COVARIANCE
    np.savez(moments, covariance=COVARIANCE, cross_covariance=cross, images=100, views=2)
    assert _run("solve", moments, "--out", tmp_path / "out.npz") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "alignments are negative, down to -0." in lines[1]
    assert "noise floor" in lines[2]
    result = np.load(tmp_path / "out.npz")
    active = np.sum(result["alignment"] > 0)
    assert 0 < active < DIM
    assert result["active"] == active
    assert np.all(result["spectrum"][:, active:] == 0)
    assert f"{active} of 6 possible modes active, loss {result['loss']:.6g}" in lines[3]
    assert [line.split()[0] for line in lines[5:8]] == ["data", "1", "2"]
    assert lines[-1].startswith("wrote ")


def test_flow_is_that_of_the_whole_network_from_any_start(moments_file, tmp_path):
    """Balanced from a scale, and unbalanced from a file, against SciPy on every weight."""
    rng = np.random.default_rng(3)
    starts = {
        "scale": [0.3 * np.eye(DIM), 0.3 * np.eye(DIM)],
        "file": [0.3 * rng.normal(size=(4, DIM)), 0.3 * rng.normal(size=(3, 4))],
    }
    np.savez(tmp_path / "init.npz", W1=starts["file"][0], W2=starts["file"][1])
    options = {"scale": ("--init-scale", 0.3), "file": ("--init", tmp_path / "init.npz")}
    times = np.array([0.0, 0.5, 4.0])
    for name, (first, second) in starts.items():
        out = tmp_path / f"{name}.npz"
        assert _run("flow", moments_file, "--out", out, "--times", "0,0.5,4", *options[name]) == 0

        def velocity(_, flat, split=first.size, shapes=(first.shape, second.shape)):
            lower, upper = flat[:split].reshape(shapes[0]), flat[split:].reshape(shapes[1])
            product = upper @ lower
            slope = 4 * product @ (COVARIANCE @ product.T @ product @ COVARIANCE - CROSS)
            return -np.concatenate([(upper.T @ slope).ravel(), (slope @ lower.T).ravel()])

        start = np.concatenate([first.ravel(), second.ravel()])
        path = solve_ivp(velocity, (0, 4), start, "DOP853", times, rtol=1e-11, atol=1e-13).y.T
        found = np.load(out)
        assert found["gram"].shape == (3, 2, DIM, DIM)
        for k, flat in enumerate(path):
            lower, upper = flat[: first.size].reshape(first.shape), flat[first.size :]
            product = upper.reshape(second.shape) @ lower
            np.testing.assert_allclose(found["gram"][k, 0], lower.T @ lower, atol=1e-7)
            gram = product.T @ product
            np.testing.assert_allclose(found["gram"][k, 1], gram, atol=1e-7)
            value = np.trace(gram @ COVARIANCE @ gram @ COVARIANCE) - 2 * np.trace(gram @ CROSS)
            assert abs(found["loss"][k] - value) < 1e-7
            values = np.linalg.eigvalsh(gram)[::-1]
            np.testing.assert_allclose(found["spectrum"][k, 1], values, atol=1e-7)


def test_flow_chooses_times_at_which_something_is_learned(moments_file, tmp_path, capsys):
    out = tmp_path / "flow.npz"
    assert _run("flow", moments_file, "--out", out) == 0
    found, printed = np.load(out), capsys.readouterr().out
    first, last = map(float, re.findall(r"between time (\S+) and (\S+),", printed)[0])
    assert found["times"][0] == 0.0
    assert found["times"][1] < first < last
    assert found["times"][-1] == np.inf
    loss = found["loss"] - found["loss"][-1]
    assert loss[1] > 0.5 * loss[0] > loss[-2] > 0.0
    assert "warning" not in printed
    assert _run("flow", moments_file, "--out", out, "--weight-decay", "1e-3") == 0
    assert np.all(np.isfinite(np.load(out)["times"]))
    assert _run("flow", moments_file, "--out", out, "--times", f"0,{first / 100}") == 0
    assert "warning: nothing is learned by time" in capsys.readouterr().out


def test_flow_warns_of_a_start_from_which_everything_decays(moments_file, tmp_path, capsys):
    out, settings = tmp_path / "out.npz", ("--weight-decay", "0.3")
    assert _run("solve", moments_file, "--out", out, *settings) == 0
    active = int(np.load(out)["active"])
    assert active
    assert _run("flow", moments_file, "--out", out, "--times", "0,inf", *settings) == 0
    assert np.max(np.load(out)["spectrum"][-1]) < 1e-12
    assert f"too small for {active} of the {active} modes" in capsys.readouterr().out
    assert _run("flow", moments_file, "--out", out, "--times", "0", "--weight-decay", "99") == 0
    assert "no mode survives weight decay 99" in capsys.readouterr().out


def test_flow_ends_where_solve_says_with_decay_and_without(moments_file, tmp_path):
    for decay in ((), ("--weight-decay", 0.05)):
        flow, end = tmp_path / "flow.npz", tmp_path / "end.npz"
        start = ("--times", "0,inf", "--init-scale", 1.5)
        assert _run("flow", moments_file, "--out", flow, *start, *decay) == 0
        assert _run("solve", moments_file, "--out", end, *decay) == 0
        found, expected = np.load(flow), np.load(end)
        np.testing.assert_allclose(found["gram"][-1], expected["gram"], atol=1e-7)
        np.testing.assert_allclose(
            found["layer_spectrum"][-1], expected["layer_spectrum"], atol=1e-7
        )
        assert abs(found["loss"][-1] - expected["loss"]) < 1e-9


@pytest.mark.parametrize("depth", [1, 2])
def test_weight_decay_leaves_a_stationary_point_with_its_penalty(moments_file, tmp_path, depth):
    out, decay = tmp_path / "out.npz", 0.1
    assert _run("solve", moments_file, "--out", out, "--depth", depth, "--weight-decay", decay) == 0
    result = np.load(out)
    first, gram = result["gram"][0], result["gram"][-1]
    # R^L H = (λ/4) R with H = M − ΣR^LΣ.
    pull = gram @ (CROSS - COVARIANCE @ gram @ COVARIANCE)
    np.testing.assert_allclose(pull, 0.25 * decay * first, atol=1e-9)
    value = np.trace(gram @ COVARIANCE @ gram @ COVARIANCE) - 2 * np.trace(gram @ CROSS)
    assert abs(result["loss"] - value - 0.5 * decay * depth * np.trace(first)) < 1e-11
    assert 0 < result["active"] <= DIM
    assert np.all(result["spectrum"][:, result["active"] :] == 0)
    assert np.all(result["spectrum"][:, : result["active"]] > 0)


def test_the_global_branch_drops_what_the_continued_one_still_holds(tmp_path):
    # The weak mode, alignment 0.4, jumps to zero at 0.390 and is the lower minimum up to 0.275.
    moments = tmp_path / "moments.npz"
    np.savez(moments, covariance=np.eye(2), cross_covariance=np.diag([0.9, 0.4]))
    results = {}
    for branch in ("continued", "global"):
        out = tmp_path / f"{branch}.npz"
        arguments = ("--weight-decay", 0.33, "--branch", branch)
        assert _run("solve", moments, "--out", out, *arguments) == 0
        results[branch] = np.load(out)
    assert results["continued"]["active"] == 2
    assert results["global"]["active"] == 1
    assert results["global"]["loss"] < results["continued"]["loss"] - 1e-3


@pytest.mark.parametrize(
    ("arguments", "scale"),
    [(("--loss", "vicreg", "--invariance-weight", 1), 1.0),
     (("--loss", "infonce", "--temperature", 0.5), 0.5)],
)  # fmt: skip
def test_other_losses_end_at_their_multiple_of_the_alignment(
    moments_file, tmp_path, arguments, scale
):
    assert _run("solve", moments_file, "--out", tmp_path / "o.npz", *arguments) == 0
    result = np.load(tmp_path / "o.npz")
    np.testing.assert_allclose(
        result["layer_spectrum"][-1], scale * result["alignment"], atol=1e-12
    )


def test_narrow_barlow_twins_are_solved_with_a_word_about_their_valley(
    moments_file, tmp_path, capsys
):
    out = tmp_path / "o.npz"
    assert _run("solve", moments_file, "--out", out, "--loss", "barlow", "--rank", 2) == 0
    assert "valley of 8 dimensions" in capsys.readouterr().out
    values, vectors = np.linalg.eigh(CROSS)
    expected = (vectors[:, -2:] / values[-2:]) @ vectors[:, -2:].T
    np.testing.assert_allclose(np.load(out)["gram"][-1], expected, atol=1e-10)


_VALID = {"covariance": np.eye(3), "cross_covariance": 0.5 * np.eye(3)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"covariance": np.ones((3, 2))}, "square"),
        ({"covariance": np.triu(np.ones((3, 3)))}, "not symmetric"),
        ({"covariance": np.diag([1.0, 1.0, -1.0])}, "positive semi-definite"),
        ({"cross_covariance": np.eye(2)}, "3 × 3"),
        ({"cross_covariance": np.diag([np.nan, 1.0, 1.0])}, "NaN"),
        ({"cross_covariance": 2.0 * np.eye(3)}, "wanted [-1, 1]"),
        ({"cross_covariance": -2.0 * np.eye(3)}, "wanted [-1, 1]"),
        ({"covariance": np.array([{}])}, "pickled"),
    ],
)
def test_impossible_moments_end_in_one_line_and_code_2(tmp_path, capsys, changes, message):
    moments, out = tmp_path / "moments.npz", tmp_path / "out.npz"
    np.savez(moments, **{**_VALID, **changes})
    assert _run("solve", moments, "--out", out) == 2
    error = capsys.readouterr().err.splitlines()
    assert message in error[-1]
    assert error[-1].startswith("python -m theory ")
    assert not any("Traceback" in line for line in error)
    assert os.listdir(tmp_path) == ["moments.npz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("solve absent.npz --out o.npz", "does not exist"),
        ("solve moments.npz", "--out"),
        ("solve moments.npz --out .", "existing folder"),
        ("solve moments.npz --out moments.npz/o.npz", "not a folder"),
        ("solve moments.npz --out o.npz --depth 0", "depth is 0, wanted"),
        ("solve moments.npz --out o.npz --rank 2.5", "invalid int value: '2.5'"),
        ("solve moments.npz --out o.npz --rank 7", "at most the 6"),
        ("solve moments.npz --out o.npz --rank 0", "rank is 0, wanted"),
        ("solve moments.npz --out o.npz --weight-decay -1", "weight_decay is -1"),
        ("solve moments.npz --out o.npz --weight-decay nan", "weight_decay is nan"),
        ("solve moments.npz --out o.npz --range-tolerance 0", "range_tolerance is 0"),
        ("solve moments.npz --out o.npz --loss mse", "invalid choice"),
        ("solve moments.npz --out o.npz --branch best", "invalid choice"),
        ("solve moments.npz --out o.npz --widht 2", "--widht"),
        ("solve moments.npz --out o.npz --loss vicreg", "needs invariance_weight"),
        ("solve moments.npz --out o.npz --temperature 1", "belongs to infonce"),
        ("solve moments.npz --out o.csv", "wanted .npz or .json"),
        ("phase --out o.txt", "wanted .npz or .json"),
        ("flow moments.npz --out o.npz --init w.npz", "--times"),
        ("flow moments.npz --out o.npz --times 0,x", "wanted numbers after commas"),
        ("flow moments.npz --out o.npz --times 1,0", "ascending"),
        ("flow moments.npz --out o.npz --times 0 --init-scale 0", "init_scale is 0"),
        ("flow moments.npz --out o.npz --times 0 --max-steps 0", "max_steps is 0"),
        ("flow moments.npz --out o.npz --times 0 --init w.npz", "features"),
        ("flow moments.npz --out o.npz --times 0 --init w.npz --depth 2", "holds 1 layers"),
        ("dance", "invalid choice"),
        ("", "required"),
    ],
)
def test_bad_arguments_end_in_one_line_and_code_2(
    moments_file, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "w.npz", W1=np.eye(4))
    before = sorted(os.listdir(tmp_path))
    assert _run(*arguments.split()) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("command", "default"),
    [
        ("solve", "(default: 2)"),
        ("flow", "(default: 0.1)"),
        ("modes", "(default: 0.1)"),
        ("sweep", "(default: spectral)"),
        ("phase", "(default: 0.02:1:50)"),
        ("compare", "(default: 0.001)"),
        ("design", "(default: pre)"),
        ("explore", "(default: 16)"),
    ],
)
def test_help_shows_defaults_and_an_example(capsys, command, default):
    assert _run(command, "--help") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert default in printed
    assert f"example: python -m theory {command} " in printed
    assert "None" not in printed


def test_the_module_runs_from_a_shell(moments_file, tmp_path):
    command = [sys.executable, "-m", "theory", "solve", str(moments_file), "--out"]
    failed = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert failed.returncode == 2
    assert len(failed.stderr.splitlines()) == 1
