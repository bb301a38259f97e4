"""One page over all committed or written results: every claim, at every scale, with its verdict."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.claim_summary import (
    Answer,
    answers,
    counts_in_words,
    effect,
    report_path,
    rows_page,
)
from experiments.claims import CLAIMS
from experiments.errors import InputError
from experiments.files import write_bytes
from experiments.page_style import STYLE
from experiments.results import Results, Row, read_results
from experiments.table import MARKS, error_with_spread, readable_number

SCALES = ("smoke", "laptop", "paper")


def found_results(folder: Path) -> dict[str, Results]:
    """Every results file of a folder, by its path from there.

    Args:
      folder: Holds ``NAME-SCALE.json`` files, or ``NAME-SCALE/results.json`` folders.

    Returns:
      In order of the name.

    Raises:
      InputError: There is none, or one is damaged.
    """
    paths = sorted({*folder.glob("*-*.json"), *folder.glob("*-*/results.json")})
    if not paths:
        raise InputError(
            f"{folder} holds no results; run python -m experiments all --out {folder} first"
        )
    return {str(path.relative_to(folder)): read_results(path) for path in paths}


def write_index(folder: Path) -> Path:
    """Write ``index.html`` over the results of a folder, and ``index.md`` with every row.

    Args:
      folder: As for `found_results`.

    Returns:
      The page.

    Raises:
      InputError: There are no results, or the page cannot be written.
    """
    results = found_results(folder)
    path = folder / "index.html"
    held = [row.verdict for one in results.values() for row in one.rows]
    counts = ", ".join(f"{held.count(word)} {word}" for word in ("holds", "fails", "inconclusive"))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Twenty claims about projection heads</title><style>{STYLE}</style></head><body>",
        "<h1>Twenty claims about projection heads</h1>",
        '<p class="lead">Each claim is tested by the experiments that can test it, at each scale'
        " that was run. A claim has several rows where it says several things. Every row's rule was"
        " fixed before its run; a claim that fails is a result.</p>",
        f"<p>{len(held)} rows of {len(results)} results: {counts}.</p>",
        _summary(results),
        *(_claim(number, results) for number in CLAIMS),
        _others(results),
        "</body></html>",
    ]
    write_bytes(path, "\n".join(parts).encode())
    write_bytes(folder / "index.md", rows_page(results).encode())
    return path


def _summary(results: Mapping[str, Results]) -> str:
    """Claims times scales: verdict, rows behind it, the headline's numbers, and the report."""
    known = answers(results)
    scales = [scale for scale in SCALES if any(key[1] == scale for key in known)]
    head = "".join(f"<th>{html.escape(text)}</th>" for text in ("claim", *scales))
    lines = "".join(
        f'<tr><td><a href="#claim{number}">{number}. {html.escape(claim.statement)}</a>'
        f"<small>{html.escape(claim.source)}</small></td>"
        + "".join(_answer(known.get((number, scale))) for scale in scales)
        + "</tr>"
        for number, claim in CLAIMS.items()
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{lines}</table></div>'


def _answer(answer: Answer | None) -> str:
    if answer is None:
        return "<td>not run yet</td>"
    style = answer.verdict if answer.verdict in MARKS else "inconclusive"
    return (
        f'<td><a class="{style}" href="{html.escape(answer.report)}">'
        f"{html.escape(answer.verdict)}</a>"
        f"<small>{html.escape(counts_in_words(answer.counts))}</small>"
        f'<small title="{html.escape(answer.headline.claim)}">'
        f"{html.escape(effect(answer.headline))}</small></td>"
    )


def _claim(number: int, results: Mapping[str, Results]) -> str:
    claim = CLAIMS[number]
    rows = [
        (path, one, row) for path, one in results.items() for row in one.rows if row.id == number
    ]
    heading = (
        f'<h2 id="claim{number}">{number}. {html.escape(claim.statement)}</h2>'
        f"<p>{html.escape(claim.source)}; experiment <code>{claim.experiment}</code></p>"
    )
    if not rows:
        return heading + '<p class="inconclusive">not run yet</p>'
    return heading + _table(rows)


def _others(results: Mapping[str, Results]) -> str:
    rows = [(path, one, row) for path, one in results.items() for row in one.rows if row.id == 0]
    return f"<h2>Beside the claims</h2>{_table(rows)}" if rows else ""


def _table(rows: Sequence[tuple[str, Results, Row]]) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in ("statement", "scale", "seeds", "measured", "error", "null", "verdict")
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(map(_row, rows))}</table></div>'


def _row(entry: tuple[str, Results, Row]) -> str:
    path, results, row = entry
    report = report_path(path, results)
    cells = (
        results.scale,
        str(len(results.seeds)),
        readable_number(row.measured),
        error_with_spread(row),
        readable_number(row.null),
    )
    return (
        f'<tr><td><a href="{html.escape(report)}">{html.escape(row.claim)}</a></td>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + f'<td class="{row.verdict}">{MARKS[row.verdict]} {row.verdict}</td></tr>'
    )
