"""The page: everything foreign is escaped, every number shown is in the results."""

from experiments.report import Figure, Section, verdict_sentence, write_report
from experiments.results import Results, Row

ROW = Row(
    id=15,
    claim="<script>alert(1)</script>",
    source='"quoted" & more',
    predicted=0.5,
    measured=0.503,
    error=0.003,
    null=0.2,
    tolerance=0.05,
    spread=0.001,
)


def _page(tmp_path, **changes):
    image = tmp_path / "figure.png"
    image.write_bytes(b"\x89PNG not really")
    results = Results("x", "smoke", (0, 1), {"command": "<b>rm</b>"}, (ROW,))
    write_report(
        tmp_path / "report.html",
        "A <title>",
        ["Lead & more"],
        "<i>scope</i>",
        [Section("<h>", ["text <em>"], [Figure(image, 'a "caption" <b>')])],
        results,
        **changes,
    )
    return (tmp_path / "report.html").read_text()


def test_nothing_from_outside_becomes_markup(tmp_path):
    page = _page(tmp_path)
    for foreign in ("<script>", "<b>rm", "<em>", "<i>scope", "<h>", 'alt="a "caption"'):
        assert foreign not in page
    assert "&lt;script&gt;" in page


def test_the_table_shows_the_rows_numbers_and_verdict(tmp_path):
    page = _page(tmp_path)
    for shown in ("0.503", "0.003 ± 0.001", "0.2", "0.05", "holds"):
        assert shown in page


def test_the_sentence_counts_verdicts():
    results = Results("x", "smoke", (0,), {}, (ROW, ROW))
    assert verdict_sentence(results).startswith("2 of 2 claims hold, 0 fail")
