"""All three parts, one page."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiments.environment import environment
from experiments.files import make_folder
from experiments.core.progress import experiment_progress
from experiments.quickstart.linear_layers import linear_layers
from experiments.quickstart.page import write_page
from experiments.quickstart.rows import linear_rows, settled_rows
from experiments.quickstart.scales import SCALES
from experiments.quickstart.settled_head import settled_head
from experiments.quickstart.strength_sweep import strength_sweep
from experiments.results import Results
from experiments.strength_rows import sweep_rows
from experiments.table import print_results


def run(out: Path, scale: str) -> Results:
    """Run the quickstart and write `results.json`, figures and `report.html`.

    Args:
      out: Folder, created; an earlier quickstart in it is replaced.
      scale: "smoke", "laptop" or "paper".

    Returns:
      What was written.

    Raises:
      InputError: The folder cannot be written.
    """
    started = time.perf_counter()
    size = SCALES[scale]
    make_folder(out)
    seeds = len(size.seeds)
    # Work in rough seconds of two cores, so that the time left means something.
    total = 1.0 + seeds * 1.0 + seeds * 4.0 + seeds * len(size.strengths)
    with experiment_progress(total, "A  linear model: measuring the data") as advance:
        # The parts are independent: two threads keep two cores busy, also while compiling. Run
        # folders stay in the main thread, which alone may handle signals.
        with ThreadPoolExecutor(1) as other:
            linear_then_sweep = other.submit(
                lambda: (linear_layers(size, advance), strength_sweep(size, advance))
            )
            head = settled_head(size, out / "runs", advance)
            linear, sweep = linear_then_sweep.result()
        rows = (*linear_rows(linear), *settled_rows(head), *sweep_rows(sweep, "nonlinear head"))
        results = Results(
            "quickstart", scale, size.seeds, environment(time.perf_counter() - started), rows
        )
        write_page(out, linear, head, sweep, results)
        advance("done", 0.0)
    print_results(results, out / "report.html")
    return results
