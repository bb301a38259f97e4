"""The runner: resumes, keeps order, keeps what worked, refuses what would mislead."""

import dataclasses
import shutil
import subprocess

import numpy as np
import pytest

from experiments.core import provenance, runner
from experiments.core.measurements import Measurement, Run, read_table
from experiments.core.runner import (
    Job,
    Measured,
    NetworksFailedError,
    order_jobs,
    refuse_modified,
    run_jobs,
)
from experiments.errors import InputError

CALLS = []


def measure(network, seed, tier):
    CALLS.append((network, seed))
    row = Measurement(network, seed, "gap", 0.01 * (seed + 1))
    return Measured(
        Run(network, seed, tier, steps=3), (row,), {f"{network}/{seed}/curve": np.ones(2)}
    )


def fail_once(network, seed, tier):
    if (network, seed) == ("b", 1):
        raise RuntimeError("no memory")
    return measure(network, seed, tier)


def jobs(*networks, seeds=(0, 1), tier="laptop", after=()):
    wanted = {
        (n, s): Job(n, s, tier, f"digest-{n}", "7:aa", after if n == "frozen" else ())
        for n in networks
        for s in seeds
    }
    return order_jobs(wanted)


@pytest.fixture(autouse=True)
def _fresh():
    CALLS.clear()


def test_only_what_is_missing_is_run(tmp_path):
    table = run_jobs(jobs("b", "a"), tmp_path, measure)
    assert CALLS == [("b", 0), ("a", 0), ("b", 1), ("a", 1)]
    assert len(table.rows) == 4
    run = table.runs["a", 1]
    assert (run.tier, run.config, run.rules, run.steps) == ("laptop", "digest-a", "7:aa", 3)
    assert run.date
    assert "numpy=" in run.versions
    assert read_table(tmp_path).rows == table.rows
    CALLS.clear()
    run_jobs(jobs("b", "a", "c"), tmp_path, measure)
    assert CALLS == [("c", 0), ("c", 1)]
    CALLS.clear()
    changed = [dataclasses.replace(job, config="other") for job in jobs("a")]
    run_jobs(changed, tmp_path, measure)
    assert CALLS == [("a", 0), ("a", 1)]


def test_a_run_goes_on_from_tables_without_parts(tmp_path):
    run_jobs(jobs("b", "a"), tmp_path, measure)
    files = ("measurements.csv", "runs.csv", "curves.npz")
    before = [(tmp_path / name).read_bytes() for name in files]
    shutil.rmtree(tmp_path / "networks")
    CALLS.clear()
    run_jobs(jobs("b", "a"), tmp_path, measure)
    assert CALLS == []
    assert [(tmp_path / name).read_bytes() for name in files] == before
    shutil.rmtree(tmp_path / "networks")
    table = run_jobs(jobs("b", "c"), tmp_path, measure)
    assert CALLS == [("c", 0), ("c", 1)]
    assert sorted(table.curves) == [f"{n}/{s}/curve" for n in "abc" for s in (0, 1)]


def test_changed_results_leave_a_checkout_clean_and_changed_code_does_not(tmp_path):
    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True)

    code, results = tmp_path / "code.py", tmp_path / provenance.COMMITTED / "laptop"
    results.mkdir(parents=True)
    for path in (code, results / "runs.csv"):
        path.write_text("1")
    git("init")
    git("add", "--all")
    git("commit", "--message", "all")
    (results / "runs.csv").write_text("2")
    commit, dirty = provenance.read_checkout(code)
    assert len(commit) == 40
    assert not dirty
    code.write_text("2")
    assert provenance.read_checkout(code) == (commit, True)


def test_each_network_is_kept_before_the_next_begins(tmp_path):
    def looking(network, seed, tier):
        if network == "b":
            assert (tmp_path / "networks" / f"a-{seed}" / "runs.csv").is_file()
        return measure(network, seed, tier)

    run_jobs(jobs("a", "b"), tmp_path, looking)


def test_networks_come_after_those_they_need(tmp_path):
    run_jobs(jobs("frozen", "base", after=("base",)), tmp_path, measure)
    assert CALLS.index(("base", 1)) < CALLS.index(("frozen", 1))


def test_one_failure_loses_one_network(tmp_path):
    with pytest.raises(NetworksFailedError, match=r"1 of 4 networks failed.*b, seed 1.*no memory"):
        run_jobs(jobs("b", "a"), tmp_path, fail_once)
    assert sorted(read_table(tmp_path).runs) == [("a", 0), ("a", 1), ("b", 0)]
    CALLS.clear()
    run_jobs(jobs("b", "a"), tmp_path, measure)
    assert CALLS == [("b", 1)]


def test_what_needs_a_failed_network_is_not_run(tmp_path):
    wanted = [Job("b", 1, "laptop", ""), Job("frozen", 1, "laptop", "", after=("b",))]
    with pytest.raises(NetworksFailedError, match="a network that it needs failed"):
        run_jobs(wanted, tmp_path, fail_once)


def test_tiers_are_not_mixed(tmp_path):
    run_jobs(jobs("a"), tmp_path, measure)
    with pytest.raises(InputError, match="of the tier laptop, not paper"):
        run_jobs(jobs("a", tier="paper"), tmp_path, measure)


def test_processes_side_by_side_give_the_same_table(tmp_path):
    wanted = jobs("a", "frozen", after=("a",))
    alone = run_jobs(wanted, tmp_path / "alone", measure)
    together = run_jobs(wanted, tmp_path / "together", measure, workers=2)
    assert together.rows == alone.rows


def test_a_modified_checkout_writes_no_committed_results(tmp_path, monkeypatch):
    folder = tmp_path / "experiments" / "results" / "laptop"
    refuse_modified(folder, False)
    refuse_modified(tmp_path / "runs", True)
    monkeypatch.setattr(runner, "read_checkout", lambda: ("c0ffee", True))
    with pytest.raises(InputError, match="commit first"):
        run_jobs(jobs("a"), folder, measure)
    assert not folder.exists()


def test_a_file_outside_a_checkout_has_no_commit(tmp_path):
    path = tmp_path / "file.py"
    path.write_text("")
    assert provenance.read_checkout(path) == ("", False)
