"""Runs the commands: experiments by name, their tables and pages, and tools on one's own runs.

Nothing that computes is imported before a command runs, so that `--help` answers at once.
"""

import argparse
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.core.runner import MeasureNetwork, NetworksFailedError
from experiments.errors import InputError
from experiments.tools.parser import make_parser
from experiments.tools.registry import EXPERIMENTS

LIST_WIDTH = 100


def main(arguments: Sequence[str] | None, load_measure: Callable[[], MeasureNetwork]) -> int:
    """Run the command line; return the exit code.

    0 is done, 1 that networks failed, 2 that the input cannot be used, 130 that it was stopped.

    Args:
      arguments: Words after the program's name; None for those of this process.
      load_measure: Returns what trains and measures one network, importable by its name.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["train"]:
            return _train(words[1:])
        options = make_parser().parse_args(words)
        if options.name in _COMMANDS:
            return _COMMANDS[options.name](options)
        return _run_experiments(options, load_measure)
    except ValueError as error:
        if not isinstance(error, _list_refusals()):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except NetworksFailedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130


def _list_refusals() -> tuple[type[Exception], ...]:
    """Return the exceptions that say what a user can do: ours, and those of packages loaded."""
    below = {"ssljax.system.errors": "UsageError", "theory.linalg.errors": "InputError"}
    loaded = [
        getattr(sys.modules[module], name)
        for module, name in below.items()
        if module in sys.modules
    ]
    return (InputError, *loaded)


def _list(options: argparse.Namespace) -> int:
    for name, experiment in EXPERIMENTS.items():
        claims = ", ".join(str(claim.id) for claim in experiment.claims)
        sources = "; ".join(dict.fromkeys(claim.source for claim in experiment.claims))
        word = "claims" if len(experiment.claims) > 1 else "claim"
        note = f"[{word} {claims}, {sources}]" if claims else "[no claim]"
        lines = textwrap.wrap(experiment.question, LIST_WIDTH - 13)
        if len(lines[-1]) + len(note) < LIST_WIDTH - 13:
            lines[-1] += f" {note}"
        else:
            lines.append(note)
        print(f"{name:<13}" + f"\n{'':<13}".join(lines))
    return 0


def _run_experiments(
    options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]
) -> int:
    from experiments.tools import commands  # noqa: PLC0415

    verdicts = commands.run(
        () if options.name == "all" else (options.name,),
        _folder(options),
        options.tier,
        load_measure(),
        seeds=_read_seeds(options.seeds),
        workers=options.jobs,
    )
    return _show(verdicts, _folder(options))


def _judge(options: argparse.Namespace) -> int:
    from experiments.tools import judging  # noqa: PLC0415

    judging.print_verdicts(judging.judge(options.folder))
    return 0


def _pages(options: argparse.Namespace) -> int:
    from experiments.tools import commands  # noqa: PLC0415

    verdicts = commands.pages(options.folder)
    if options.readme is not None:
        commands.renew_readme(options.readme, options.folder, verdicts)
    return _show(verdicts, options.folder)


def _show(verdicts: Sequence[Any], folder: Path) -> int:
    from experiments.pages.publish import INDEX  # noqa: PLC0415
    from experiments.tools.judging import print_verdicts  # noqa: PLC0415

    print_verdicts(verdicts)
    print(f"open {folder / INDEX}")
    return 0


def _quickstart(options: argparse.Namespace) -> int:
    from experiments.tools.quickstart.run import run_quickstart  # noqa: PLC0415

    run_quickstart(_folder(options), options.tier)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from experiments.tools.comparison.run import run_comparison  # noqa: PLC0415

    run_comparison(
        options.source,
        options.out or Path("runs") / f"compare-{options.source[0].stem}",
        weight_decay=options.weight_decay,
        loss=options.loss,
        settle=options.settle,
        views=options.views,
        seed=options.seed,
    )
    return 0


def _spectra(options: argparse.Namespace) -> int:
    from experiments.tools.spectra import run_spectra  # noqa: PLC0415

    run_spectra(options.run, options.out or options.run)
    return 0


def _phase(options: argparse.Namespace) -> int:
    from experiments.tools.phase import SIZES, read_grid, run_phase  # noqa: PLC0415

    size = SIZES[options.tier]
    grid = read_grid(
        options.retentions or f"0.02:1:{size.resolution}",
        options.strengths or f"log:0.05:3.2:{size.resolution}",
        options.weight_decay,
        options.others,
        options.view_noise,
    )
    run_phase(_folder(options), grid, size)
    return 0


def _speed(options: argparse.Namespace) -> int:
    from experiments.speed.run import run  # noqa: PLC0415

    run(
        options.out,
        only=options.only,
        rounds=options.rounds,
        clock=options.clock,
        large=options.large,
    )
    return 0


def _accelerator(options: argparse.Namespace) -> int:
    from experiments.accelerator.command import run_accelerator  # noqa: PLC0415

    return run_accelerator(options)


def _train(words: list[str]) -> int:
    from experiments.tools.train import run_train  # noqa: PLC0415

    return run_train(words)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "judge": _judge,
    "pages": _pages,
    "quickstart": _quickstart,
    "compare": _compare,
    "spectra": _spectra,
    "phase": _phase,
    "speed": _speed,
    "accelerator": _accelerator,
}


def _folder(options: argparse.Namespace) -> Path:
    return options.out or Path("runs") / f"{options.name}-{options.tier}"


def _read_seeds(text: str | None) -> tuple[int, ...]:
    wanted = "wanted different whole numbers from 0 to 2147483647 with commas: 0,1,2"
    try:
        seeds = tuple(int(seed) for seed in text.split(",")) if text else ()
    except ValueError as error:
        raise InputError(f"--seeds {text}; {wanted}") from error
    if len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**31 for seed in seeds):
        raise InputError(f"--seeds {text}; {wanted}")
    return seeds
