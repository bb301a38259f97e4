"""The example of CONTRIBUTING.md, executed as it stands there on a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow  # imports and compiles everything in a process of its own
def test_the_loss_of_the_example_is_added_by_its_file_and_one_line_and_trains(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    file, line, command = re.findall(r"```(?:python|sh)\n(.*?)```", text, re.DOTALL)
    shutil.copytree(ROOT / "ssljax", tmp_path / "ssljax")
    (tmp_path / "ssljax/losses/alignment.py").write_text(file)
    imported, entry = line.rstrip().split("\n")
    table = tmp_path / "ssljax/losses/table.py"
    content = table.read_text()
    for before, after in (
        ("from ssljax.losses.blockwise import (", imported),
        ('    "byol": Loss(', entry),
    ):
        assert content.count(before) == 1
        content = content.replace(before, f"{after}\n{before}")
    table.write_text(content)
    words = [*command.split()[1:], "--workdir=run", "--moments.views=0", "--evaluation.layers="]
    answer = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert re.search(r"^step +2$", answer.stdout, re.MULTILINE)
