"""The speed table for the terminal."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.speed.rows import SpeedRow


def speed_table(rows: Sequence[SpeedRow]) -> Table:
    """One line a comparison.

    Args:
      rows: What was measured.

    Returns:
      A rich table.
    """
    table = Table(
        title="speed: ours beside others, in turn",
        caption="ratio: cost of the other over ours (target over reached), above 1 is better",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("what", overflow="fold")
    for heading in ("ours", "unit"):
        table.add_column(heading, justify="right" if heading == "ours" else "left", no_wrap=True)
    table.add_column("beside", overflow="fold")
    table.add_column("ratio [low, high]", justify="right", no_wrap=True)
    table.add_column("wanted", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            escape(f"{row.what}, {row.case}" if row.case else row.what),
            readable_number(row.ours),
            escape(row.unit),
            escape(" ".join(filter(None, (row.peer, row.peer_version)))) or "target",
            ratio_text(row),
            wanted_text(row),
        )
    return table


def speed_lines(rows: Sequence[SpeedRow]) -> list[str]:
    """The same as lines of Markdown.

    Args:
      rows: What was measured.

    Returns:
      Two lines of head and one for each comparison.
    """
    lines = ["| what | ours | beside | ratio | aim |", "|---|---|---|---|---|"]
    for row in rows:
        beside = " ".join(filter(None, (row.peer, row.peer_version))) or "target"
        cells = (
            ", ".join(filter(None, (row.what, row.case))),
            f"{readable_number(row.ours)} {row.unit}",
            beside,
            ratio_text(row),
            "–" if row.wanted is None else readable_number(row.wanted) + missed(row),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def missed(row: SpeedRow) -> str:
    """A word where the ratio is not the one aimed at."""
    return " (**missed**)" if row.reached is False else ""


def ratio_text(row: SpeedRow) -> str:
    """The ratio and its spread over rounds.

    Example:
      >>> ratio_text(SpeedRow("a", "", 1.0, "b", "1", "s", 2.0, 1.5, 2.5))
      '2 [1.5, 2.5]'
    """
    if row.ratio is None:
        return "–"
    if row.low == row.high:
        return readable_number(row.ratio)
    return f"{readable_number(row.ratio)} [{readable_number(row.low)}, {readable_number(row.high)}]"


def wanted_text(row: SpeedRow) -> str:
    """The ratio aimed at, with a mark: reached or not."""
    if row.wanted is None:
        return "–"
    mark = "[green]✓[/]" if row.reached else "[red]✗[/]"
    return f"{readable_number(row.wanted)} {mark}"


def print_speed(rows: Sequence[SpeedRow], path: Path) -> None:
    """Print the table and where the file lies, on standard output."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(speed_table(rows))
    console.print(f"numbers: {path}", soft_wrap=True)


def readable_number(number: float | None) -> str:
    """Return a number with three significant digits; a dash where there is none.

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
