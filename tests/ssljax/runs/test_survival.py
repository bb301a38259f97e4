"""What happens to a run when processes, disks and clocks misbehave: nothing saved is lost."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ssljax.runs.checkpoint import list_saved_steps

pytestmark = pytest.mark.slow

_STEPS = 4000
_OPTIONS = (
    f"digits_mlp --num-steps={_STEPS} --checkpoint-every=50 --steps-per-call=10 --moments.views=2"
    " --moments.layers=feature --encoder.widths=32,16 --head.widths=16,8 --log-every=20"
    " --evaluation.layers=feature"
).split()


def _command(workdir: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "ssljax", "train", *_OPTIONS, "--workdir", str(workdir), *more]


def _run(command: list[str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)


def _weights(workdir: Path) -> dict[str, np.ndarray]:
    out = workdir / "weights.npz"
    answer = _run([sys.executable, "-m", "ssljax", "export", str(workdir), "--out", str(out)])
    assert answer.returncode == 0, answer.stderr
    with np.load(out, allow_pickle=False) as arrays:
        return dict(arrays)


def _assert_same_files(first: Path, second: Path) -> None:
    with np.load(first, allow_pickle=False) as one, np.load(second, allow_pickle=False) as two:
        assert set(one) == set(two)
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])


def _during_a_save(workdir: Path, chance: random.Random) -> bool:
    del chance
    return any((workdir / "checkpoints").glob("*.orbax-checkpoint-tmp*"))


def _before_the_manifest(workdir: Path, chance: random.Random) -> bool:
    del chance
    steps = list_saved_steps(workdir)
    return bool(steps) and not (workdir / "checkpoints" / str(steps[-1]) / "manifest.json").exists()


def _in_a_step(workdir: Path, chance: random.Random) -> bool:
    time.sleep(chance.uniform(0, 0.3))
    return True


def _wait_until_training(workdir: Path, process: subprocess.Popen[str], since: float) -> None:
    metrics = workdir / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and metrics.stat().st_mtime > since and metrics.stat().st_size:
            return
        time.sleep(0.005)


def test_twenty_five_kills_leave_what_an_undisturbed_run_leaves(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert _run(_command(whole)).returncode == 0
    chance = random.Random(5)
    moments = itertools.cycle((_in_a_step, _during_a_save, _before_the_manifest, _in_a_step))
    for number in range(22):
        since = time.time()
        process = subprocess.Popen(_command(killed), stderr=subprocess.PIPE, text=True)
        _wait_until_training(killed, process, since)
        is_time = next(moments)
        deadline = time.monotonic() + 20
        while not is_time(killed, chance) and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
        _, error = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"kill {number} came too late: {error}"
    for number in range(3):  # while it measures
        process = subprocess.Popen(_command(killed), stderr=subprocess.PIPE, text=True)
        while process.poll() is None and _STEPS not in list_saved_steps(killed):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.5) if number < 2 else 0)
        process.kill()
        process.communicate()
    answer = _run(_command(killed))
    assert answer.returncode == 0, answer.stderr
    text = (killed / "metrics.jsonl").read_text()
    assert text == (whole / "metrics.jsonl").read_text()
    steps = [json.loads(line)["step"] for line in text.splitlines()]
    assert steps == list(range(20, _STEPS + 1, 20))
    first, second = _weights(whole), _weights(killed)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    _assert_same_files(whole / "moments" / "feature.npz", killed / "moments" / "feature.npz")
    one, two = ((folder / "evaluation.json").read_text() for folder in (whole, killed))
    assert one == two


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_in_one_line_and_what_was_saved_goes_on_elsewhere(small_disk, tmp_path):
    workdir = small_disk / "run"
    ballast = small_disk / "ballast"
    process = subprocess.Popen(
        _command(workdir, "--keep-checkpoints=2"), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(list_saved_steps(workdir)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 14))
                file.flush()
        except OSError:
            pass
    filled = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert time.monotonic() - filled < 60
    assert process.returncode == 74, error
    assert "Traceback" not in error
    last = error.strip().splitlines()[-1]
    assert "No space left on device" in last
    assert "the same command resumes" in last
    assert list_saved_steps(workdir)
    ballast.unlink()
    elsewhere = shutil.copytree(workdir, tmp_path / "elsewhere")
    answer = _run(_command(elsewhere))
    assert answer.returncode == 0, answer.stderr
    assert "resuming" in answer.stderr
    whole = tmp_path / "whole"
    assert _run(_command(whole)).returncode == 0
    assert (whole / "metrics.jsonl").read_text() == (elsewhere / "metrics.jsonl").read_text()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        answer = _run(_command(folder / "run"))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert "cannot be written" in answer.stderr


_BACKWARDS = """
import itertools, sys, time
moment = itertools.count()
time.time = lambda: 2e9 - 3600 * next(moment)
time.time_ns = lambda: int(1e9 * time.time())
from ssljax.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path):
    whole, backwards = tmp_path / "whole", tmp_path / "backwards"
    short = ["--num-steps=400"]
    assert _run(_command(whole, *short)).returncode == 0
    command = [sys.executable, "-c", _BACKWARDS, *_command(backwards, *short)[3:]]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list_saved_steps(backwards) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    answer = _run(command)
    assert answer.returncode == 0, answer.stderr
    assert (whole / "metrics.jsonl").read_text() == (backwards / "metrics.jsonl").read_text()
