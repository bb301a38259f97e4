"""Committed numbers are readable, carry where they come from, and are the ones the README shows."""

from pathlib import Path

import pytest

from experiments.results import read_results

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "experiments" / "results").glob("*.json"))


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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_readme_shows_every_verdict(path):
    page = (ROOT / "README.md").read_text().replace("**fails**", "fails")
    for row in read_results(path).rows:
        assert f"| {row.id}. {row.claim} | {row.verdict} |" in page
