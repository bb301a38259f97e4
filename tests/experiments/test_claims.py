"""What the claims share: the table of trainings, small data, the cache, `all` and its page."""

import dataclasses
import types
from subprocess import CompletedProcess

import numpy as np
import pytest

from experiments import everything, side_by_side
from experiments.__main__ import main
from experiments.catalog import EXPERIMENTS, Entry
from experiments.claim_summary import answers, claims_table
from experiments.claims import CLAIMS
from experiments.errors import InputError
from experiments.index_page import write_index
from experiments.results import Results, Row, read_results, write_results
from experiments.rows import bound_row, kendall, monotone_row
from experiments.sizes import SIZES
from experiments.small_data import padded, shrunk
from experiments.training_images import images_of
from experiments.trainings import trainings
from ssljax.data.datasets import Dataset


def _dataset(side=8, channels=3, count=5):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, channels), np.uint8)
    return Dataset(images, np.arange(count, dtype=np.int32), 1 / 255, count, "random")


@pytest.mark.parametrize("scale", SIZES)
def test_the_table_of_trainings_is_small_distinct_and_serves_claims_there_are(scale):
    table = trainings(SIZES[scale])
    assert len(table) <= 35
    assert len({(str(t.config), t.data) for t in table.values()}) == len(table)
    assert {claim for t in table.values() for claim in t.claims} <= set(CLAIMS)
    assert sorted(CLAIMS) == list(range(1, 21))


@pytest.mark.parametrize("data", ["cifar10", "cifar100_coarse", "mnist_on_cifar", "two_shortcuts"])
def test_smoke_makes_every_data_set_of_digits_in_one_shape(data):
    pair = images_of(data, "smoke")
    for part in pair:
        assert part.image_shape == (16, 16, 3)
        assert 0 <= part.labels.min()
        assert part.labels.max() < part.num_classes
        assert len(part.labels) == len(part.images) > 100


def test_shrinking_averages_squares_of_pixels():
    dataset = _dataset()
    small = shrunk(dataset, 2)
    for i, y, x, c in np.ndindex(small.images.shape):
        mean = dataset.images[i, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4, c].astype(float).mean()
        assert abs(small.images[i, y, x, c] - mean) <= 0.5 + 1e-4
    assert shrunk(dataset, 8) is dataset
    with pytest.raises(InputError, match="divides 8"):
        shrunk(dataset, 3)


def test_padding_keeps_the_picture_in_the_middle_of_black():
    gray = _dataset(side=6, channels=1).images
    square = padded(gray, 8)
    assert square.shape == (5, 8, 8, 3)
    assert (square[:, 1:7, 1:7, 2] == gray[..., 0]).all()
    assert square.astype(int).sum() == 3 * gray.astype(int).sum()


def test_a_bound_fails_only_where_seeds_fall_short_of_it():
    assert bound_row(9, "c", "s", 0.0, [0.1, 0.2], tolerance=0.01).verdict == "holds"
    assert bound_row(9, "c", "s", 0.0, [-0.2, -0.2], tolerance=0.01).verdict == "fails"
    row = bound_row(9, "c", "s", 0.5, [0.3, 0.6])
    assert row.error == pytest.approx(0.1)
    assert row.spread == pytest.approx(0.1)


def test_a_trend_holds_where_every_seed_rises():
    assert monotone_row(10, "c", "s", [1.0, 1.0, 0.8]).verdict == "holds"
    assert monotone_row(10, "c", "s", [-1.0, -1.0]).verdict == "fails"
    assert kendall(np.arange(4.0), np.array([0.0, 1.0, 3.0, 2.0])) == pytest.approx(4 / 6)


def _results(name, claim="a claim"):
    row = Row(3, claim, "source", 1.0, 1.0, 0.0, 0.5, 0.1)
    return Results(name, "smoke", (0, 1), {}, (row,))


def _installed(monkeypatch, runs):
    """Two experiments that only write their results."""
    monkeypatch.setattr(everything, "EXPERIMENTS", {n: Entry(n, 1.0) for n in ("one", "two")})

    def module(path):
        name = path.removeprefix("experiments.")

        def run(out, scale):
            runs.append(name)
            results = _results(name)
            write_results(out / "results.json", results)
            return results

        return types.SimpleNamespace(run=run)

    monkeypatch.setattr(everything.importlib, "import_module", module)


def test_all_runs_what_has_no_results_and_writes_one_page(tmp_path, monkeypatch):
    runs, said = [], []
    _installed(monkeypatch, runs)
    assert set(everything.run_all(tmp_path, "smoke", said.append)) == {"one", "two"}
    assert runs == ["one", "two"]
    assert "minutes left" in said[1]
    (tmp_path / "two-smoke" / "results.json").write_text("{damaged")
    assert set(everything.run_all(tmp_path, "smoke", said.append)) == {"one", "two"}
    assert runs == ["one", "two", "two"]
    page = (tmp_path / "index.html").read_text()
    assert "one-smoke/report.html" in page
    assert page.count("not run yet") == 2 * (len(CLAIMS) - 1)
    assert (tmp_path / "index.md").read_text().count("| 3. a claim | holds |") == 2
    everything.run_all(tmp_path, "smoke", said.append, again=True)
    assert runs[3:] == ["one", "two"]


def test_several_at_a_time_each_end_for_themselves(tmp_path, monkeypatch, capsys):
    runs, said = [], []
    _installed(monkeypatch, runs)

    def run(name, out, scale):
        if name == "two" and "two" not in runs:
            runs.append(name)
            return CompletedProcess([], 2, "", "a bar\nerror: no disk\n")
        runs.append(name)
        out.mkdir()
        write_results(out / "results.json", _results(name))
        return CompletedProcess([], 0, f"table of {name}\n", "")

    monkeypatch.setattr(side_by_side, "_run", run)
    with pytest.raises(InputError, match=r"1 of 2 experiments failed \(two: error: no disk\)"):
        everything.run_all(tmp_path, "smoke", said.append, jobs=2)
    assert capsys.readouterr().out == "table of one\n"
    assert set(everything.run_all(tmp_path, "smoke", said.append, jobs=2)) == {"one", "two"}
    assert sorted(runs) == ["one", "two", "two"]
    assert "[1 of 1] two" in said[-2]
    assert (tmp_path / "index.html").is_file()
    with pytest.raises(InputError, match="--jobs 1 or more"):
        everything.run_all(tmp_path, "smoke", said.append, jobs=0)


@pytest.mark.parametrize(
    ("words", "jobs"),
    [("--scale smoke", 2), ("--scale laptop", 1), ("--scale smoke --jobs 1", 1), ("--jobs 3", 3)],
)
def test_smoke_runs_go_two_at_a_time_unless_told_otherwise(tmp_path, monkeypatch, words, jobs):
    asked = []
    monkeypatch.setattr(everything, "run_all", lambda *given, **named: asked.append(named["jobs"]))
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert main(["all", "--out", str(tmp_path), *words.split()]) == 0
    assert asked == [jobs]


def test_one_of_several_runs_as_the_command_does(tmp_path):
    found = []
    side_by_side.run_side_by_side(
        {"phase": tmp_path / "phase-smoke"}, "smoke", 2, lambda name, text: found.append(text)
    )
    assert "phase, smoke" in found[0]
    assert read_results(tmp_path / "phase-smoke" / "results.json").scale == "smoke"
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="phase: error: "):
        side_by_side.run_side_by_side(
            {"phase": tmp_path / "taken"}, "smoke", 1, lambda name, text: None
        )


def test_the_page_escapes_what_results_say_and_links_committed_reports(tmp_path):
    write_results(tmp_path / "one-smoke.json", _results("one", "<script>alert(1)</script>"))
    page = write_index(tmp_path).read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert 'href="one-smoke/report.html"' in page


@pytest.mark.parametrize(
    ("errors", "word"),
    [
        ((0.0, 0.0), "holds"),
        ((9.0, 9.0), "fails"),
        ((0.0, 9.0), "in part"),
        ((float("nan"), float("nan")), "inconclusive"),
        ((0.0, float("nan")), "in part"),
        ((9.0, float("nan")), "in part"),
    ],
)
def test_a_claim_holds_or_fails_where_all_its_rows_do(errors, word):
    rows = tuple(Row(3, f"row {e}", "source", 1.0, 1.0, e, None, 0.1) for e in errors)
    found = {"absence-smoke.json": Results("absence", "smoke", (0,), {}, rows)}
    assert answers(found)[3, "smoke"].verdict == word


def test_the_table_of_claims_prefers_the_claim_s_own_experiment_and_names_what_is_missing():
    found = {
        "a-laptop.json": _results("a", "by another"),
        "absence-laptop/results.json": _results("absence", "its own"),
    }
    found = {path: dataclasses.replace(one, scale="laptop") for path, one in found.items()}
    lines = claims_table(found, "laptop", "here/")
    assert len(lines) == 2 + len(CLAIMS)
    assert "[its own](here/absence-laptop/report.html) | 1 (error 0; null 0.5) |" in lines[4]
    assert "2 hold" in lines[4]
    assert sum("not run yet" in line for line in lines) == len(CLAIMS) - 1


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match="no results"):
        write_index(tmp_path)


def test_every_experiment_of_the_catalog_is_a_module_with_run():
    for name in EXPERIMENTS:
        spec = everything.importlib.util.find_spec(f"experiments.{name}")
        assert spec is not None, name


def test_the_strength_experiment_runs_at_smoke_scale(tmp_path, trained_cache):
    from experiments.strength import run

    results = run(tmp_path / "out", "smoke")
    assert {row.id for row in results.rows} == {9, 10, 11, 19}
    assert (tmp_path / "out" / "report.html").is_file()
    again = run(tmp_path / "out", "smoke")  # the cache gives the same networks
    assert [row.measured for row in again.rows] == [row.measured for row in results.rows]


def test_a_distance_whose_null_is_as_good_is_never_accepted():
    from experiments.head_rows import distance_row

    row = distance_row(15, "c", "s", np.array([[0.01, 0.02]]), np.array([[0.5, 0.0]]))
    assert row.error == pytest.approx(0.02)  # the layer whose null is at no distance
    assert row.verdict == "fails"
