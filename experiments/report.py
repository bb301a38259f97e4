"""One self-contained page per experiment: words first, then verdicts, then figures.

Nothing on it is fetched: styles are inline, figures are embedded. Everything that came from a
configuration, a file or a folder name is escaped.
"""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.files import write_bytes
from experiments.results import Results, Row
from experiments.table import error_with_spread, readable_number


class Figure(NamedTuple):
    """A PNG and what to look at in it."""

    path: Path
    caption: str


class Section(NamedTuple):
    """A heading, paragraphs of plain text, figures."""

    title: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[Figure] = ()


_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1a; --soft: #5c5b57; --paper: #fdfdfb;
  --line: #dcdad2; --panel: #f4f3ee; --holds: #1a6d45; --fails: #a83a1d; --open: #7a6410; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e7e1; --soft: #a9a69d; --paper: #191917;
  --line: #3a3935; --panel: #232320; --holds: #6cc79a; --fails: #ef8a6b; --open: #d8bd5a; } }
body { margin: 0 auto; max-width: 56rem; padding: 2.5rem 1.25rem 5rem; background: var(--paper);
  color: var(--ink); font: 16px/1.6 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .6rem; }
p { max-width: 44rem; }
.lead { font-size: 1.08rem; }
.scope { border-left: 3px solid var(--soft); padding: .3rem 1rem; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; line-height: 1.4; }
th, td { padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; font-variant-numeric: tabular-nums; }
th { font-weight: 600; border-bottom-color: var(--soft); }
th:first-child, td:first-child { text-align: left; min-width: 17rem; }
td small { display: block; color: var(--soft); }
.holds, .fails, .inconclusive { font-weight: 650; white-space: nowrap; }
.holds { color: var(--holds); } .fails { color: var(--fails); }
.inconclusive { color: var(--open); }
figure { margin: 1.4rem 0 2rem; }
figure img { width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { color: var(--soft); font-size: .9rem; max-width: 46rem; margin-top: .4rem; }
details { margin-top: 2.5rem; } summary { cursor: pointer; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; font-size: .88rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; } figure { break-inside: avoid; } }
"""
_MARK = {"holds": "✓ holds", "fails": "✗ fails", "inconclusive": "○ inconclusive"}


def write_report(
    path: Path,
    title: str,
    summary: Sequence[str],
    scope: str,
    sections: Sequence[Section],
    results: Results,
) -> None:
    """Write `report.html`.

    Args:
      path: The file.
      title: Of the page.
      summary: Paragraphs in plain words: what was predicted, what came out.
      scope: What the experiment can and cannot show.
      sections: In reading order.
      results: The verdicts, shown as a table, and the provenance.

    Raises:
      InputError: The file cannot be written.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        *(f'<p class="lead">{html.escape(text)}</p>' for text in summary),
        f'<p class="scope">{html.escape(scope)}</p>',
        f"<h2>Verdicts</h2><p>{html.escape(verdict_sentence(results))}</p>",
        _table(results.rows),
        *(_section(section) for section in sections),
        _provenance(results),
        "</body></html>",
    ]
    write_bytes(path, "\n".join(parts).encode())


def verdict_sentence(results: Results) -> str:
    """How many claims hold, fail and stay open, and what these words mean.

    Args:
      results: What an experiment found.

    Returns:
      A sentence in plain words.
    """
    counts = {
        word: sum(row.verdict == word for row in results.rows)
        for word in ("holds", "fails", "inconclusive")
    }
    return (
        f"{counts['holds']} of {len(results.rows)} claims hold, {counts['fails']} fail,"
        f" {counts['inconclusive']} are inconclusive. A claim holds when the error, at the unlucky"
        " end of its spread over seeds, is within a tolerance that the best null does not meet; it"
        " fails when even the lucky end is outside. The rule for each tolerance was fixed before"
        " the run; where the rule is a fraction of the best null, the number is the run's own. A"
        " row without a null rests on its tolerance alone."
    )


def _table(rows: Sequence[Row]) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in ("claim", "predicted", "measured", "error", "null", "tolerance", "verdict")
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(map(_row, rows))}</table></div>'


def _row(row: Row) -> str:
    number = f"claim {row.id} · " if row.id else ""
    cells = (
        readable_number(row.predicted),
        readable_number(row.measured),
        error_with_spread(row),
        readable_number(row.null),
        readable_number(row.tolerance),
    )
    return (
        f"<tr><td>{html.escape(row.claim)}<small>{number}{html.escape(row.source)}</small></td>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + f'<td class="{row.verdict}">{_MARK[row.verdict]}</td></tr>'
    )


def _section(section: Section) -> str:
    paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in section.paragraphs)
    return f"<h2>{html.escape(section.title)}</h2>{paragraphs}" + "".join(
        _figure(figure) for figure in section.figures
    )


def _figure(figure: Figure) -> str:
    encoded = base64.b64encode(figure.path.read_bytes()).decode()
    caption = html.escape(figure.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _provenance(results: Results) -> str:
    facts = {
        "experiment": results.experiment,
        "scale": results.scale,
        "seeds": ", ".join(map(str, results.seeds)),
        **results.environment,
    }
    entries = "".join(
        f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in facts.items()
    )
    return f"<details><summary>Where these numbers come from</summary><dl>{entries}</dl></details>"
