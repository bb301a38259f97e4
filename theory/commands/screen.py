"""Print what commands found: tables, ranks and progress."""

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def find_stream(options: argparse.Namespace) -> Any:
    """Return the stream for words and tables, which is not that of the JSON of ``--out -``."""
    return sys.stderr if options.out == "-" else sys.stdout


def print_table(
    options: argparse.Namespace, columns: Iterable[str], rows: Iterable[Iterable[Any]]
) -> None:
    """Print right-aligned columns, two spaces apart."""
    cells = [[str(cell) for cell in row] for row in (tuple(columns), *rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in cells]
    lines.insert(1, "-" * len(lines[0]))
    print("\n".join(lines), file=find_stream(options))


def print_progress(what: str) -> None:
    """Say on standard error what takes its time."""
    print(f"{what} ...", file=sys.stderr, flush=True)


@contextlib.contextmanager
def show_waiting(what: str, *, every: float = 10.0) -> Iterator[None]:
    """Say on standard error what is computed, and how long it has taken every few seconds."""
    print_progress(what)
    started, is_done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not is_done.wait(every):
            print_progress(f"  {what}, {time.monotonic() - started:.0f} s")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_done.set()
        teller.join()


def effective_rank(variances: np.ndarray) -> float:
    """Return the entropy effective rank of a layer spectrum; 0 where nothing is left."""
    kept = np.maximum(variances, 0.0)
    shares = kept[kept > 0.0] / np.sum(kept) if np.any(kept > 0.0) else np.ones(0)
    return float(np.exp(-np.sum(shares * np.log(shares)))) if shares.size else 0.0
