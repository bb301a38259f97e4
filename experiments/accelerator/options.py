"""The options of the command; imports nothing that computes, so that `--help` answers at once."""

import argparse
from pathlib import Path

from experiments.accelerator.steps import STEPS
from experiments.errors import InputError

EXAMPLES = """\
examples:
  python -m experiments accelerator --minutes 10 --out runs/accelerator.json
  python -m experiments accelerator --data cifar10.npz --steps device,training --minutes 30
  python -m experiments accelerator --rehearse --steps device,tests,speed,training

exit codes: 0 everything passed, 1 something did not, 2 no accelerator or input that cannot be used
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    parser.add_argument("--minutes", type=float, default=10.0, help="time for all steps together")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/accelerator.json"),
        help="the record, rewritten whenever a result is there",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="an .npz file of images and labels to train on; default: digits on scenes, drawn here",
    )
    parser.add_argument(
        "--steps", default=",".join(STEPS), help="which steps, with commas, in this order"
    )
    parser.add_argument(
        "--rehearse", action="store_true", help="at the smallest sizes, also without an accelerator"
    )


def choose_steps(text: str) -> tuple[str, ...]:
    """Return the steps that words with commas name, in the order of the table, `device` always.

    Raises:
      InputError: A word names no step.
    """
    words = {word.strip() for word in text.split(",") if word.strip()}
    unknown = sorted(words - set(STEPS))
    if unknown or not words:
        given = f"--steps names {unknown[0]!r}" if unknown else "--steps names nothing"
        raise InputError(f"{given}; wanted some of {', '.join(STEPS)}, with commas")
    return tuple(name for name in STEPS if name in words or name == "device")
