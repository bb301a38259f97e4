"""The command line: moments in, predictions out, one line for whatever is wrong with them.

One file a command; `theory.commands.inputs` has what they do alike.
"""

import sys

import jax

from theory.commands import compare, explore, flow, modes, phase, solve, sweep
from theory.commands.arguments import make_parser
from theory.linalg.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when a result was written, 2 when the input could not be used."""
    parser, commands = make_parser()
    for command in (solve, flow, modes, sweep, phase, compare, explore):
        command.add(commands)
    options = parser.parse_args(arguments)
    try:
        with jax.enable_x64(True):
            options.run(options)
    except InputError as error:
        print(f"python -m theory {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"python -m theory {options.command}: stopped, nothing was written", file=sys.stderr)
        return 130
    return 0
