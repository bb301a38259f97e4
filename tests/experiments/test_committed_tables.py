"""Committed tables: judged anew they give the committed files, byte for byte."""

from pathlib import Path

import pytest

from experiments.core.measurements import read_table
from experiments.core.verdicts import judge, verdicts_json
from experiments.pages.readme import END, START, readme_table
from experiments.tools.registry import EXPERIMENTS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
NONE = "no tables are committed yet: experiments/results/TIER comes with `all --tier TIER`"
TIERS = sorted(path.parent for path in RESULTS.glob("*/measurements.csv"))


@pytest.mark.skipif(not TIERS, reason=NONE)
@pytest.mark.parametrize("folder", TIERS, ids=lambda path: path.name)
def test_committed_results_follow_from_their_tables(folder):
    table = read_table(folder)
    assert table.tier() == folder.name
    assert not [key for key, run in table.runs.items() if run.dirty or not run.commit]
    verdicts = judge(EXPERIMENTS, table)
    assert verdicts_json(verdicts, table) == (folder / "verdicts.json").read_bytes()
    for verdict in verdicts:
        assert (folder / f"claim-{verdict.claim.id:02d}.html").is_file()


@pytest.mark.skipif(not TIERS, reason=NONE)
def test_the_table_of_the_readme_follows_from_committed_tables():
    shown = (ROOT / "README.md").read_text().partition(START)[2].partition(END)[0].strip()
    made = [
        readme_table(judge(EXPERIMENTS, table), table, f"experiments/results/{folder.name}")
        for folder in TIERS
        for table in [read_table(folder)]
    ]
    assert shown in made
