"""The page of a run: curves, accuracies, layer spectra, settings and provenance, in one file.

It is the only file of the package that draws. matplotlib is loaded when a page is written; without
it the page has no pictures.
"""

import html
import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssljax.runs.metrics import read_metrics
from ssljax.system.errors import UsageError
from ssljax.system.files import read_json, read_json_lines, write_text
from ssljax.system.progress import notice

REPORT_FILE = "report.html"

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1a; --soft: #5c5b57; --paper: #fdfdfb;
  --line: #dcdad2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e7e1; --soft: #a9a69d; --paper: #191917;
  --line: #3a3935; } }
body { margin: 0 auto; max-width: 56rem; padding: 2rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.6 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .4rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  font-variant-numeric: tabular-nums; }
h1, h2, th, td { overflow-wrap: break-word; }  /* a word that fits a line is never broken */
svg { width: 100%; height: auto; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .9rem; }
"""

_INK = "#7a7872"  # readable on light and dark paper
_DRAWING: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 8,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.2,
    "path.simplify_threshold": 0.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "ssljax",  # equal pages for equal runs
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def page(title: str, parts: Sequence[str]) -> str:
    """Return a self-contained page; the title is escaped, the parts are HTML already."""
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{html.escape(title)}</h1>",
            *parts,
            "</body></html>\n",
        )
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain texts, all of them escaped."""
    cells = "".join(f"<th>{html.escape(text)}</th>" for text in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{cells}</tr>{lines}</table></div>'


class Curve(NamedTuple):
    """A name and points; points that are not finite leave a gap."""

    name: str
    x: Sequence[int | float]
    y: Sequence[int | float]


def draw_curves(curves: Sequence[Curve], x_label: str, y_label: str, *, log_y: bool = False) -> str:
    """Return a diagram of curves as an ``<svg>`` element, with every text in it escaped.

    Args:
      curves: What is drawn; those without a point that can be drawn are left out.
      x_label: Under the horizontal axis.
      y_label: Beside the vertical axis.
      log_y: Logarithmic vertical axis; points that are not positive leave a gap.

    Returns:
      The element, or an empty string where there is nothing to draw.
    """
    drawn = [(curve.name, *_select_drawable(curve, log_y)) for curve in curves]
    drawn = [(name, x, y) for name, x, y in drawn if np.isfinite(y).any()]
    try:
        from matplotlib import rc_context  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return ""
    if not drawn:
        return ""
    with rc_context(_DRAWING):
        picture = Figure(figsize=(6.4, 2.8), layout="constrained")
        axes = picture.subplots()
        for name, x, y in drawn:
            axes.plot(x, y, label=name, marker="o" if len(x) == 1 else None)
        axes.set(xlabel=x_label, ylabel=y_label, yscale="log" if log_y else "linear")
        if len(drawn) > 1:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        file = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        picture.savefig(file, format="svg", transparent=True, metadata=metadata)
    text = file.getvalue()
    return text[text.index("<svg") :]


def _select_drawable(curve: Curve, log_y: bool) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
    is_drawn = np.isfinite(x) & np.isfinite(y) & (np.abs(y) < 1e300)
    return x, np.where(is_drawn & (y > 0) if log_y else is_drawn, y, np.nan)


def figure(svg: str, caption: str) -> str:
    """Return a picture with a caption; nothing where there is no picture."""
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>" if svg else ""


def write_report(workdir: Path) -> Path:
    """Write ``report.html`` of a run from what its folder holds, finished or not.

    Nothing on the page is fetched, and everything on it that came from a file or a name is
    escaped.

    Args:
      workdir: Run folder.

    Returns:
      The file.

    Raises:
      UsageError: The folder holds no run.
    """
    config = read_json(workdir / "config.json")
    metrics = _select_lines(read_metrics(workdir))
    parts = [f"<p>{html.escape(_summary(config, metrics))}</p>", *_accuracies(workdir)]
    for name in _curve_names(metrics):
        lines = [line for line in metrics if _is_number(line.get(name))]
        curve = Curve(name, [line["step"] for line in lines], [line[name] for line in lines])
        parts.append(figure(draw_curves([curve], "step", name), name))
    neighbors = draw_curves(_neighbors(workdir), "step", "k-NN accuracy")
    parts.append(figure(neighbors, "nearest neighbors along training, and of raw pixels"))
    spectra = _layer_spectra(workdir)
    drawn = draw_curves(spectra, "mode", "eigenvalue", log_y=True)
    parts.append(figure(drawn, "layer spectra: eigenvalues of each layer's covariance over views"))
    parts += ["<h2>Settings</h2>", table(("field", "value"), _flatten(config))]
    for title, name in (("Model", "model.json"), ("Environment", "environment.json")):
        if (workdir / name).exists():
            rows = _flatten(read_json(workdir / name))
            parts += [f"<h2>{title}</h2>", table(("what", "value"), rows)]
    path = workdir / REPORT_FILE
    write_text(path, page(f"Run {workdir.absolute().name}", parts))
    return path


def try_to_write_report(workdir: Path) -> None:
    """Write the page of a run; what cannot be shown there does not undo a finished run."""
    try:
        write_report(workdir)
    except UsageError as error:
        notice(f"no {REPORT_FILE}: {error}")


def _select_lines(found: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the objects that name their step; a run writes no others."""
    return [line for line in found if isinstance(line, dict) and _is_number(line.get("step"))]


def _summary(config: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> str:
    wanted = config.get("num_steps")
    if not metrics:
        return f"No step was recorded yet of {wanted}."
    last = metrics[-1]
    return f"Step {last['step']} of {wanted}, loss {last.get('loss')}."


def _accuracies(workdir: Path) -> list[str]:
    path = workdir / "evaluation.json"
    if not path.exists():
        return []
    layers = {name: row for name, row in read_json(path).items() if _has_accuracies(row)}
    if not layers:
        return []
    columns = list(dict.fromkeys(name for row in layers.values() for name in row))
    columns = [
        name for name in columns if any(_is_number(row.get(name)) for row in layers.values())
    ]
    rows = [
        (layer, *(f"{row[name]:.4f}" if _is_number(row.get(name)) else "" for name in columns))
        for layer, row in layers.items()
    ]
    return ["<h2>Accuracies</h2>", table(("layer", *columns), rows)]


def _has_accuracies(row: Any) -> bool:
    return isinstance(row, dict) and any("accuracy" in name for name in row)


def _curve_names(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for line in metrics for name in line if name != "step")
    return [name for name in names if any(_is_number(line.get(name)) for line in metrics)]


def _neighbors(workdir: Path) -> list[Curve]:
    """Return the accuracy of each layer, as the run's schedule measured it."""
    lines = _select_lines(read_json_lines(workdir / "neighbors.jsonl"))
    curves = []
    for name in _curve_names(lines):
        own = [line for line in lines if _is_number(line.get(name))]
        curves.append(Curve(name, [line["step"] for line in own], [line[name] for line in own]))
    return curves


def _layer_spectra(workdir: Path) -> list[Curve]:
    curves = []
    for path in sorted((workdir / "moments").glob("*.npz")):
        try:
            # Opened here: np.load leaves a file open that turns out not to be its own.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                if "covariance" not in arrays:
                    continue
                covariance = arrays["covariance"]
        except (
            OSError,
            ValueError,
            EOFError,
            KeyError,
            RuntimeError,  # encrypted, or packed by a method that zipfile does not know
            MemoryError,  # a damaged shape
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise UsageError(f"{path} cannot be read: measure it again, or remove it") from error
        is_square = covariance.ndim == 2 and covariance.shape[0] == covariance.shape[1] > 0
        if covariance.dtype.kind != "f" or not is_square or not np.isfinite(covariance).all():
            raise UsageError(f"{path} holds no covariance: measure it again, or remove it")
        values = np.linalg.eigvalsh(covariance.astype(np.float64))[::-1]
        curves.append(Curve(path.stem, list(range(1, len(values) + 1)), values.tolist()))
    return curves


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            rows.append((f"{prefix}{name}", text))
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
