"""Sweeps: their plan, resuming, runs side by side, and the table at the end."""

import csv
import json

import numpy as np
import pytest

from ssljax.cli.main import main
from ssljax.config.config import Config
from ssljax.runs.checkpoint import list_saved_steps
from ssljax.runs.metrics import read_metrics
from ssljax.runs.sweep import write_plan
from ssljax.runs.sweep_plan import parse_axis, parse_seeds, sweep_cells
from ssljax.system.errors import UsageError


def test_cells_are_every_combination_seeds_fastest():
    axes = [
        parse_axis(Config(), "strength=0.2,0.5"),
        parse_axis(Config(), "head.widths=64,32/128,64"),
    ]
    cells = sweep_cells(Config(), axes, (0, 7))
    assert len(cells) == 8
    assert cells[0].name == "strength=0.2,head.widths=64-32,seed=0"
    assert cells[1].config.seed == 7
    assert cells[2].config.head.widths == (128, 64)
    assert cells[-1].config.strength == 0.5
    assert len({cell.name for cell in cells}) == 8


def test_without_a_grid_the_seeds_remain():
    assert [cell.name for cell in sweep_cells(Config(), [], (3, 1))] == ["seed=3", "seed=1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strength", "has no value"),
        ("strength=", "has no value"),
        ("strenght=1", "no field strenght; did you mean strength"),
        ("strength=a", "wanted a number, got 'a'"),
        ("seed=0,1", "write --seeds 0,1,2"),
        ("head.kind=tree", "invalid choice: 'tree'"),
        ("policy=none", "'none' is none of"),
    ],
)
def test_an_axis_that_cannot_be_read_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_axis(Config(), text)


@pytest.mark.parametrize("text", ["", "a", "-1", "0,0", "1.5"])
def test_seeds_that_cannot_be_read_are_refused(text):
    with pytest.raises(UsageError, match="--seeds"):
        parse_seeds(text)


def test_combinations_that_cannot_be_are_refused_before_anything_runs():
    axis = parse_axis(Config(), "batch_size=8,1")
    with pytest.raises(UsageError, match="batch-size must be at least 2"):
        sweep_cells(Config(), [axis], (0,))
    with pytest.raises(UsageError, match="names a field twice"):
        sweep_cells(Config(), [axis, axis], (0,))
    with pytest.raises(UsageError, match="a value comes twice"):
        sweep_cells(Config(), [parse_axis(Config(), "strength=1,1")], (0,))


def test_folder_names_are_short_and_stay_in_the_folder():
    axes = [parse_axis(Config(), f"data=../../{'x' * 300}/..,digits")]
    names = [cell.name for cell in sweep_cells(Config(), axes, (0,))]
    assert all("/" not in name and not name.startswith(".") for name in names)
    assert max(map(len, names)) <= 200


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "images.npz"
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (48, 3, 3, 1)).astype(np.uint8)
    labels = (np.arange(48) % 3).astype(np.int32)
    np.savez(path, images=pixels, labels=labels, test_images=pixels[:12], test_labels=labels[:12])
    return path


def _arguments(images, workdir, *more):
    fixed = {
        "data": f"arrays:{images}",
        "policy": "noise",
        "batch_size": 16,
        "num_steps": 6,
        "log_every": 2,
        "encoder.widths": "8,4",
        "head.widths": "4,4",
        "moments.views": 0,
        "evaluation.layers": "feature",
        "optimizer.warmup_steps": 2,
    }
    settings = [part for name, value in fixed.items() for part in ("--set", f"{name}={value}")]
    grid = ["--grid", "strength=0.2,0.5", "--seeds", "0,1"]
    return ["sweep", "digits_mlp", *settings, *grid, "--workdir", str(workdir), *more]


@pytest.mark.slow
def test_a_sweep_goes_on_where_it_stopped_and_ends_with_one_table(images, tmp_path, capsys):
    workdir = tmp_path / "sweep"
    assert main(_arguments(images, workdir, "--dry-run")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert not workdir.exists()
    assert main(_arguments(images, workdir, "--index", "1")) == 0
    capsys.readouterr()
    done = workdir / "strength=0.2,seed=1"
    assert list_saved_steps(done) == (6,)
    written = (done / "checkpoints" / "6").stat().st_mtime_ns
    assert main(_arguments(images, workdir)) == 0
    captured = capsys.readouterr()
    assert "1 of 4 runs are finished already" in captured.err
    assert "3 runs side by side" in captured.err
    assert (done / "checkpoints" / "6").stat().st_mtime_ns == written
    lines = captured.out.splitlines()
    assert lines[0].split()[:3] == ["strength", "finished", "loss"]
    assert lines[1].split()[:2] == ["0.2", "2/2"]
    rows = list(csv.DictReader((workdir / "sweep.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["finished"] * 4
    assert all(0 <= float(row["feature probe_accuracy"]) <= 1 for row in rows)
    assert len({row["loss"] for row in rows}) == 4
    results = json.loads((workdir / "sweep.json").read_text())["results"]
    assert results[3]["values"] == {"strength": "0.5"}
    assert "<svg" in (workdir / "report.html").read_text()


@pytest.mark.slow
def test_runs_side_by_side_are_the_runs_on_their_own(images, tmp_path, capsys):
    for name, option in (("together", []), ("alone", ["--one-by-one"])):
        assert main(_arguments(images, tmp_path / name, *option)) == 0
    capsys.readouterr()
    for folder in ("strength=0.2,seed=1", "strength=0.5,seed=0"):
        first, second = (read_metrics(tmp_path / name / folder) for name in ("together", "alone"))
        assert [line["step"] for line in first] == [2, 4, 6]
        for one, two in zip(first, second, strict=True):
            assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)


def test_another_sweep_in_the_same_folder_is_refused(images, tmp_path, capsys):
    cells = sweep_cells(Config(), [], (0, 1))
    write_plan(tmp_path, "digits_mlp", Config(), cells)
    write_plan(tmp_path, "digits_mlp", Config(), cells)
    with pytest.raises(UsageError, match="holds another sweep, with other settings: give"):
        write_plan(tmp_path, "digits_mlp", Config(batch_size=8), cells)
    with pytest.raises(UsageError, match="with other runs"):
        write_plan(tmp_path, "digits_mlp", Config(), cells[:1])
    assert main(_arguments(images, tmp_path / "other", "--index", "4")) == 2
    assert "there are 4 runs" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_sweep_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"sweep folder .* cannot be written"):
        write_plan(tmp_path / "file" / "sweep", "digits_mlp", Config(), [])
