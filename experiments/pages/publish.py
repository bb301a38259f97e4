"""Judges a folder of tables and writes what follows from them: verdicts, figures, pages."""

from collections.abc import Mapping
from pathlib import Path

from experiments.core.contrasts import judge_contrast
from experiments.core.experiment import Experiment
from experiments.core.measurements import MEASUREMENTS, Table, read_table
from experiments.core.verdicts import Verdict, judge
from experiments.figures.dots import draw_thumbnail
from experiments.files import write_bytes
from experiments.pages.claim import claim_page, experiment_page, file_name
from experiments.pages.drawing import draw_claim, draw_contrasts, draw_panels, make_dot
from experiments.pages.index import index_page

INDEX, FIGURES = "report.html", "figures"


def write_pages(experiments: Mapping[str, Experiment], folder: Path) -> tuple[Verdict, ...]:
    """Write figures and pages of a folder from its tables; return the verdicts shown.

    Args:
      experiments: Whose claims are shown.
      folder: With `measurements.csv` and `runs.csv`.

    Raises:
      InputError: The tables are missing or damaged, or nothing can be written.
    """
    table = read_table(folder)
    verdicts = judge(experiments, table)
    figures = folder / FIGURES
    thumbnails = {}
    for verdict in verdicts:
        experiment = experiments[verdict.experiment]
        panels = [p for p in experiment.panels if p.claim == verdict.claim.id]
        drawn = [figure for _, figure in draw_panels(panels, table, figures)]
        page = claim_page(verdict, experiment, draw_claim(verdict, figures), drawn, table)
        write_bytes(folder / file_name(verdict.claim.id), page)
        if verdict.primary.is_measured:
            path = figures / f"thumbnail-{verdict.claim.id:02d}.png"
            is_factor = verdict.primary.contrast.unit == "times"
            draw_thumbnail(path, make_dot(verdict.primary), factors=is_factor)
            thumbnails[verdict.claim.id] = path
    others = {
        f"{name}.html": experiment.question
        for name, experiment in experiments.items()
        if _write_beside(name, experiment, table, folder)
    }
    tiers = {
        f"../{other.name}/{INDEX}": judge(experiments, read_table(other))
        for other in find_other_tiers(folder)
    }
    write_bytes(folder / INDEX, index_page(verdicts, thumbnails, table, others, tiers))
    return verdicts


def find_other_tiers(folder: Path) -> tuple[Path, ...]:
    """Return the folders of other tiers beside one of committed results, `results/TIER`."""
    folder = folder.resolve()
    if folder.parent.name != "results":
        return ()
    found = sorted(folder.parent.glob(f"*/{MEASUREMENTS}"))
    return tuple(path.parent for path in found if path.parent != folder)


def _write_beside(name: str, experiment: Experiment, table: Table, folder: Path) -> bool:
    """Write the page of contrasts that belong to no claim; return whether there is one."""
    rows = [judge_contrast(contrast, table) for contrast in experiment.contrasts_of(0)]
    rows = [row for row in rows if row.is_measured]
    panels = [panel for panel in experiment.panels if panel.claim == 0]
    figures = [figure for _, figure in draw_panels(panels, table, folder / FIGURES)]
    # Rows that a figure shows already are not drawn again.
    drawn = {row for panel in panels for row in panel.rows()}
    rest = [row for row in rows if not drawn.issuperset(row.contrast.value.rows())]
    figures += draw_contrasts(rest, folder / FIGURES, name)
    if rows or figures:
        page = experiment_page(name, experiment, rows, figures, table)
        write_bytes(folder / f"{name}.html", page)
    return bool(rows or figures)
