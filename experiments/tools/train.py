"""`python -m experiments train`: a run of `ssljax train` with theory's observers in its step."""

import argparse

from experiments.errors import InputError
from experiments.tools.observers import OBSERVABLES, observers_of
from ssljax.cli.main import main as ssljax_main
from ssljax.config.config import Config
from ssljax.training.observers import Observer

_EXAMPLE = """example:
  python -m experiments train digits_linear --observe ranks,ledger --workdir runs/observed

Every option of `python -m ssljax train PRESET` is accepted; see its --help. What is observed goes
into metrics.jsonl and TensorBoard with the loss: effective_rank/LAYER, invariance_defect/LAYER,
balance/L and ledger_error/L. Resume a run with the same --observe.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        """One line that names the way out."""
        raise InputError(f"{message}; see python -m experiments train --help")


def run_train(arguments: list[str]) -> int:
    """Train a preset with observers.

    Args:
      arguments: Those of ``ssljax train``, with ``--observe`` and its options among them.

    Returns:
      The exit code of ``ssljax train``.

    Raises:
      InputError: What is to be observed does not exist in this run.
    """
    parser = _Parser(
        prog="python -m experiments train",
        usage="python -m experiments train PRESET [--observe A,B] [options of ssljax train]",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--observe",
        default="ranks,defects",
        metavar="A,B",
        help=f"some of {', '.join(OBSERVABLES)} (default: ranks,defects)",
    )
    parser.add_argument(
        "--observe-layers",
        default="feature,embedding",
        metavar="A,B",
        help="layers whose ranks and defects are observed (default: feature,embedding)",
    )
    parser.add_argument(
        "--observe-every",
        type=int,
        default=10,
        metavar="N",
        help="steps between effective ranks (default: 10)",
    )
    given, rest = parser.parse_known_args(arguments)
    if given.observe_every < 1:
        raise InputError(f"--observe-every is {given.observe_every}: give at least 1")

    def make_observers(config: Config) -> tuple[Observer, ...]:
        return observers_of(
            config, _names(given.observe), _names(given.observe_layers), given.observe_every
        )

    return ssljax_main(["train", *rest], make_observers=make_observers)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
