"""The table of claims in the README, between two markers."""

from collections.abc import Sequence
from pathlib import Path

from experiments.core.measurements import Table
from experiments.core.verdicts import Verdict, describe_environment
from experiments.errors import InputError
from experiments.files import write_bytes
from experiments.pages.claim import file_name
from experiments.pages.sentences import (
    beside,
    counts_line,
    seeds_words,
    sentence,
    verdict_details,
    verdict_words,
    words_lines,
)

START = "<!-- claims: made by `python -m experiments pages`, not by hand -->"
END = "<!-- end of claims -->"


def readme_table(verdicts: Sequence[Verdict], measured: Table, results: str) -> str:
    """Return the table of claims as Markdown, with counts above and words below.

    Args:
      verdicts: In the order of their numbers.
      measured: For tier and commit.
      results: Path of the folder of pages, relative to the README.
    """
    lines = [
        counts_line(verdicts, measured.tier(), describe_environment(measured)),
        "",
        "| | claim | verdict | effect [95 % interval] | beside it | |",
        "|---|---|---|---|---|---|",
        *(_line(verdict, results) for verdict in verdicts),
        "",
        *(f"* {line}" for line in words_lines()),
    ]
    return "\n".join(lines)


def insert_table(text: str, table: str) -> str:
    """Return a README with the table between its markers.

    Raises:
      InputError: The markers are missing, or not in order.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise InputError(f"the README has no lines '{START}' and '{END}', in this order")
    return f"{before}{START}\n\n{table}\n\n{END}{after}"


def update_readme(path: Path, table: str) -> bool:
    """Write the table into a README; return whether that changed it."""
    old = path.read_text(encoding="utf-8")
    new = insert_table(old, table)
    if new != old:
        write_bytes(path, new.encode())
    return new != old


def _line(verdict: Verdict, results: str) -> str:
    claim, primary = verdict.claim, verdict.primary
    page = f"{results}/{file_name(claim.id)}"
    effect = (
        f"{sentence(primary)} {seeds_words(primary)}" if primary.is_measured else "not measured"
    )
    details = verdict_details(verdict)
    word = f"**{verdict_words(verdict)}**" + (f" ({details})" if details else "")
    picture = f"![]({results}/figures/thumbnail-{claim.id:02d}.png)" if primary.is_measured else ""
    cells = (
        str(claim.id),
        f"{claim.statement} *({claim.source})*",
        word,
        f"[{effect}]({page})",
        beside(verdict),
        picture,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
