"""The commands that need tables only: `judge` and `pages`.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TABLE_COMMANDS = ("judge", "pages")


def add_table_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the commands that need tables only, `judge` and `pages`, to a parser."""
    for name, words in (
        ("judge", "write verdicts.json from the tables of a folder"),
        ("pages", "write figures and pages from the tables of a folder"),
    ):
        one = commands.add_parser(name, help=words)
        one.add_argument("folder", type=Path)
        if name == "pages":
            one.add_argument("--readme", type=Path, help="README whose table of claims is renewed")


def run_table_command(options: argparse.Namespace) -> int:
    """Run `judge` or `pages`; return the exit code.

    Raises:
      InputError: The tables are missing or damaged, or nothing can be written.
    """
    # Imported on use: judging needs no figures.
    from experiments.tools import judging  # noqa: PLC0415

    if options.name == "judge":
        judging.print_verdicts(judging.judge(options.folder))
        return 0
    from experiments.tools import commands  # noqa: PLC0415

    verdicts = commands.pages(options.folder)
    if options.readme is not None:
        commands.renew_readme(options.readme, options.folder, verdicts)
    return show_verdicts(verdicts, options.folder)


def show_verdicts(verdicts: Sequence[Any], folder: Path) -> int:
    """Print verdicts and where their page is; return the exit code."""
    from experiments.pages.publish import INDEX  # noqa: PLC0415
    from experiments.tools.judging import print_verdicts  # noqa: PLC0415

    print_verdicts(verdicts)
    print(f"open {folder / INDEX}")
    return 0
