"""Inputs of commands: checked moments, the loss that the options name, finite numbers."""

import argparse
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

import theory
from theory.commands.screen import find_stream, print_progress
from theory.linalg.checks import require_number
from theory.linalg.errors import InputError
from theory.losses.family import make_loss
from theory.losses.quadratic import QuadraticLoss
from theory.moments.alignment import noise_floor
from theory.moments.check import MomentsReport
from theory.moments.files import check_result_path
from theory.moments.moments import Moments, default_range_tolerance


class Checked(NamedTuple):
    """Moments of a file, the tolerance of their range, and what the check found."""

    moments: Moments
    tolerance: float
    report: MomentsReport

    @property
    def dim(self) -> int:
        """Return the number of features."""
        return self.moments.covariance.shape[0]

    @property
    def alignment(self) -> np.ndarray:
        """Return the alignments, descending, with zeros for directions outside the data."""
        return np.pad(self.report.alignment, (0, self.dim - self.report.rank))

    @property
    def floor(self) -> float | None:
        """Return the alignment that sampling alone produces, None if the counts are unknown."""
        if self.moments.images is None or self.moments.views is None:
            return None
        rank = self.report.rank
        return float(noise_floor(rank, int(self.moments.images), int(self.moments.views)))


def check_moments_file(options: argparse.Namespace, path: str) -> Checked:
    """Return the moments of a file, refused where no views can have them, and say what they are."""
    if options.out is not None:
        check_result_path(options.out)
    if options.range_tolerance is not None:
        require_number("range_tolerance", options.range_tolerance, positive=True)
    moments = theory.read_moments(path)
    print_progress(f"checking {path}")
    tolerance = options.range_tolerance or default_range_tolerance(moments)
    report = theory.check_moments(moments, range_tolerance=tolerance)
    checked, out = Checked(moments, tolerance, report), find_stream(options)
    print(
        f"moments: {checked.dim} features, {report.rank} of them inside the data (tolerance"
        f" {tolerance:g})",
        file=out,
    )
    if report.negative:
        print(
            f"  {report.negative} alignments are negative, down to {report.most_negative:.3g}:"
            " sampling noise, counted as 0",
            file=out,
        )
    if checked.floor is not None:
        above = int(np.sum(report.alignment > checked.floor))
        print(
            f"  noise floor of the alignments {checked.floor:.3g}: {above} modes lie above it",
            file=out,
        )
    return checked


def make_loss_of(
    options: argparse.Namespace, moments: Moments, tolerance: float, *, name: str | None = None
) -> QuadraticLoss:
    """Return the loss that the options ask for, or another one with the parameters it needs."""
    chosen = options.loss if name is None else name
    parameters = {
        parameter: getattr(options, parameter)
        for parameter, owner in (("invariance_weight", "vicreg"), ("temperature", "infonce"))
        if name is None or owner == name
    }
    return make_loss(chosen, moments, range_tolerance=tolerance, **parameters)


def require_finite(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse to write what overflowed."""
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise InputError(
                f"{name} of the result is not finite: the moments span too many orders of magnitude"
                " for float64; rescale the data or raise --range-tolerance"
            )
