"""The speed benchmark: its arithmetic, its file, its processes, and what it refuses."""

import json
import math
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.errors import InputError
from experiments.speed import run as speed_run
from experiments.speed.benchmarks import BENCHMARKS, PEERS, Benchmark, Peer, chosen
from experiments.speed.contest import (
    Contender,
    Missing,
    agree,
    calls_a_turn,
    costs_in_turn,
    thread_settings,
)
from experiments.speed.rows import SpeedRow, compared, read_speed, write_speed
from experiments.speed.table import ratio_text, speed_lines, wanted_text

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"what", "ours", "peer", "peer_version", "unit", "ratio", "low", "high", "wanted"}
NAMES = {
    "modes",
    "layer_spectra",
    "factor_flow",
    "nt_xent_512",
    "nt_xent_65536",
    "augment_256",
    "resnet_w16_step",
    "resnet18_step",
    "deep_linear_steps",
    "step_overhead",
    "epoch_gpu",
}


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A module of tasks that are as fast as they say."""
    (tmp_path / "fake_tasks.py").write_text(
        "from experiments.speed.task import Task\n"
        "def ours():\n"
        "    print('a library that talks')\n"
        "    return Task(lambda: 0.002, units=2.0, check=1.0)\n"
        "def peer():\n    return Task(lambda: 0.006, units=2.0, check=1.00001)\n"
        "def other():\n    return Task(lambda: 0.006, check=2.0)\n"
        "def broken():\n    raise ValueError('no such thing')\n"
        "def absent():\n    import a_package_nobody_has\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return "fake_tasks"


def _benchmark(tasks, *peers, target=None):
    found = tuple(Peer(name, "numpy", f"{tasks}:{name}", 2.0) for name in peers)
    return Benchmark("fake", "fakes", f"{tasks}:ours", peers=found, target=target)


def test_every_promised_row_has_a_benchmark_and_a_task_file():
    assert {one.what for one in BENCHMARKS} == NAMES
    for one in BENCHMARKS:
        for task in (one.task, *(peer.task for peer in one.peers)):
            module, function = task.split(":")
            text = (ROOT / f"{module.replace('.', '/')}.py").read_text()
            assert f"def {function}(" in text
        assert one.peers or one.target is not None


def test_a_ratio_is_taken_round_by_round_and_never_of_two_medians():
    # A round in which the machine was busy slows both: its ratio is as good as any.
    assert compared([1.0, 10.0, 1.0], [2.0, 20.0, 2.0]) == (2.0, 2.0, 2.0)
    median, low, high = compared([1.0, 2.0, 4.0], [3.0, 3.0, 3.0])
    assert (low, median, high) == (0.75, 1.5, 3.0)


@pytest.mark.parametrize(
    ("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [math.nan])]
)
def test_costs_that_say_nothing_are_refused(ours, theirs):
    with pytest.raises(InputError, match="measure"):
        compared(ours, theirs)


def test_two_processes_take_turns_and_their_costs_are_a_unit(tasks):
    ours, peer, absent, broken = costs_in_turn(
        [f"{tasks}:{name}" for name in ("ours", "peer", "absent", "broken")], 1, 3, "wall"
    )
    assert ours == [0.001] * 3
    assert peer == [0.003] * 3
    assert absent == Missing("No module named 'a_package_nobody_has'")
    assert isinstance(broken, Missing)
    assert "no such thing" in broken.reason


def test_tasks_that_compute_different_things_are_not_compared(tasks):
    agree([1.0, None, 1.00005], ["a", "b", "c"])
    with pytest.raises(InputError, match="compute different things"):
        costs_in_turn([f"{tasks}:ours", f"{tasks}:other"], 1, 1, "wall")


def test_a_row_for_each_peer_and_a_line_for_each_that_is_missing(tasks):
    rows, notes = speed_run.measured(_benchmark(tasks, "peer", "absent"), 2, "wall")
    (row,) = rows
    assert (row.ours, row.peer, row.unit) == (1.0, "peer", "ms")
    assert row.ratio == pytest.approx(3.0)
    assert row.reached is True
    (note,) = notes
    assert "absent" in note
    assert "pip install -e '.[bench]'" in note


def test_without_a_peer_the_ratio_is_target_over_reached(tasks):
    ((row,), _) = speed_run.measured(_benchmark(tasks, target=0.5), 1, "wall")
    assert row.peer is None
    assert row.ratio == pytest.approx(0.5)
    assert row.reached is False
    ((row,), _) = speed_run.measured(_benchmark(tasks, "absent"), 1, "wall")
    assert (row.peer, row.ratio) == (None, None)


def test_the_run_writes_the_file_as_designed_and_a_figure(tasks, tmp_path, monkeypatch, capsys):
    one = _benchmark(tasks, "peer", target=2.0)
    monkeypatch.setattr(speed_run, "chosen", lambda only: ((one, one._replace(gpu=True)), True))
    monkeypatch.setattr(speed_run, "scale_rows", lambda: [])
    assert main(["speed", "--out", str(tmp_path / "out"), "--rounds", "2"]) == 0
    content = json.loads((tmp_path / "out" / "speed.json").read_text())
    assert set(content) == {"environment", "rows"}
    assert [set(row) for row in content["rows"]] == [KEYS, KEYS]
    assert content["environment"]["rounds"] == 2
    assert {"device", "jax", "torch"} <= set(content["environment"])
    rows = read_speed(tmp_path / "out" / "speed.json")
    assert [row.wanted for row in rows] == [2.0, 1.0]
    assert (tmp_path / "out" / "speed.png").stat().st_size > 5_000
    shown = capsys.readouterr()
    assert "peer" in shown.out
    assert "needs a GPU" in shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "modes,spede"], "'spede'; wanted some of theory, losses"),
        (["--only", ","], "names nothing"),
        (["--rounds", "0"], "--rounds 0 given"),
        (["--clock", "sun"], "invalid choice"),
        (["--out", "/proc/nowhere"], "cannot write in the folder"),
    ],
)
def test_careless_input_is_one_line_and_exit_code_two(arguments, words, capsys):
    assert main(["speed", *arguments]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_names_and_groups_are_both_chosen():
    found, scale = chosen("losses, step_overhead,scale")
    assert [one.what for one in found] == ["nt_xent_512", "nt_xent_65536", "step_overhead"]
    assert scale
    assert chosen(None) == (BENCHMARKS, True)


def test_a_turn_lasts_a_third_of_a_second_or_one_call():
    def one(seconds, measured=False):
        return Contender(None, seconds, measured, lambda calls: {})

    assert calls_a_turn(one(0.01)) == 30
    assert calls_a_turn(one(10.0)) == 1
    assert calls_a_turn(one(0.0)) == 300
    assert calls_a_turn(one(0.01, measured=True)) == 1


def test_threads_are_pinned_for_all_libraries():
    assert "intra_op_parallelism_threads=1" in thread_settings(1)["XLA_FLAGS"]
    assert "XLA_FLAGS" not in thread_settings(2)
    assert thread_settings(2)["OMP_NUM_THREADS"] == "2"


def test_what_is_not_a_number_never_reaches_the_file(tmp_path):
    row = SpeedRow("a", "", math.nan, None, None, "s", None, None, None)
    with pytest.raises(ValueError, match="JSON"):
        write_speed(tmp_path / "speed.json", {}, [row])
    assert not (tmp_path / "speed.json").exists()
    assert ratio_text(row) == wanted_text(row) == "–"


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "speed.json").write_text('{"rows": [{"whatever": 1}]}')
    with pytest.raises(InputError, match=r"is no speed\.json"):
        read_speed(tmp_path / "speed.json")


def test_only_peer_files_import_peers():
    folder = ROOT / "experiments" / "speed"
    for name in ("theory", "loss", "augmentation", "training", "gpu"):
        text = (folder / f"{name}_tasks.py").read_text()
        assert "torch" not in text
        assert PEERS not in text


@pytest.mark.parametrize("name", ["speed", "scale"])
def test_the_documentation_shows_the_measured_speeds(name):
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "speed.md").read_text()
    for line in speed_lines(read_speed(root / "experiments/results" / name / "speed.json")):
        if "on paper" not in line:  # the file has them all
            assert line in page
