"""Committed numbers are readable, carry where they come from, and are the ones the README shows."""

from pathlib import Path

import pytest

from experiments.claim_summary import claims_table, report_path
from experiments.index_page import found_results, write_index
from experiments.results import read_results
from experiments.speed.rows import read_speed
from experiments.speed.table import speed_lines

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"
FILES = sorted(RESULTS.glob("*.json"))


def test_there_are_results():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_says_where_its_numbers_come_from(path):
    results = read_results(path)
    assert path.stem == f"{results.experiment}-{results.scale}"
    assert len(results.seeds) >= 3
    for fact in ("device", "cores", "jax", "python", "commit", "command", "date", "wall_seconds"):
        assert results.environment[fact] is not None
    assert list((path.parent / path.stem).glob("*.png"))


def test_the_readme_shows_the_table_of_claims():
    page = (ROOT / "README.md").read_text()
    for line in claims_table(found_results(RESULTS), "laptop", "experiments/results/"):
        assert line in page


def test_the_pages_beside_the_results_show_these_results(tmp_path):
    for path in FILES:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_index(tmp_path)
    for name in ("index.html", "index.md"):
        assert (tmp_path / name).read_text() == (RESULTS / name).read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_report_is_there(path):
    results = read_results(path)
    assert (RESULTS / report_path(path.name, results)).is_file()


@pytest.mark.parametrize("name", ["speed", "scale"])
def test_the_documentation_shows_the_measured_speeds(name):
    page = (ROOT / "docs" / "speed.md").read_text()
    for line in speed_lines(read_speed(RESULTS / name / "speed.json")):
        if "on paper" not in line:  # the file has them all
            assert line in page
