"""`python -m theory modes`, `sweep`, `phase` and `compare`: what they write and refuse."""

import io
import json
import os

import numpy as np
import pytest
import scipy.linalg
from scipy.integrate import solve_ivp

from tests import reference
from theory.commands import main

DIM = 6
DECAY = 0.1


def _run(*arguments):
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Moments, a head that reached its prediction in three noisy copies, and its Grams."""
    folder = tmp_path_factory.mktemp("study")
    covariance, cross_covariance = reference.random_moments(np.random.default_rng(0), DIM)
    np.savez(folder / "moments.npz", covariance=covariance, cross_covariance=cross_covariance)
    arguments = ("--out", folder / "solution.npz", "--weight-decay", DECAY)
    assert _run("solve", folder / "moments.npz", *arguments) == 0
    end = np.load(folder / "solution.npz")["gram"][-1]
    for seed in range(3):
        noise = 1e-4 * np.random.default_rng(seed).normal(size=(2, DIM, DIM))
        first, second = (
            layer + part for layer, part in zip(reference.balanced_layers(end, 2), noise)
        )
        np.savez(folder / f"head{seed}.npz", W1=first, W2=second)
    product = second @ first
    np.savez(folder / "grams.npz", gram=np.stack([first.T @ first, product.T @ product]))
    start = np.random.default_rng(9).normal(size=(2, DIM, DIM))
    np.savez(folder / "start.npz", W1=start[0], W2=start[1])
    # The same function in another gauge: the layer law excludes just this.
    np.savez(folder / "gauge.npz", W1=np.diag(np.arange(1.0, 7.0)) @ first,
             W2=second / np.arange(1.0, 7.0))  # fmt: skip
    return folder


# --------------------------------------------------------------------------------------- modes


@pytest.fixture(scope="module")
def modes(folder):
    arguments = ("--weight-decay", DECAY, "--times", "0,1,40", "--init-scale", 0.8)
    out = folder / "modes.npz"
    assert _run("modes", folder / "moments.npz", "--out", out, *arguments) == 0
    return np.load(out)


def test_modes_are_those_of_the_generalized_eigenproblem(folder, modes):
    moments = np.load(folder / "moments.npz")
    values, vectors = scipy.linalg.eigh(moments["cross_covariance"], moments["covariance"])
    np.testing.assert_allclose(modes["alignment"], values[::-1], rtol=1e-12)
    scales = 1.0 / np.sum(vectors**2, axis=0)
    np.testing.assert_allclose(modes["scale"], scales[::-1], rtol=1e-10)
    assert 0.0 < modes["commutator"] < 1.0
    np.testing.assert_array_equal(np.argsort(modes["order"]), np.argsort(modes["half_time"]))


def test_modes_end_where_their_time_courses_do(modes):
    s, a, r = modes["scale"], modes["alignment"], np.full(DIM, 0.64)
    path = solve_ivp(
        lambda _, r: 8 * s * r**2 * (a - s * r**2) - 2 * DECAY * r,
        (0, 40.0), r, t_eval=modes["times"], rtol=1e-11, atol=1e-14,
    ).y  # fmt: skip
    np.testing.assert_allclose(modes["variance"], s[:, None] * path**2, rtol=1e-8, atol=1e-12)
    np.testing.assert_array_equal(modes["active"], modes["saddle_node"] >= DECAY)
    final = modes["final"]
    np.testing.assert_allclose(
        4 * s * final * (a - s * final**2), np.where(modes["active"], DECAY, 0.0), atol=1e-12
    )
    np.testing.assert_array_equal(modes["learned"], modes["variance"][:, -1] > 1e-2)


def test_a_table_names_the_first_modes(folder, capsys):
    arguments = ("--depth", 1, "--rows", 2)
    assert _run("modes", folder / "moments.npz", "--out", folder / "m.npz", *arguments) == 0
    printed = capsys.readouterr().out
    assert "half-time" in printed
    assert "and 4 more in" in printed
    assert "do not commute" in printed


# --------------------------------------------------------------------------------------- sweep


def test_sweep_repeats_what_solve_says_of_each_setting(folder):
    out = folder / "sweep.npz"
    arguments = ("--depths", "1,2", "--weight-decays", f"0,{DECAY}", "--losses", "spectral,barlow")
    assert _run("sweep", folder / "moments.npz", "--out", out, *arguments, "--modes", 4) == 0
    sweep, solution = np.load(out), np.load(folder / "solution.npz")
    assert sweep["losses"].tolist() == ["spectral", "barlow"]
    assert sweep["loss"].shape == sweep["active"].shape == (2, 2, 1, 2)
    assert sweep["layer_spectrum"].shape == (2, 2, 1, 2, 3, 4)
    cell = (0, 1, 0, 1)
    assert sweep["loss"][cell] == pytest.approx(float(solution["loss"]), abs=1e-12)
    assert sweep["active"][cell] == solution["active"]
    np.testing.assert_allclose(sweep["spectrum"][cell], solution["spectrum"][:, :4], atol=1e-12)
    layers = solution["layer_spectrum"][:, :4]
    np.testing.assert_allclose(sweep["layer_spectrum"][cell], layers, atol=1e-12)
    # A network of one layer has no second one; without decay depth changes no embedding.
    assert np.all(np.isnan(sweep["spectrum"][0, 0, 0, 0, 1]))
    one, two = sweep["layer_spectrum"][0, 0, 0, 0, 1], sweep["layer_spectrum"][0, 1, 0, 0, 2]
    np.testing.assert_allclose(one, two, atol=1e-12)
    np.testing.assert_allclose(sweep["loss"][1, :, 0, 0], -DIM, atol=1e-10)


# --------------------------------------------------------------------------------------- phase

OTHERS, NOISE = (0.3, 1.0), 0.5


def _indicators(retention, strength, depth, decay):
    """Indicator of the task in layers 0..L, from the roots of a polynomial in every feature."""
    strengths = np.array([strength, *OTHERS])
    keeps = np.array([retention, 1.0, 1.0])
    variances = strengths**2 + NOISE**2
    shared = keeps**2 * strengths**2
    weights = np.zeros((depth + 1, 3))
    weights[0] = 1.0
    for index, (v, m) in enumerate(zip(variances, shared)):
        # 4 r^{L−1} (m − v² r^L) = λ, the largest root.
        polynomial = np.zeros(2 * depth)
        polynomial[0], polynomial[depth], polynomial[-1] = -4 * v**2, 4 * m, -decay
        if decay == 0:
            polynomial = np.zeros(depth + 1)
            polynomial[0], polynomial[-1] = -(v**2), m
        roots = np.roots(polynomial)
        real = roots[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)].real
        if real.size:
            weights[1:, index] = np.max(real) ** (0.5 * np.arange(1, depth + 1))
    radius = np.sum(weights**2 * variances, axis=1)
    with np.errstate(divide="ignore"):
        return radius / (weights[:, 0] * strength) ** 2, weights[-1]


@pytest.fixture(scope="module")
def phase(folder):
    arguments = ("--retentions", "0.05,0.6,1", "--strengths", "log:0.1:3:3", "--depths", "2,3",
                 "--weight-decays", "0,0.06", "--others", "0.3,1")  # fmt: skip
    assert _run("phase", "--out", folder / "phase.json", *arguments) == 0
    with open(folder / "phase.json") as stream:
        return json.load(stream)


def test_phase_agrees_with_polynomial_roots_and_margins(phase):
    seen = set()
    for i, retention in enumerate(phase["retention"]):
        for j, strength in enumerate(phase["strength"]):
            for k, depth in enumerate(phase["depth"]):
                for m, decay in enumerate(phase["weight_decay"]):
                    expected, weights = _indicators(retention, strength, depth, decay)
                    found = phase["advantage"][i][j][k][m]
                    alive = weights[0] > 0
                    assert phase["task_active"][i][j][k][m] == alive
                    assert phase["active"][i][j][k][m] == np.sum(weights > 0)
                    assert phase["best_layer"][i][j][k][m] == np.argmin(expected)
                    if alive:
                        wanted = np.log2(expected[-1] / expected[-2])
                        assert found == pytest.approx(wanted, abs=1e-7)
                        seen.add(found > 0)
                    else:
                        assert found is None
                        seen.add(None)
    assert seen == {True, False, None}


def test_phase_shows_that_decay_takes_features_from_both_layers(phase):
    active = np.array(phase["active"])
    assert np.all(active[..., 1] <= active[..., 0])
    assert np.any(active[..., 1] < active[..., 0])


# -------------------------------------------------------------------------------------- compare


def test_compare_holds_for_three_heads_and_gives_every_metric_and_null(folder, capsys):
    heads = [folder / f"head{seed}.npz" for seed in range(3)]
    arguments = ("--weight-decay", DECAY, "--untrained", folder / "start.npz")
    out = folder / "verdict.json"
    assert _run("compare", folder / "moments.npz", *heads, "--out", out, *arguments) == 0
    found = json.loads(out.read_text())
    assert found["verdict"] == ["holds"] * 3
    assert found["final_verdict"] == "holds"
    assert found["excludes_other_depths"] == [True]
    assert found["exponent_low"][0] < 0.5 + 1e-3
    assert found["exponent_high"][0] - found["exponent_low"][0] < 0.01
    nulls = {name for name in found if name.startswith("null_")}
    names = ("rotation", "gauge", "isotropic", "untrained", "input", "post", "wrong_depth_1")
    assert nulls == {f"null_{name}" for name in (*names, "wrong_depth_3")}
    for metric in ("log_identity_r2", "affinity"):
        np.testing.assert_allclose(found[metric], 1.0, atol=1e-3)
    np.testing.assert_allclose(found["exponents"], [[0.5, 1.0]] * 3, atol=1e-3)
    assert found["measured_count"] == found["predicted_count"]
    assert np.max(found["distances"]) < 0.02
    assert np.min(found["skill"]) > 0.8
    assert "other depths are excluded" in capsys.readouterr().out


def test_grams_are_held_to_the_same_law_as_the_weights_they_come_from(folder):
    results = []
    for name in ("head2", "grams", "gauge"):
        out = folder / f"{name}_verdict.npz"
        arguments = ("--out", out, "--weight-decay", DECAY)
        assert _run("compare", folder / "moments.npz", folder / f"{name}.npz", *arguments) == 0
        results.append(np.load(out))
    weights, grams, gauge = results
    for name in ("balance", "distances", "exponents", "verdict"):
        if name == "verdict":
            assert weights[name] == grams[name] == "holds"
        else:
            np.testing.assert_allclose(grams[name], weights[name], rtol=1e-5, atol=1e-7)
    assert gauge["verdict"] == "fails"
    assert not gauge["balance_holds"]
    np.testing.assert_allclose(gauge["distances"][0, 1], weights["distances"][0, 1], atol=1e-9)
    # One head says nothing about other depths.
    assert weights["final_verdict"] == "inconclusive"


# --------------------------------------------------------------------------- careless use of all


def test_a_dash_reads_from_and_writes_to_the_shell(folder, capsys, monkeypatch):
    class Stream:
        buffer = io.BytesIO((folder / "moments.npz").read_bytes())

    monkeypatch.setattr("sys.stdin", Stream())
    assert _run("modes", "-", "--out", "-", "--depth", 1) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["alignment"]) == DIM


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("modes moments.npz --out o.npz --times 5,1", "ascending"),
        ("modes moments.npz --out o.npz --rows 0", "rows is 0"),
        ("modes moments.npz --out o.npz --init-scale -1", "init_scale is -1"),
        ("modes moments.npz --out o.npz --loss barlow", "--loss"),
        ("modes absent.npz --out o.npz", "does not exist"),
        ("modes notes.txt --out o.npz", "not an npz file"),
        ("sweep moments.npz --out o.npz --depths 2,1", "ascending"),
        ("sweep moments.npz --out o.npz --depths 2,", "wanted whole numbers"),
        ("sweep moments.npz --out o.npz --ranks 2,9", "at most the 6"),
        ("sweep moments.npz --out o.npz --losses mse", "wanted some of"),
        ("sweep moments.npz --out o.npz --losses spectral,spectral", "each once"),
        ("sweep moments.npz --out o.npz --losses spectral,vicreg", "needs invariance_weight"),
        ("sweep moments.npz --out o.npz --temperature 1", "belongs to infonce"),
        ("phase --out o.npz --retentions 0.5,1.5", "between 0 and 1"),
        ("phase --out o.npz --retentions 1:0.5:5", "ascend"),
        ("phase --out o.npz --strengths log:0:1:5", "above 0"),
        ("phase --out o.npz --strengths 1:2", "FIRST:LAST:COUNT"),
        ("phase --out o.npz --head-layers 3", "smallest depth"),
        ("phase --out o.npz --depths 0", "depth"),
        ("phase --out .", "existing folder"),
        ("compare moments.npz --out o.npz", "MEASURED"),
        ("compare moments.npz moments.npz --out o.npz", "W1, W2"),
        ("compare moments.npz wide.npz --out o.npz", "1 layers on 7 features"),
        ("compare moments.npz head0.npz wide.npz --out o.npz", "wanted 2 on the 6"),
        ("compare moments.npz head0.npz --out o.npz --untrained wide.npz", "wanted 2 on the 6"),
        ("compare moments.npz flat.npz --out o.npz", "gram in flat.npz has shape (6, 6)"),
        ("compare moments.npz odd.npz --out o.npz", "layer 2 is no Gram"),
        ("compare moments.npz head0.npz --out o.npz --seed x", "invalid int value"),
        ("compare moments.npz head0.npz --out o.npz --modes 9", "9 modes asked for"),
    ],
)
def test_careless_input_ends_in_one_line_and_code_2(
    folder, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(folder)
    np.savez("wide.npz", W1=np.eye(7))
    np.savez("flat.npz", gram=np.eye(6))
    np.savez("odd.npz", gram=np.stack([np.diag([1.0] * 5 + [0.0]), np.eye(6)]))
    with open("notes.txt", "w") as stream:
        stream.write("covariance")
    before = sorted(os.listdir())
    assert _run(*arguments.split()) == 2
    error = capsys.readouterr().err.splitlines()
    assert message in error[-1]
    assert error[-1].startswith("python -m theory")
    assert not any("Traceback" in line for line in error)
    assert sorted(os.listdir()) == before
