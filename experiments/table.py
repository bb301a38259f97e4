"""Numbers and verdicts as people read them, in the terminal."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.results import Number, Results, Row, Verdict

if TYPE_CHECKING:
    from rich.table import Table

# A mark and a word beside each color: color alone does not reach everyone.
MARKS: dict[Verdict, str] = {"holds": "✓", "fails": "✗", "inconclusive": "?"}
_COLORS: dict[Verdict, str] = {"holds": "green", "fails": "red", "inconclusive": "yellow"}


def readable_number(number: Number | None) -> str:
    """A number with three significant digits; a dash where there is none.

    Example:
      >>> [readable_number(x) for x in (0.01234, 7.0, -1234.5, 2.5e-7, None, float("nan"))]
      ['0.0123', '7', '−1230', '2.5e-07', '–', '–']
    """
    if number is None or math.isnan(number):
        return "–"
    if math.isinf(number):
        return "∞" if number > 0 else "−∞"
    if number and not 1e-3 <= abs(number) < 1e5:
        text = f"{number:.2e}".replace(".00e", "e").replace("0e", "e")
    elif abs(number) >= 1000:
        text = f"{float(f'{number:.3g}'):.0f}"
    else:
        text = f"{number:.3g}"
    return text.replace("-", "−", 1) if number < 0 else text


def error_with_spread(row: Row) -> str:
    """The error of a row and, where there is one, its spread over seeds."""
    if row.spread == 0:
        return readable_number(row.error)
    return f"{readable_number(row.error)} ± {readable_number(row.spread)}"


def results_table(results: Results) -> "Table":
    """The rows of an experiment as a table for the terminal.

    Args:
      results: What the experiment found.

    Returns:
      A rich table, one line per claim; print it with `rich.console.Console().print`.
    """
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(
        title=escape(f"{results.experiment}, {results.scale}: predicted against measured"),
        caption=(
            f"{len(results.seeds)} seeds; a claim holds when"
            " error + spread ≤ tolerance < best null − spread"
        ),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("claim", ratio=1, overflow="fold", min_width=26)
    table.add_column("verdict", no_wrap=True)
    for heading in ("measured", "error ± spread", "best null", "tolerance"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in results.rows:
        number = f"{row.id}. " if row.id else ""
        table.add_row(
            escape(number + row.claim),
            f"[bold {_COLORS[row.verdict]}]{MARKS[row.verdict]} {row.verdict}[/]",
            readable_number(row.measured),
            error_with_spread(row),
            readable_number(row.null),
            readable_number(row.tolerance),
        )
    return table


def print_results(results: Results, report: Path) -> None:
    """Print the table and where the report lies, on standard output."""
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    if not console.is_terminal:
        # Without a terminal rich assumes 80 columns, which fold every claim into a ribbon.
        console = Console(width=120)
    console.print(results_table(results))
    console.print(f"report: {report}", soft_wrap=True)
