"""Draws panels and contrasts; every caption follows from what is drawn."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.core.contrasts import Contrast, Judged, judge_contrast
from experiments.core.measurements import Key, Table, curve_name
from experiments.core.panels import Course, Images, Losses, Map, Panel, Prediction, Spectra
from experiments.core.values import Row, UndefinedError, Value
from experiments.core.verdicts import Verdict
from experiments.figures import courses, dots, losses, pictures, spectra

UNITS = {"points": "points of accuracy", "times": "factor", "share": "share"}


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure and its caption."""

    path: Path
    caption: str


def draw_panels(panels: Sequence[Panel], table: Table, folder: Path) -> list[tuple[int, Drawn]]:
    """Return the claim and the figure of every panel that the table has something of."""
    drawn = [(p.claim, draw_panel(p, table, folder / f"{p.name}.png")) for p in panels]
    return [(claim, figure) for claim, figure in drawn if figure is not None]


def draw_panel(panel: Panel, table: Table, path: Path) -> Drawn | None:
    """Draw what the table has of a panel; None where that is nothing."""
    match panel:
        case Losses():
            return _draw_losses(panel, table, path)
        case Course():
            return _draw_course(panel, table, path)
        case Spectra():
            return _draw_spectra(panel, table, path)
        case Prediction():
            return _draw_prediction(panel, table, path)
        case Map():
            return _draw_map(panel, table, path)
        case Images():
            return _draw_images(panel, table, path)


def draw_claim(verdict: Verdict, folder: Path) -> list[Drawn]:
    """Return the dots of a claim, a figure for each unit, the primary's first."""
    rows = [verdict.primary, *verdict.gates, *verdict.secondary, *verdict.controls, *verdict.noted]
    return draw_contrasts(rows, folder, f"claim-{verdict.claim.id:02d}")


def draw_contrasts(rows: Sequence[Judged], folder: Path, name: str) -> list[Drawn]:
    """Return dots of contrasts, a figure for each unit.

    Args:
      rows: In order; those without a number are left out.
      folder: Where the files go.
      name: Of the files, before the unit.
    """
    shown = [row for row in rows if row.is_measured and row.contrast.kind != "identity"]
    drawn = []
    for number, unit in enumerate(dict.fromkeys(row.contrast.unit for row in shown)):
        group = [row for row in shown if row.contrast.unit == unit]
        path = folder / f"{name}-{number}.png"
        words = UNITS.get(unit, unit.removeprefix("of the ").removeprefix("of a "))
        dots.draw_dots(path, [make_dot(row) for row in group], words, factors=unit == "times")
        drawn.append(Drawn(path, _dots_caption(group)))
    return drawn


def make_dot(row: Judged) -> dots.Dot:
    """Return a judged contrast as it is drawn."""
    contrast = row.contrast
    return dots.Dot(
        contrast.name,
        "secondary" if contrast.role == "noted" and contrast.beside else contrast.role,
        tuple(row.shown(value) for value in row.values),
        row.shown(row.effect),
        row.shown(row.low),
        row.shown(row.high),
        tuple(row.shown(margin) for margin in _margins(contrast)),
        row.status == "not testable here",
    )


def _draw_losses(panel: Losses, table: Table, path: Path) -> Drawn | None:
    pairs = [(name, *(_judge(value, table) for value in values)) for name, *values in panel.tasks]
    shown = [pair for pair in pairs if all(row.is_measured for row in pair[1:])]
    if not shown:
        return None
    tasks = [
        losses.Task(name, *((row.effect, row.low, row.high) for row in rows))
        for name, *rows in shown
    ]
    losses.draw_losses(path, tasks, panel.null, "points of accuracy lost behind the head")
    counts = sorted({len(row.seeds) for _, *rows in shown for row in rows})
    seeds = " or ".join(str(count) for count in counts)
    return Drawn(
        path,
        f"{panel.title} Filled circle: the trained head; open gray circle: {panel.null}. Bars: 95 %"
        f" intervals for new seeds and test images ({seeds} seeds).",
    )


def _judge(value: Value, table: Table) -> Judged:
    return judge_contrast(Contrast(claim=0, name="", role="noted", value=value, says=""), table)


def _draw_course(panel: Course, table: Table, path: Path) -> Drawn | None:
    seeds = tuple(sorted({seed for row in panel.rows() for seed in table.seeds(row.network)}))
    lines = [
        courses.Line(
            line.name,
            np.array([[_at(v, table, seed) for v in line.values] for seed in seeds]),
            line.is_null,
            line.predicted,
        )
        for line in panel.lines
        if seeds
    ]
    lines = [line for line in lines if np.isfinite(line.values).any()]
    if not lines:
        return None
    courses.draw_course(
        path, panel.levels, lines, panel.x, panel.y, log_x=panel.log_x, log_y=panel.log_y
    )
    nulls = [line.name for line in lines if line.is_null]
    gray = f" Gray: {' and '.join(nulls)}." if nulls else ""
    return Drawn(
        path,
        f"{panel.title} Marks: means over {len(seeds)} seeds; bars: from the lowest seed to the"
        f" highest.{gray}",
    )


def _draw_spectra(panel: Spectra, table: Table, path: Path) -> Drawn | None:
    found = [
        spectra.Spectrum(
            name, np.stack(measured), np.stack(curves) if predicted and curves else None
        )
        for name, row, predicted in panel.spectra
        if (measured := _curves(row, table))
        for curves in [_curves(predicted, table) if predicted else []]
    ]
    if not found:
        return None
    spectra.draw_spectra(path, found, panel.x, panel.y)
    lines = " Lines: predicted." if any(s.predicted is not None for s in found) else ""
    return Drawn(path, f"{panel.title} Marks: measured, medians over seeds.{lines}")


def _draw_prediction(panel: Prediction, table: Table, path: Path) -> Drawn | None:
    found = [
        (name, np.concatenate(expected), np.concatenate(measured))
        for name, theory, row in panel.pairs
        if (expected := _curves(theory, table)) and (measured := _curves(row, table))
    ]
    if not found:
        return None
    names, predicted, measured = zip(*found, strict=True)
    spectra.draw_prediction(path, predicted, measured, names, panel.what)
    return Drawn(path, f"{panel.title} Line: equality. All seeds.")


def _draw_map(panel: Map, table: Table, path: Path) -> Drawn | None:
    found = _curves(panel.row, table)
    if not found:
        return None
    pictures.draw_map(path, found[0], panel.x, panel.y, panel.what, boundary=panel.boundary)
    line = "" if panel.boundary is None else f" Line: where it is {panel.boundary:g}."
    return Drawn(path, f"{panel.title}{line}")


def _draw_images(panel: Images, table: Table, path: Path) -> Drawn | None:
    found = [(name, _curves(row, table)) for name, row in panel.kinds]
    shown = [(name, images[0]) for name, images in found if images]
    if not shown:
        return None
    pictures.draw_images(path, np.stack([images for _, images in shown]), [n for n, _ in shown])
    return Drawn(path, panel.title)


def _margins(contrast: Contrast) -> tuple[float, ...]:
    if contrast.role == "noted":
        return ()
    if contrast.role == "gate":
        return (contrast.at_least or 0.0,)
    margin = contrast.smallest_effect
    if contrast.kind in ("two_sided", "equivalence"):
        return (-margin, margin)
    return (-margin,) if contrast.kind == "no_worse" else (margin,)


def _dots_caption(rows: Sequence[Judged]) -> str:
    null = "no difference (1)" if rows[0].contrast.unit == "times" else "no effect"
    counts = sorted({len(row.seeds) for row in rows})
    seeds = " or ".join(str(count) for count in counts)
    roles = {row.contrast.role for row in rows}
    words = {
        "primary": "filled circle: the primary contrast",
        "secondary": "square: secondaries",
        "gate": "diamond: gates",
        "control": "triangle: controls",
        "noted": "gray circle: noted",
    }
    marks = "; ".join(words[role] for role in words if role in roles)
    return (
        f"{marks[0].upper()}{marks[1:]}. Bars: 95 % intervals for new seeds and test images"
        f" ({seeds} seeds); small strokes: seeds; solid line: {null}; dashed: the smallest effect"
        " that matters, or a gate's bar."
    )


def _at(value: Value, table: Table, seed: int) -> float:
    """Return a value of a seed, NaN where the table lacks a row of it."""
    keys = {
        row: Key(row.network, seed, row.variant, row.layer, row.task, row.quantity, row.level)
        for row in value.rows()
    }
    if any(key not in table.rows for key in keys.values()):
        return np.nan
    try:
        return float(value.evaluate(lambda row: np.array([table.rows[keys[row]].value]))[0])
    except UndefinedError:
        return np.nan


def _curves(row: Row, table: Table) -> list[np.ndarray]:
    names = [
        curve_name(Key(row.network, s, row.variant, row.layer, row.task, row.quantity, row.level))
        for s in table.seeds(row.network)
    ]
    return [table.curves[name] for name in names if name in table.curves]
