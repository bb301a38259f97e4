"""What an installation holds: every module and data file, and commands that work away from here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("theory", "ssljax", "experiments")
# A tool for the checkout, not a part of the package.
LEFT_OUT = ("ruff.toml",)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a folder with what a wheel would install, built without a network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            source / package,
            ignore=shutil.ignore_patterns("__pycache__", "*.png"),
        )
    text = (ROOT / "pyproject.toml").read_text()
    # How a license is written changed in setuptools 77; older ones can build the rest.
    lines = [line for line in text.splitlines() if not line.startswith("license")]
    (source / "pyproject.toml").write_text("\n".join(lines))
    (source / "README.md").write_text("")
    built = subprocess.run(
        [
            *(sys.executable, "-c", "import setuptools; setuptools.setup()"),
            *("--quiet", "build", "--build-lib", str(target)),
        ],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr[-2000:]
    return target


@pytest.mark.slow
def test_every_module_and_data_file_is_installed(installed):
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            name = path.relative_to(ROOT)
            is_result = name.parts[:2] == ("experiments", "results")
            if path.is_dir() or "__pycache__" in name.parts or is_result or path.name in LEFT_OUT:
                continue
            assert (installed / name).is_file(), f"{name} is not installed: see package-data"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "theory --help",
        "theory explore --out explore.html",
        "ssljax list",
        "ssljax show digits_smoke",
        "experiments list",
    ],
)
def test_commands_work_from_an_installation(installed, tmp_path, command):
    result = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    where = subprocess.run(
        [sys.executable, "-c", "import ssljax, theory; print(ssljax.__file__, theory.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert all(path.startswith(str(installed)) for path in where.stdout.split()), where.stdout
