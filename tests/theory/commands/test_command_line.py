"""`python -m theory`: what it writes is what the equations say; bad input is one line and 2."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests import reference
from theory.commands import main


@pytest.fixture
def moments_file(tmp_path):
    covariance, cross_covariance = reference.random_moments(np.random.default_rng(0), 6)
    path = tmp_path / "moments.npz"
    np.savez(path, covariance=covariance, cross_covariance=cross_covariance)
    return path


def _run(*arguments):
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize("rank", [5, 50])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_solve_writes_powers_of_the_first_gram_that_end_at_the_optimum(tmp_path, depth, rank):
    covariance, cross_covariance = reference.random_moments(np.random.default_rng(1), 50)
    moments, out = tmp_path / "moments.npz", tmp_path / "out.npz"
    np.savez(moments, covariance=covariance, cross_covariance=cross_covariance)
    assert _run("solve", moments, "--out", out, "--depth", depth, "--rank", rank) == 0
    result = np.load(out)
    grams = result["gram"]
    assert grams.shape == (depth, 50, 50)
    for layer in range(depth):
        power = np.linalg.matrix_power(grams[0], layer + 1)
        np.testing.assert_allclose(grams[layer], power, rtol=0, atol=1e-10)
        values = np.linalg.eigvalsh(grams[layer])[::-1]
        np.testing.assert_allclose(result["spectrum"][layer], values, atol=1e-10)
    expected = reference.optimum(covariance, cross_covariance, rank)
    np.testing.assert_allclose(grams[-1], expected, rtol=0, atol=1e-10)
    root = reference.power(covariance, 0.5)
    for layer, gram in enumerate([np.eye(50), *grams]):
        values = np.linalg.eigvalsh(root @ gram @ root)[::-1]
        np.testing.assert_allclose(result["layer_spectrum"][layer], values, atol=1e-10)
    inverse = reference.power(covariance, -0.5)
    alignment = np.linalg.eigvalsh(inverse @ cross_covariance @ inverse)[::-1]
    np.testing.assert_allclose(result["alignment"], alignment, atol=1e-12)
    assert abs(result["loss"] + np.sum(alignment[:rank] ** 2)) < 1e-10
    assert result["active"] == rank


def test_factors_replace_the_grams(moments_file, tmp_path):
    for flags, name in (([], "dense.npz"), (["--factors"], "thin.npz")):
        assert _run("solve", moments_file, "--out", tmp_path / name, "--rank", 2, *flags) == 0
    dense, thin = np.load(tmp_path / "dense.npz"), np.load(tmp_path / "thin.npz")
    assert thin["vectors"].shape == (6, 2)
    assert thin["values"].shape == (2, 2)
    assert "gram" not in thin
    grams = [(thin["vectors"] * row) @ thin["vectors"].T for row in thin["values"]]
    np.testing.assert_allclose(grams, dense["gram"], atol=1e-13)
    np.testing.assert_allclose(thin["layer_spectrum"], dense["layer_spectrum"])


def test_negative_alignments_are_counted_as_zero_and_reported(tmp_path, capsys):
    covariance, cross_covariance = reference.random_moments(np.random.default_rng(2), 6)
    moments = tmp_path / "moments.npz"
    np.savez(
        moments,
        covariance=covariance,
        cross_covariance=cross_covariance - 0.5 * covariance,
        images=100,
        views=2,
    )
    assert _run("solve", moments, "--out", tmp_path / "out.npz") == 0
    printed = capsys.readouterr().out
    assert "alignments are negative, down to -0.4" in printed
    assert "noise floor" in printed
    result = np.load(tmp_path / "out.npz")
    assert result["active"] == np.sum(result["alignment"] > 0) == 3
    assert np.all(result["spectrum"][:, 3:] == 0)


def test_the_table_names_active_modes_loss_and_ranks(moments_file, tmp_path, capsys):
    assert _run("solve", moments_file, "--out", tmp_path / "out.npz", "--rank", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "3 of 3 possible modes active, loss -1.883" in lines[1]
    assert [line.split()[0] for line in lines[3:6]] == ["data", "1", "2"]
    assert lines[-1].startswith("wrote ")


def test_flow_starts_at_the_given_scale_and_ends_at_the_optimum(moments_file, tmp_path):
    out = tmp_path / "flow.npz"
    times = "0,1,2000"
    assert _run("flow", moments_file, "--out", out, "--times", times, "--init-scale", 0.3) == 0
    assert _run("solve", moments_file, "--out", tmp_path / "end.npz") == 0
    flow, end = np.load(out), np.load(tmp_path / "end.npz")
    assert flow["gram"].shape == (3, 2, 6, 6)
    assert flow["spectrum"].shape == (3, 2, 6)
    assert flow["layer_spectrum"].shape == (3, 3, 6)
    np.testing.assert_allclose(flow["gram"][0, 0], 0.09 * np.eye(6), atol=1e-15)
    np.testing.assert_allclose(flow["gram"][0, 1], 0.0081 * np.eye(6), atol=1e-15)
    np.testing.assert_allclose(flow["gram"][-1], end["gram"], atol=1e-6)
    assert np.all(np.diff(flow["loss"]) < 0)
    assert abs(flow["loss"][-1] - end["loss"]) < 1e-9


@pytest.mark.slow
def test_flow_from_a_file_follows_balanced_and_unbalanced_layers(moments_file, tmp_path):
    identity = 0.3 * np.eye(6)
    start = {"balanced": (identity, identity), "unbalanced": (identity, 2.0 * identity)}
    results = {}
    for name, (first, second) in start.items():
        np.savez(tmp_path / f"{name}.npz", W1=first, W2=second)
        out = tmp_path / f"{name}_out.npz"
        arguments = ("--times", "0,0.5,1", "--init", tmp_path / f"{name}.npz")
        assert _run("flow", moments_file, "--out", out, *arguments) == 0
        results[name] = np.load(out)
    assert _run("flow", moments_file, "--out", tmp_path / "f.npz", "--times", "0,0.5,1",
                "--init-scale", 0.3) == 0  # fmt: skip
    np.testing.assert_allclose(results["balanced"]["gram"], np.load(tmp_path / "f.npz")["gram"])
    covariance, cross_covariance = (np.load(moments_file)[key] for key in
                                    ("covariance", "cross_covariance"))  # fmt: skip
    weights = [w.copy() for w in start["unbalanced"]]
    rate = 1e-4
    for _ in range(10_000):
        product = weights[1] @ weights[0]
        slope = 4 * product @ (covariance @ product.T @ product @ covariance - cross_covariance)
        weights = [
            weights[0] - rate * weights[1].T @ slope,
            weights[1] - rate * slope @ weights[0].T,
        ]
    product = weights[1] @ weights[0]
    grams = results["unbalanced"]["gram"][-1]
    np.testing.assert_allclose(grams[0], weights[0].T @ weights[0], atol=1e-3)
    np.testing.assert_allclose(grams[1], product.T @ product, atol=1e-3)


@pytest.mark.parametrize("depth", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_weight_decay_leaves_a_stationary_point_with_its_penalty(moments_file, tmp_path, depth):
    out, decay = tmp_path / "out.npz", 0.1
    assert _run("solve", moments_file, "--out", out, "--depth", depth, "--weight-decay", decay) == 0
    result, moments = np.load(out), np.load(moments_file)
    covariance, cross_covariance = moments["covariance"], moments["cross_covariance"]
    first, gram = result["gram"][0], result["gram"][-1]
    # R^L H = (λ/4) R with H = M − ΣR^LΣ.
    pull = gram @ (cross_covariance - covariance @ gram @ covariance)
    np.testing.assert_allclose(pull, 0.25 * decay * first, atol=1e-9)
    value = -2 * np.trace(gram @ cross_covariance)
    value += np.trace(gram @ covariance @ gram @ covariance)
    assert abs(result["loss"] - value - 0.5 * decay * depth * np.trace(first)) < 1e-11
    assert 0 < result["active"] <= 6
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


@pytest.mark.slow
def test_flow_under_weight_decay_ends_on_the_continued_branch(moments_file, tmp_path):
    decay = ("--weight-decay", 0.05)
    start = ("--times", "0,500", "--init-scale", 1.5)
    assert _run("flow", moments_file, "--out", tmp_path / "flow.npz", *start, *decay) == 0
    assert _run("solve", moments_file, "--out", tmp_path / "end.npz", *decay) == 0
    flow, end = np.load(tmp_path / "flow.npz"), np.load(tmp_path / "end.npz")
    np.testing.assert_allclose(flow["gram"][-1], end["gram"], atol=1e-7)
    assert abs(flow["loss"][-1] - end["loss"]) < 1e-9


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
    values, vectors = np.linalg.eigh(np.load(moments_file)["cross_covariance"])
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
    for command in (["solve"], ["flow", "--times", "0,1"]):
        assert _run(*command, moments, "--out", out) == 2
        error = capsys.readouterr().err.splitlines()
        assert message in error[-1]
        assert error[-1].startswith("python -m theory ")
        assert not any("Traceback" in line for line in error)
    assert os.listdir(tmp_path) == ["moments.npz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["solve", "absent.npz", "--out", "o.npz"], "does not exist"),
        (["solve", "moments.npz"], "--out"),
        (["solve", "moments.npz", "--out", "."], "existing folder"),
        (["solve", "moments.npz", "--out", "moments.npz/o.npz"], "not a folder"),
        (["solve", "moments.npz", "--out", "o.npz", "--depth", "0"], "at least 1"),
        (["solve", "moments.npz", "--out", "o.npz", "--rank", "2.5"], "whole number"),
        (["solve", "moments.npz", "--out", "o.npz", "--rank", "7"], "at most the 6"),
        (["solve", "moments.npz", "--out", "o.npz", "--weight-decay", "-1"], "at least 0"),
        (["solve", "moments.npz", "--out", "o.npz", "--loss", "mse"], "invalid choice"),
        (["solve", "moments.npz", "--out", "o.npz", "--branch", "best"], "invalid choice"),
        (["solve", "moments.npz", "--out", "o.npz", "--widht", "2"], "--widht"),
        (["solve", "moments.npz", "--out", "o.npz", "--loss", "vicreg"], "--invariance-weight"),
        (["solve", "moments.npz", "--out", "o.npz", "--temperature", "1"], "belongs to infonce"),
        (["flow", "moments.npz", "--out", "o.npz"], "--times"),
        (["flow", "moments.npz", "--out", "o.npz", "--times", "0,x"], "finite number"),
        (["flow", "moments.npz", "--out", "o.npz", "--times", "1,0"], "ascending"),
        (["flow", "moments.npz", "--out", "o.npz", "--times", "0", "--init-scale", "0"], "above 0"),
        (["flow", "moments.npz", "--out", "o.npz", "--times", "0", "--init", "w.npz"], "features"),
        (
            ["flow", "moments.npz", "--out", "o.npz", "--times", "0", "--init", "w.npz",
             "--depth", "2"],
            "holds 1 layers",
        ),
        (["dance"], "invalid choice"),
        ([], "required"),
    ],
)  # fmt: skip
def test_bad_arguments_end_in_one_line_and_code_2(
    moments_file, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "w.npz", W1=np.eye(4))
    before = sorted(os.listdir(tmp_path))
    assert _run(*arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert sorted(os.listdir(tmp_path)) == before


def test_help_shows_defaults_and_an_example(capsys):
    for command, default in (("solve", "(default: 2)"), ("flow", "(default: 0.1)")):
        assert _run(command, "--help") == 0
        printed = capsys.readouterr().out
        assert default in printed
        assert f"python -m theory {command} moments.npz" in printed
        assert "None" not in printed


def test_the_module_runs_from_a_shell(moments_file, tmp_path):
    command = [sys.executable, "-m", "theory", "solve", str(moments_file), "--out"]
    done = subprocess.run([*command, tmp_path / "o.npz"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    failed = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert failed.returncode == 2
    assert len(failed.stderr.splitlines()) == 1
