import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from experiments.environment import environment
from experiments.errors import InputError
from experiments.results import Results, Row, read_results, verdict, write_results
from experiments.table import readable_number, results_table

distances = st.floats(0, 1e6)
infinite_distances = st.one_of(st.floats(0, 1e300), st.sampled_from([math.inf, math.nan]))
any_number = st.one_of(st.floats(-1e300, 1e300), st.sampled_from([math.inf, -math.inf, math.nan]))


def make_row(**changes) -> Row:
    numbers = {
        "id": 16,
        "claim": "the head keeps seven modes",
        "source": "deep_linear.md §1.6",
        "predicted": 7.0,
        "measured": 7.0,
        "error": 0.02,
        "null": 0.4,
        "tolerance": 0.1,
        "spread": 0.01,
    }
    return Row(**{**numbers, **changes})


def make_results(*rows: Row) -> Results:
    return Results("quickstart", "smoke", (0, 1), {"jax": "0.10.2"}, rows)


@given(distances, distances, distances, distances)
def test_the_verdict_is_the_rule_of_the_design(error, null, tolerance, spread):
    holds = error + spread <= tolerance < null - spread
    fails = error - spread > tolerance
    assert not (holds and fails)
    expected = "holds" if holds else "fails" if fails else "inconclusive"
    assert verdict(error, null, tolerance, spread) == expected


@given(distances, distances, distances, distances, distances)
def test_more_spread_never_makes_a_verdict_more_certain(error, null, tolerance, spread, more):
    wider = verdict(error, null, tolerance, spread + more)
    assert wider in (verdict(error, null, tolerance, spread), "inconclusive")


@given(distances, distances, distances, distances, distances)
def test_a_better_null_never_turns_into_support(error, null, tolerance, spread, closer):
    if verdict(error, null, tolerance, spread) != "holds":
        assert verdict(error, max(0.0, null - closer), tolerance, spread) != "holds"


@given(distances, distances)
def test_a_claim_that_a_null_meets_as_well_does_not_hold(error, tolerance):
    assert verdict(error, tolerance, tolerance, 0.0) != "holds"


@pytest.mark.parametrize("name", ["error", "null", "spread"])
def test_a_number_that_could_not_be_measured_is_inconclusive(name):
    assert make_row(**{name: math.nan}).verdict == "inconclusive"


def test_the_borders_of_the_rule():
    assert verdict(0.125, 1.0, 0.125, 0.0) == "holds"
    assert verdict(0.125, 0.125, 0.125, 0.0) == "inconclusive"
    assert verdict(0.25, 1.0, 0.125, 0.125) == "inconclusive"
    assert verdict(0.25, 1.0, 0.125, 0.0625) == "fails"
    assert verdict(math.inf, math.inf, 0.1, 0.0) == "fails"


def test_no_null_counts_as_infinitely_far():
    assert make_row(null=None).verdict == "holds"
    assert make_row(null=math.inf) == make_row(null=None)


@given(
    error=infinite_distances,
    null=st.one_of(st.none(), infinite_distances),
    tolerance=distances,
    spread=infinite_distances,
    predicted=any_number,
    measured=any_number,
)
def test_a_file_gives_back_what_was_written(tmp_path_factory, **numbers):
    path = tmp_path_factory.getbasetemp() / "results.json"
    row = make_row(**numbers)
    write_results(path, make_results(row))
    back = read_results(path).rows[0]
    assert str(back) == str(row)  # NaN differs from itself, its name does not


@given(
    error=infinite_distances,
    null=st.one_of(st.none(), infinite_distances),
    tolerance=distances,
    spread=infinite_distances,
)
def test_the_verdict_follows_from_the_numbers_in_the_file(tmp_path_factory, **numbers):
    path = tmp_path_factory.getbasetemp() / "results.json"
    write_results(path, make_results(make_row(**numbers)))
    row = json.loads(path.read_text())["rows"][0]
    written = [row[name] for name in ("error", "null", "tolerance", "spread")]
    if None in written:
        assert row["verdict"] == "inconclusive"
    else:
        error, null, tolerance, spread = written
        holds = error + spread <= tolerance < null - spread
        fails = error - spread > tolerance
        assert row["verdict"] == ("holds" if holds else "fails" if fails else "inconclusive")


def test_arrays_of_one_number_are_numbers():
    row = make_row(error=np.float32(0.5), measured=np.int64(3), predicted=3)
    assert (row.error, row.measured, row.predicted, row.verdict) == (0.5, 3.0, 3.0, "fails")
    assert type(row.error) is float


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error": -0.1}, "error -0.1"),
        ({"null": -1.0}, "null -1.0"),
        ({"tolerance": math.nan}, "tolerance nan"),
        ({"tolerance": math.inf}, "tolerance inf"),
        ({"id": 21}, "id 21"),
    ],
)
def test_a_row_refuses_what_is_no_distance(changes, message):
    with pytest.raises(InputError, match=message):
        make_row(**changes)


def broken(**changes) -> str:
    row = {
        "id": 0,
        "claim": "c",
        "source": "s",
        "predicted": 1,
        "measured": 1,
        "error": 0,
        "null": 1,
        "tolerance": 0.5,
        "spread": 0,
        "verdict": "holds",
    }
    document = {"experiment": "e", "scale": "smoke", "seeds": [0], "environment": {}}
    document["rows"] = [{**row, **changes}]
    return json.dumps(document)


def test_the_smallest_valid_file_is_read(tmp_path):
    (tmp_path / "results.json").write_text(broken())
    assert read_results(tmp_path / "results.json").rows[0].verdict == "holds"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a results file"),
        ("[]", "'experiment' is missing"),
        (broken(verdict="maybe"), "says 'maybe' where its numbers say 'holds'"),
        (broken(verdict="fails"), "says 'fails' where its numbers say 'holds'"),
        (broken(error=math.nan), "NaN is no JSON number"),
        (broken(error="0"), "'error' is '0', wanted"),
        (broken(error=True), "'error' is True, wanted"),
        (broken(tolerance=None), "tolerance nan"),
        (broken(claim=None), "'claim' is None, wanted str"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as refusal:
        read_results(path)
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_missing_file_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_results(tmp_path / "nothing.json")


def test_an_unwritable_folder_is_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="--out"):
        write_results(tmp_path / "file" / "results.json", make_results(make_row()))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, make_results(make_row()))
    before = path.read_bytes()
    unwritable = Results("e", "smoke", (0,), {"device": object()}, ())
    with pytest.raises(TypeError):
        write_results(path, unwritable)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_the_table_says_the_verdict_in_words_and_shows_markup_as_text():
    rows = (
        make_row(claim="a [bold]name[/bold]"),
        make_row(error=0.5),
        make_row(null=None, error=math.nan, id=0),
    )
    stream = io.StringIO()
    Console(file=stream, width=140, no_color=True).print(results_table(make_results(*rows)))
    text = stream.getvalue()
    for word in ("a [bold]name[/bold]", "✓ holds", "✗ fails", "? inconclusive", "0.02 ± 0.01"):
        assert word in text


@given(st.floats(-1e300, 1e300))
def test_a_readable_number_is_right_to_three_digits(number):
    back = float(readable_number(number).replace("−", "-"))
    assert back == pytest.approx(number, rel=6e-3, abs=1e-320)


def test_the_environment_is_complete_and_fits_in_a_file(tmp_path):
    found = environment(wall_seconds=1.234)
    results = Results("quickstart", "smoke", (0,), found, ())
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results
    for name in ("device", "device_count", "cores", "python", "jax", "commit", "command", "date"):
        assert name in found
    assert found["wall_seconds"] == 1.23
