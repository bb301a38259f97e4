"""The quickstart at its smallest scale: everything is written, shown and consistent."""

import json

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.quickstart.rows import kendall
from experiments.results import read_results


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("quickstart")
    assert main(["quickstart", "--scale", "smoke", "--out", str(out)]) == 0
    return out


def test_results_hold_every_part_and_their_verdicts_follow_from_their_numbers(smoke):
    results = read_results(smoke / "results.json")
    assert {row.id for row in results.rows} >= {1, 9, 10, 11, 15, 16, 17, 19}
    document = json.loads((smoke / "results.json").read_text())
    assert set(document) == {"experiment", "scale", "seeds", "environment", "rows"}
    assert document["environment"]["jax"]


def test_the_report_is_one_file_that_fetches_nothing(smoke):
    page = (smoke / "report.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("data:image/png;base64,") == len(list(smoke.glob("*.png")))
    for row in read_results(smoke / "results.json").rows:
        assert row.verdict in page


def test_even_a_short_linear_training_follows_the_layer_law(smoke):
    # Two hundred steps are enough for balance, whatever else is not learned yet.
    rows = {row.claim: row for row in read_results(smoke / "results.json").rows}
    law = next(row for claim, row in rows.items() if claim.startswith("linear model: hidden"))
    assert law.verdict == "holds"
    assert law.error < 0.01


def test_run_folders_of_the_head_are_kept_and_can_be_compared_again(smoke, capsys):
    run = next((smoke / "runs").iterdir())
    assert (run / "config.json").exists()
    out = smoke / "again"
    assert main(["compare", str(run), "--out", str(out), "--views", "4"]) == 0
    assert "report:" in capsys.readouterr().out
    assert (out / "report.html").exists()


def test_kendall_counts_pairs_and_leaves_out_what_is_unknown():
    first = np.array([1.0, 2.0, np.nan, 4.0])
    second = np.array([10.0, 30.0, 0.0, 20.0])
    assert kendall(first, second) == pytest.approx(1 / 3)
    assert np.isnan(kendall(first[:1], second[:1]))
