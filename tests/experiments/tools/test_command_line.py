"""The command line: complete, quick, and refusing in one line."""

import subprocess
import sys

import pytest

from experiments.__main__ import main
from experiments.tools.command_line import LIST_WIDTH
from experiments.tools.parser import make_parser
from experiments.tools.registry import EXPERIMENTS


def test_the_list_names_every_experiment_and_claim_in_lines_that_fit(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= LIST_WIDTH
    together = " ".join(text.split())
    for name, experiment in EXPERIMENTS.items():
        assert f"{name} {experiment.question}" in together
        for claim in experiment.claims:
            assert claim.source in text


def test_help_and_list_load_neither_jax_nor_scipy():
    code = (
        "import sys\n"
        "from experiments.__main__ import main\n"
        "assert main(['list']) == 0\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'jax', 'scipy', 'matplotlib', 'ssljax.cli'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in EXPERIMENTS:
        assert name in done.stdout


def test_scale_is_another_word_for_tier():
    options = make_parser().parse_args(["settled", "--scale", "workstation", "--seeds", "0,1"])
    assert (options.tier, options.seeds, options.jobs) == ("workstation", "0,1", 0)
    assert make_parser().parse_args(["all"]).tier == "laptop"


def test_help_of_compare_names_the_keys_of_its_file(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    text = capsys.readouterr().out
    for key in ("features", "W1, W2", "weight_decay", "(images, views, width)"):
        assert key in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "nowhere.npz"], "nowhere.npz"),
        (["compare", "nowhere.npz", "--views", "1"], "at least 2"),
        (["compare", "nowhere.npz", "--weight-decay", "-1"], ">= 0"),
        (["compare", "nowhere.npz", "--loss", "cosine"], "--loss cosine given; wanted one of"),
        (["compare"], "source"),
        (["quickstrat"], "quickstart"),
        (["quickstart", "--scale", "huge"], "smoke"),
        (["settled", "--seeds", "one"], "whole numbers"),
        (["settled", "--seeds", "-1"], "from 0 to"),
        (["settled", "--seeds", "0,0"], "different"),
        (["settled", "--seeds", "2147483648"], "from 0 to"),
        (["phase", "--retentions", "0.5"], "two values or more"),
        (["phase", "--retentions", "0.5:2:5"], "at most 1"),
        (["phase", "--strengths", "1:0:5"], "ascend"),
        (["phase", "--others", "a,b"], "numbers with commas"),
        (["phase", "--weight-decay", "0"], "above 0"),
        (["judge", "nowhere"], "measurements.csv"),
        ([], "NAME"),
    ],
)
def test_a_careless_command_gets_one_line_and_code_two(
    arguments, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert words in lines[-1]
    assert "Traceback" not in "\n".join(lines)
    assert list(tmp_path.iterdir()) == []
