"""All results in one table of twenty claims, and all their rows, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.claims import CLAIMS
from experiments.results import Results, Row
from experiments.table import error_with_spread, readable_number

ROWS_HEAD = (
    "| claim | verdict | measured | error ± spread | best null | tolerance |",
    "|---|---|---|---|---|---|",
)


class Answer(NamedTuple):
    """What one scale says about one claim.

    Attributes:
      verdict: "holds" or "fails" where every row does, "inconclusive" where no row decides,
        otherwise "in part".
      counts: Rows that hold, that fail, that decide nothing.
      headline: The row that comes first in its experiment.
      report: Path of the report, relative to the folder of the results.
    """

    verdict: str
    counts: tuple[int, int, int]
    headline: Row
    report: str


def report_path(path: str, results: Results) -> str:
    """Where the report of a results file lies, relative to the folder that holds both."""
    if path.endswith("/results.json"):
        return path.removesuffix("results.json") + "report.html"
    return f"{results.experiment}-{results.scale}/report.html"


def answers(found: Mapping[str, Results]) -> dict[tuple[int, str], Answer]:
    """The answer to each claim at each scale there are rows of.

    A claim's own experiment gives the headline where it was run; others give theirs otherwise.

    Args:
      found: Results by path, as `experiments.index_page.found_results` reads them.

    Returns:
      Answers by claim and scale.
    """
    collected: dict[tuple[int, str], list[tuple[str, Results, Row]]] = {}
    for path, results in found.items():
        for row in results.rows:
            if row.id:
                collected.setdefault((row.id, results.scale), []).append((path, results, row))
    return {key: _answer(key[0], entries) for key, entries in sorted(collected.items())}


def _answer(number: int, entries: Sequence[tuple[str, Results, Row]]) -> Answer:
    own = CLAIMS[number].experiment
    path, results, row = next(
        (entry for entry in entries if entry[1].experiment == own), entries[0]
    )
    verdicts = [entry[2].verdict for entry in entries]
    counts = (verdicts.count("holds"), verdicts.count("fails"), verdicts.count("inconclusive"))
    return Answer(_word(counts), counts, row, report_path(path, results))


def _word(counts: tuple[int, int, int]) -> str:
    holds, fails, undecided = counts
    if not fails and not undecided:
        return "holds"
    if not holds and not undecided:
        return "fails"
    return "in part" if holds or fails else "inconclusive"


def counts_in_words(counts: tuple[int, int, int]) -> str:
    """How many rows hold, fail and stay open.

    Example:
      >>> counts_in_words((3, 1, 0)), counts_in_words((0, 0, 1))
      ('3 hold, 1 fails', '1 open')
    """
    holds, fails, undecided = counts
    parts = (
        (holds, "holds" if holds == 1 else "hold"),
        (fails, "fails" if fails == 1 else "fail"),
        (undecided, "open"),
    )
    return ", ".join(f"{count} {word}" for count, word in parts if count)


def effect(row: Row) -> str:
    """The number a row is about, its error and what a null would reach."""
    null = "" if row.null is None else f"; null {readable_number(row.null)}"
    return f"{readable_number(row.measured)} (error {error_with_spread(row)}{null})"


def claims_table(found: Mapping[str, Results], scale: str, folder: str = "") -> list[str]:
    """The table of claims as lines of Markdown.

    Args:
      found: Results by path.
      scale: Which scale's answers.
      folder: What links start with, ending in a slash, or empty.

    Returns:
      Two lines of head and one for each claim.
    """
    known = answers(found)
    lines = ["| claim | verdict | rows | headline | effect |", "|---|---|---|---|---|"]
    for number, claim in CLAIMS.items():
        answer = known.get((number, scale))
        statement = f"| {number}. {claim.statement} *{claim.source}*"
        if answer is None:
            lines.append(f"{statement} | not run yet | – | – | – |")
            continue
        row = answer.headline
        lines.append(
            f"{statement} | **{answer.verdict}** | {counts_in_words(answer.counts)} |"
            f" [{row.claim}]({folder}{answer.report}) | {effect(row)} |"
        )
    return lines


def rows_page(found: Mapping[str, Results]) -> str:
    """Every row of every experiment, for reading where the results lie.

    Args:
      found: Results by path.

    Returns:
      The page as Markdown.
    """
    lines = [
        "# Every row",
        "",
        "Errors are means over seeds, spreads half the range. A row holds when error + spread ≤"
        " tolerance < best null − spread and fails when error − spread > tolerance; a row without a"
        " null rests on its tolerance alone.",
    ]
    for path, results in found.items():
        facts = results.environment
        seeds = ", ".join(map(str, results.seeds))
        lines += [
            "",
            f"## {results.experiment}, {results.scale}",
            "",
            f"[report]({report_path(path, results)}) · seeds {seeds} · {facts.get('device')},"
            f" {facts.get('cores')} cores · jax {facts.get('jax')} · {facts.get('date')} ·"
            f" {facts.get('wall_seconds')} seconds · `{facts.get('command')}`",
            "",
            *ROWS_HEAD,
            *map(_row_line, results.rows),
        ]
    return "\n".join(lines) + "\n"


def _row_line(row: Row) -> str:
    number = f"{row.id}. " if row.id else ""
    verdict = f"**{row.verdict}**" if row.verdict == "fails" else row.verdict
    cells = (
        readable_number(row.measured),
        error_with_spread(row),
        readable_number(row.null),
        readable_number(row.tolerance),
    )
    return f"| {number}{row.claim} | {verdict} | {' | '.join(cells)} |"
