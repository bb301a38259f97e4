"""Measures what the quickstart lacks, judges, draws and writes the page."""

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

from experiments.core.contrasts import Judged, judge_contrast
from experiments.core.experiment import Experiment
from experiments.core.measurements import Measurement, Run, Table, curve_name
from experiments.core.runner import Job, Measured, count_workers, order_jobs, run_jobs
from experiments.files import make_folder, write_bytes
from experiments.pages.claim import contrast_table, what_ran
from experiments.pages.drawing import draw_contrasts, draw_panels
from experiments.pages.sentences import sentence
from experiments.pages.style import figure, heading, paragraph, write_page
from experiments.tools.quickstart.head import measure_head
from experiments.tools.quickstart.linear import measure_linear
from experiments.tools.quickstart.record import make_record
from experiments.tools.quickstart.settings import HEAD, LINEAR, SIZES, SWEEP
from experiments.tools.quickstart.sweep import measure_sweep

REPORT, FIGURES = "report.html", "figures"
PARTS = {
    LINEAR: (
        "A  A linear network of three layers, straight on pixels",
        "Theory gets the second moments of augmented views and the size of the initial weights, and"
        " forecasts every layer all through training by stochastic gradient descent. Modes with an"
        " alignment above 0.1 are compared, each along its own predicted direction, so that sorting"
        " cannot help.",
    ),
    HEAD: (
        "B  The linear head of a small ResNet, with weight decay",
        "Encoder and head train together for a few hundred steps, too few for the head to forget"
        " its start: the unsettled head is shown as it is, predicted at its own weight decay. Then"
        " the encoder is frozen and the head goes on alone, while weight decay rises from zero past"
        " its final value and returns; the prediction follows the same path.",
    ),
    SWEEP: (
        "C  A nonlinear head under stronger and stronger augmentation",
        "A perceptron with a nonlinear head is trained at several strengths of augmentation and"
        " measured on test images, feature and embedding side by side. Its embedding is forecast"
        " from the feature's statistics as if the head were linear.",
    ),
}
LEAD = (
    "Theory says how unequally each layer of a contrastive network weights its features, from"
    " nothing but the second moments of augmented views. Here it predicts, a trainer that never saw"
    " the prediction trains, and the two are held against each other and against rivals that know"
    " less."
)


def run_quickstart(out: Path, tier: str) -> tuple[Judged, ...]:
    """Run what is missing of the quickstart, and write tables, figures and `report.html`.

    Args:
      out: Folder, created.
      tier: A name of `SIZES`.

    Raises:
      InputError: The folder cannot be written, or holds another tier.
      NetworksFailedError: A part failed; the others are kept.
    """
    size = SIZES[tier]
    make_folder(out)
    config = hashlib.sha256(repr(size).encode()).hexdigest()[:12]
    jobs = {
        (network, seed): Job(network, seed, tier, config)
        for network in PARTS
        for seed in size.seeds
    }
    measure = functools.partial(measure_part, runs=out / "runs")
    table = run_jobs(order_jobs(jobs), out, measure, workers=min(count_workers(), len(jobs)))
    record = make_record(size)
    judged = tuple(judge_contrast(contrast, table) for contrast in record.contrasts)
    write_bytes(out / REPORT, _write(record, judged, table, out / FIGURES))
    for row in judged:
        if row.is_measured:
            print(f"{row.status or 'noted':9s} {sentence(row)}")
    if len(size.seeds) < 3:
        print(f"the tier {tier} has too few seeds for intervals: no effect is judged")
    print(f"open {out / REPORT}")
    return judged


def measure_part(network: str, seed: int, tier: str, *, runs: Path) -> Measured:
    """Return everything that is measured of one part and seed.

    Args:
      network: `LINEAR`, `HEAD` or `SWEEP`.
      seed: Of its training.
      tier: A name of `SIZES`.
      runs: Folder in which run folders are made, and kept.
    """
    size = SIZES[tier]
    if network == LINEAR:
        found, steps = measure_linear(size, seed), size.linear_steps
    elif network == HEAD:
        found, steps = measure_head(size, seed, runs), size.joint_steps
    else:
        found, steps = measure_sweep(size, seed), size.sweep_steps
    items = tuple(found)
    rows = tuple(item for item in items if isinstance(item, Measurement))
    curves = {
        curve_name(item.key): item.values for item in items if not isinstance(item, Measurement)
    }
    return Measured(Run(network, seed, tier, steps=steps), rows, curves)


def _write(record: Experiment, judged: Sequence[Judged], table: Table, figures: Path) -> bytes:
    parts = []
    for network, (title, words) in PARTS.items():
        rows = [row for row in judged if _network(row) == network]
        panels = [
            panel
            for panel in record.panels
            if {row.network for row in (*panel.rows(), *panel.curves())} == {network}
        ]
        drawn = [drawn for _, drawn in draw_panels(panels, table, figures)]
        parts += [
            heading(title),
            paragraph(words),
            contrast_table(rows),
            *map(figure, draw_contrasts(rows, figures, network)),
            *map(figure, drawn),
        ]
    return write_page(
        record.question,
        (
            f'<div class="lead">{paragraph(LEAD)}</div>',
            *parts,
            heading("What it can and cannot show"),
            paragraph(record.scope),
            *what_ran("quickstart", tuple(PARTS), table, judges=False),
        ),
    )


def _network(row: Judged) -> str:
    return row.contrast.value.rows()[0].network
