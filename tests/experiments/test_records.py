"""Records of all experiments: complete, consistent with the trainings, and run end to end."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest

from experiments.__main__ import main as run
from experiments.core.measurements import Run, make_table, read_table, write_table
from experiments.core.names import check_names
from experiments.core.runner import Measured
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import PILOT_SEEDS, TRAININGS
from experiments.tools import commands, judging
from experiments.tools.command_line import main
from experiments.tools.listing import curves_of, find_missing, rows_of
from experiments.tools.registry import EXPERIMENTS
from tests.experiments.core.synthetic import whole_table


def test_every_claim_is_tested_once():
    claims = sorted(claim.id for e in EXPERIMENTS.values() for claim in e.claims)
    assert claims == list(range(1, 22))


def test_rows_have_names_of_the_table_and_networks_of_the_trainings():
    assert {network for e in EXPERIMENTS.values() for network in e.networks} == set(TRAININGS)
    for network in TRAININGS:
        for row in (*rows_of(network, EXPERIMENTS), *curves_of(network, EXPERIMENTS)):
            check_names(row.variant, row.layer, row.task, row.quantity, row.level)


def test_sentences_are_sentences_with_a_place_for_the_effect():
    sentences = [c.says for experiment in EXPERIMENTS.values() for c in experiment.contrasts]
    assert len(sentences) > 150
    for says in sentences:
        assert says.count("{}") == 1, says
        assert re.fullmatch(r"[A-Z].*[^ ]\.", says), says
        assert "  " not in says


def test_names_of_figures_differ():
    names = [panel.name for e in EXPERIMENTS.values() for panel in e.panels]
    assert len(set(names)) == len(names)


def test_pilot_seeds_are_never_judged():
    assert not any(set(PILOT_SEEDS) & set(size.seeds) for size in SIZES.values())


def test_a_configuration_digest_changes_with_what_is_trained():
    base = commands.config_digest("base", "laptop")
    assert base == commands.config_digest("base", "laptop")
    assert len({base, commands.config_digest("weak", "laptop")}) == 2
    assert base != commands.config_digest("base", "workstation")


@pytest.fixture(scope="module")
def measure():
    """Rows made up in place of training."""
    few = {name: EXPERIMENTS[name] for name in ("ledger", "cosine")}
    table = whole_table(few, seeds=3, images=200)

    def measured(network, seed, tier):
        rows = tuple(r for k, r in table.rows.items() if (k.network, k.seed) == (network, seed))
        curves = {
            name: curve
            for name, curve in table.curves.items()
            if name.startswith(f"{network}/{seed}/")
        }
        return Measured(Run(network, seed, tier), rows, curves)

    return measured


def test_an_experiment_runs_judges_and_draws(tmp_path, capsys, measure):
    out = tmp_path / "ledger"
    arguments = ["ledger", "--out", str(out), "--tier", "laptop", "--seeds", "0,1,2", "--jobs", "1"]
    assert main(arguments, lambda: measure) == 0
    assert " 14  reproduced" in capsys.readouterr().out
    written = {name: (out / name).read_bytes() for name in ("verdicts.json", "report.html")}
    assert find_missing("joint-cosine", 2, read_table(out), {"ledger": EXPERIMENTS["ledger"]}) == ()
    # From the tables alone, the same bytes, for the claims that were asked for.
    for command in ("judge", "pages"):
        assert main([command, str(out)], lambda: measure) == 0
    assert {name: (out / name).read_bytes() for name in written} == written
    # A second experiment in the same folder is shown beside the first.
    assert main(["cosine", *arguments[1:]], lambda: measure) == 0
    claims = [verdict.claim.id for verdict in judging.judge(out)]
    assert claims == [14, 18]


def test_smoke_prints_no_word(tmp_path, capsys, measure):
    options = ["--tier", "smoke", "--jobs", "1", "--out", str(tmp_path)]
    assert main(["ledger", *options], lambda: measure) == 0
    assert "not testable here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "invalid choice"),
        (["judge", "nowhere"], "holds no measurements.csv"),
        (["ledger", "--seeds", "a"], "--seeds a; wanted different whole numbers"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(arguments, message, capsys, measure):
    assert main(arguments, lambda: measure) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_what_is_missing_is_named():
    table = whole_table({"ledger": EXPERIMENTS["ledger"]}, seeds=1)
    rows = [row for row in table.rows.values() if row.quantity != "ledger_bound"]
    few = dataclasses.replace(make_table(rows, table.runs.values()), curves={})
    missing = find_missing("joint-cosine", 0, few, {"ledger": EXPERIMENTS["ledger"]})
    assert missing == ("joint-cosine, seed 0, trained, ledger_bound",)


def test_judging_loads_no_framework_and_no_figures(tmp_path):
    table = whole_table({"ledger": EXPERIMENTS["ledger"]}, seeds=3, images=200)
    write_table(table, tmp_path)
    program = """
import sys
from experiments.__main__ import main
assert main(["judge", sys.argv[1]]) == 0
heavy = {"jax", "flax", "matplotlib", "theory", "ssljax", "tensorflow_datasets"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True)
    assert (tmp_path / "verdicts.json").is_file()


def test_a_folder_of_tables_without_rows_says_not_run_21_times(tmp_path, capsys):
    write_table(make_table([]), tmp_path)
    for command in ("judge", "pages"):
        assert run([command, str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("not run") == 2 * 21
    claims = json.loads((tmp_path / "verdicts.json").read_bytes())["claims"]
    assert [claim["verdict"] for claim in claims] == ["not run"] * 21
    assert len(list(tmp_path.glob("claim-*.html"))) == 21
    assert (tmp_path / "report.html").read_text().count("not measured") == 21
