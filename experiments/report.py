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
from experiments.page_style import STYLE
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
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>",
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
