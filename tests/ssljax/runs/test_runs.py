"""The table of runs, and the page of one."""

import dataclasses
import json
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from ssljax.cli.main import main
from ssljax.config.config import Config
from ssljax.config.fields import config_dict
from ssljax.runs.folder import hold_folder
from ssljax.runs.report import Curve, draw_curves, write_report
from ssljax.runs.table import differing_fields, find_runs, summarize_run, tabulate_runs
from ssljax.system.errors import UsageError

_SCRIPT = '"><script>alert(1)</script>'


def _fake_run(folder, *, saved=(), lines=3, accuracy=None, **changes):
    folder.mkdir(parents=True)
    config = dataclasses.replace(Config(num_steps=30), **changes)
    (folder / "config.json").write_text(json.dumps(config_dict(config)))
    metrics = [
        json.dumps({"step": 10 * n, "loss": 1.0 / n, "vector": [n]}) for n in range(1, lines + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(line + "\n" for line in metrics))
    environment = {"git_commit": "0123456789abcdef", "git_dirty": True}
    (folder / "environment.json").write_text(json.dumps(environment))
    for step in saved:
        (folder / "checkpoints" / str(step)).mkdir(parents=True)
    if accuracy is not None:
        row = {"probe_accuracy": accuracy, "knn_accuracy": 0.5}
        (folder / "evaluation.json").write_text(json.dumps({"feature": row, "protocol": "x"}))
    return folder


@pytest.fixture
def folder(tmp_path):
    _fake_run(tmp_path / "a", saved=(10, 30), accuracy=0.75, seed=1)
    _fake_run(tmp_path / "group" / "b", saved=(10,), strength=0.5)
    _fake_run(tmp_path / "group" / "c", lines=0)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    return tmp_path


def test_runs_are_found_with_their_states(folder):
    runs = {place.name: summarize_run(place, place.name) for place in find_runs(folder)}
    assert {name: run.state for name, run in runs.items()} == {
        "a": "finished",
        "b": "stopped",
        "c": "new",
        "broken": "unreadable",
    }
    assert runs["b"].step == 30
    assert runs["a"].accuracies == {"feature probe_accuracy": 0.75, "feature knn_accuracy": 0.5}
    assert runs["a"].commit == "01234567+"
    with hold_folder(folder / "group" / "b"):
        assert summarize_run(folder / "group" / "b", "b").state == "running"


def test_runs_are_compared_in_the_fields_that_differ(folder):
    runs = [summarize_run(place, place.name) for place in find_runs(folder)]
    assert differing_fields(runs) == ["strength", "seed"]
    head, rows = tabulate_runs(runs, ["strength", "seed"])
    assert head[:4] == ["RUN", "STATE", "STEP", "LOSS"]
    assert head[-2:] == ["strength", "seed"]
    by_name = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert by_name["b"]["strength"] == "0.5"
    assert by_name["a"]["feature PROBE"] == "0.7500"
    assert by_name["a"]["LOSS"] == "0.33333"


def test_the_command_prints_the_table(folder, capsys):
    assert main(["runs", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["RUN", "a", "broken", "group/b", "group/c"]
    assert main(["runs", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["config"]["seed"] == 1
    assert main(["runs", str(folder), "--fields", "sead"]) == 2
    assert "no field sead" in capsys.readouterr().err


def test_a_folder_without_runs_says_so(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 2
    assert "no runs in" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no folder"):
        find_runs(tmp_path / "nowhere")


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.depth = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_shows_the_run_fetches_nothing_and_escapes_everything(tmp_path):
    workdir = _fake_run(tmp_path / _SCRIPT.replace("/", "_"), accuracy=0.75, data=_SCRIPT)
    lines = (workdir / "metrics.jsonl").read_text()
    (workdir / "metrics.jsonl").write_text(lines + json.dumps({"step": 40, _SCRIPT: 1.0}) + "\n")
    evil = {_SCRIPT: {"probe_accuracy": 0.1, _SCRIPT: 1.0}}
    (workdir / "evaluation.json").write_text(json.dumps(evil))
    (workdir / "environment.json").write_text(json.dumps({_SCRIPT: [_SCRIPT]}))
    (workdir / "moments").mkdir()
    np.savez(workdir / "moments" / "<b>.npz", covariance=np.diag([2.0, 1.0]))
    text = write_report(workdir).read_text()
    page = _Tags()
    page.feed(text)
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert page.links == []
    assert page.tags.count("svg") == 3  # the loss, the evil metric, the layer spectra
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("line", ["5", "[1]", '{"loss": 1}', '{"step": "x", "loss": []}', "{"])
def test_lines_that_no_run_wrote_are_left_out_of_page_and_table(tmp_path, line):
    workdir = _fake_run(tmp_path / "run")
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    (workdir / "neighbors.jsonl").write_text(line + "\n")
    assert "Step 30 of 30" in write_report(workdir).read_text()
    assert summarize_run(workdir, "run").state in ("new", "unreadable")


def test_a_page_shows_what_was_measured_along_the_way(tmp_path):
    workdir = _fake_run(tmp_path / "run")
    lines = [json.dumps({"step": n, "pixels": 0.9, "feature": 0.1 * n}) + "\n" for n in (1, 2)]
    (workdir / "neighbors.jsonl").write_text("".join(lines))
    assert "nearest neighbors along training" in write_report(workdir).read_text()


def test_a_page_reads_no_pickled_moments(tmp_path):
    workdir = _fake_run(tmp_path / "run")
    (workdir / "moments").mkdir()
    np.savez(workdir / "moments" / "feature.npz", covariance=np.array([{}], dtype=object))
    with pytest.raises(UsageError, match="cannot be read"):
        write_report(workdir)


def test_curves_have_finite_places_whatever_their_values():
    curve = Curve("x_$y$", [0, 1, 2, 3, 4], [1.0, float("nan"), float("inf"), -1.0, 1e30])
    for log_y in (False, True):
        text = draw_curves([curve, Curve("<b>", [1, 2], [2.0, 3.0])], "step", "loss", log_y=log_y)
        assert text.startswith("<svg")
        assert " nan" not in text.lower()
        assert "inf" not in text
        assert "x_$y$" in text
        assert "&lt;b&gt;" in text
    assert draw_curves([Curve("none", [0], [float("nan")])], "x", "y") == ""
    assert draw_curves([curve], "x", "y") == draw_curves([curve], "x", "y")


def test_a_long_curve_is_thinned_and_keeps_its_spike():
    values = [0.0] * 100_000
    values[54_321] = 7.0
    text = draw_curves([Curve("x", range(100_000), values)], "step", "loss")
    assert len(text) < 30_000
    assert ">7<" in text or ">6<" in text


def test_without_matplotlib_a_page_has_no_pictures(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "<svg" not in write_report(_fake_run(tmp_path / "run")).read_text()
