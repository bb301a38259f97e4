"""The README's code runs, its commands work in the order given, its files are there."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from ssljax.config.presets import PRESETS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("#")[0].strip() for line in README.splitlines() if line.startswith("    python -m ")
]
NEEDS_MORE = (
    "TFDS_DIRECTORY",
    "experiments strength",  # CIFAR-10 and half an hour
    "experiments all",
    "experiments judge",
    "experiments speed",  # the peers
)


def test_the_python_example_runs_and_returns_four_layers_and_a_slope(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["spectra"].shape == (4, 64)
    with jax.enable_x64(True):
        ends = [float(names["layer_spectra"](0.25 + step)[3, 2]) for step in (1e-4, -1e-4)]
    assert float(names["slope"]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-5)
    assert len(code.splitlines()) <= 17
    assert capsys.readouterr().out


def test_every_file_the_page_links_to_is_in_the_repository():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_the_numbers_of_speed_are_those_of_the_committed_rows():
    rows = json.loads((ROOT / "experiments" / "results" / "speed" / "speed.json").read_text())
    measured = [row[name] for row in rows["rows"] for name in ("ours", "ratio")]
    section = README.split("## Speed")[1].split("\n## ")[0]
    # What stands before the colon says how it was measured.
    sentences = section.split("no accelerator was at hand):")[1]
    numbers = re.findall(r"(?<![-\w])\d+(?:\.\d+)?", sentences.replace("512 pairs", "pairs"))
    numbers = [number for number in numbers if number not in ("256",)]  # images, as said
    assert len(numbers) >= 10
    for number in numbers:
        digits = len(number.partition(".")[2])
        assert any(f"{value:.{digits}f}" == number for value in measured if value), number


def test_the_page_counts_the_presets():
    (count,) = re.findall(r"(\d+) presets", README)
    assert int(count) == len(PRESETS)


def test_no_placeholder_is_left():
    assert not re.search(r"[A-Z]+_TABLE|TODO|XXX", README)


@pytest.mark.slow
def test_every_command_works_in_the_order_of_the_page(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "FEATURES.npz",
        features=rng.normal(size=(300, 1, 8)) + rng.normal(size=(300, 4, 8)),
        W1=rng.normal(size=(8, 8)),
        W2=rng.normal(size=(4, 8)),
    )
    assert len(COMMANDS) >= 10
    for command in COMMANDS:
        if any(word in command for word in NEEDS_MORE):
            continue
        words = shlex.split(command)
        result = subprocess.run(
            [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=600
        )
        assert result.returncode == 0, f"{command}\n{result.stderr[-2000:]}"
