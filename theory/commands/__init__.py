"""The command line, a thin skin over the façade: moments in, predictions out.

In reading order:

* `parser`: every command, its arguments and its help; `arguments` has what they share.
* `inputs`: read and check moments; `screen`: tables and words for people.
* `solve`, `flow`, `modes`, `sweep`, `phase`, `compare`, `design`, `explore`: one file a command,
  each with a function `run`.

Whatever is wrong with the input is one line and exit code 2. A command's module is loaded when it
runs, so that help is there at once.
"""

import importlib
import sys

from theory.commands.parser import make_parser
from theory.linalg.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0 when a result was written, 2 when the input cannot be used."""
    options = make_parser().parse_args(arguments)
    try:
        command = importlib.import_module(f"theory.commands.{options.command}")
        with importlib.import_module("jax").enable_x64(True):
            command.run(options)
    except InputError as error:
        print(f"python -m theory {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"python -m theory {options.command}: stopped, nothing was written", file=sys.stderr)
        return 130
    return 0
