"""`python -m theory explore`: write a page in which a person moves what theory depends on."""

import argparse
import json
from importlib import resources
from pathlib import Path
from typing import Any

from theory.dynamics.modes import commutator, mode_scales
from theory.linalg.checks import require_count
from theory.linalg.errors import InputError
from theory.moments.alignment import alignment
from theory.moments.check import check_moments
from theory.moments.files import read_moments
from theory.moments.moments import default_range_tolerance

_TOY = (
    ("shape", 1.0, 0.9),
    ("texture", 2.0, 0.6),
    ("background", 3.0, 0.3),
    ("color", 0.6, 0.12),
    ("detail", 0.15, 0.75),
)


def run(options: argparse.Namespace) -> None:
    """Write the page."""
    if not options.out.endswith((".html", ".htm")):
        raise InputError(f"--out is {options.out}, wanted the name of a page: end it in .html")
    require_count("modes", options.modes)
    page = explorer_page(options.moments, options.modes, options.range_tolerance)
    out = Path(options.out)
    if not out.parent.is_dir():
        raise InputError(f"--out is {out}, but there is no folder {out.parent}: create it first")
    part = out.with_name(out.name + ".part")
    part.write_text(page, encoding="utf-8")
    part.replace(out)
    print(f"wrote {out}: open it in a browser")


def explorer_page(
    paths: list[str], num_modes: int = 16, range_tolerance: float | None = None
) -> str:
    """Return the page of `python -m theory explore` as HTML.

    Args:
      paths: MOMENTS.npz files that the page offers beside its toy.
      num_modes: Modes taken from each file, most aligned first; at least 1.
      range_tolerance: Fraction of the largest covariance eigenvalue below which a direction is
        outside the data; by default 1e-10, or 1e-6 for sampled moments.

    Returns:
      A self-contained page: no network, no second file.

    Raises:
      InputError: A file cannot be read as moments.

    Accuracy:
      The page computes in double precision; end states agree with `theory.optimum.thresholds` to
      rounding, courses with `theory.dynamics` to 1e-10.

    Source:
      The closed forms of `theory.optimum.thresholds`; along time the balanced flow, mode by mode.
    """
    toy = {
        "name": "A toy of five features",
        "about": "Each feature has its own variance in a view and its own share common to both"
        " views. Both can be changed below.",
        "toy": True,
        "modes": [{"name": name, "scale": scale, "alignment": kept} for name, scale, kept in _TOY],
    }
    sources = [toy, *(_describe_file(path, num_modes, range_tolerance) for path in paths)]
    data = json.dumps({"sources": sources}).replace("</", "<\\/")
    template = resources.files("theory.commands").joinpath("explore.html").read_text("utf-8")
    return template.replace("__DATA__", data)


def _describe_file(path: str, num_modes: int, range_tolerance: float | None) -> dict[str, Any]:
    moments = read_moments(path)
    tolerance = range_tolerance or default_range_tolerance(moments)
    rank = check_moments(moments, range_tolerance=tolerance).rank
    found = alignment(moments, range_tolerance=tolerance)
    scales = mode_scales(found)
    share = float(commutator(moments.covariance, moments.cross_covariance))
    count = min(rank, num_modes)
    about = f"{count} of {rank} modes, the most aligned first."
    if share > 1e-9:
        about += (
            f" Covariance and cross-covariance do not commute (relative commutator {share:.2g}):"
            " single modes are an approximation here, which solve and flow do without."
        )
    return {
        "name": Path(path).name,
        "about": about,
        "toy": False,
        "modes": [
            {"name": f"mode {k + 1}", "scale": float(scales[k]), "alignment": float(value)}
            for k, value in enumerate(found.values[:count])
        ],
    }
