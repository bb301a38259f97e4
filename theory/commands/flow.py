"""`python -m theory flow`: how training gets to its end."""

import argparse
import time

import numpy as np

import theory
from theory.commands.inputs import Checked, check_moments_file, make_loss_of, require_finite
from theory.commands.screen import effective_rank, find_stream, show_waiting
from theory.dynamics.modes import ModeTable, mode_scales, mode_table
from theory.linalg.errors import InputError
from theory.losses.quadratic import QuadraticLoss
from theory.moments.alignment import alignment
from theory.moments.files import read_layers, write_result
from theory.moments.moments import Moments


def run(options: argparse.Namespace) -> None:
    """Follow gradient flow, write its file and print loss and ranks at every time."""
    started = time.monotonic()
    layers = None if options.init is None else read_layers(options.init)
    if layers is not None and options.depth not in (None, len(layers)):
        raise InputError(
            f"--depth is {options.depth} but {options.init} holds {len(layers)} layers: leave"
            " --depth out"
        )
    if layers is not None and options.times is None:
        raise InputError(
            "--times is missing: with --init it cannot be derived, give as in --times 0,10,100"
        )
    checked = check_moments_file(options, options.moments)
    depth = len(layers) if layers is not None else 2 if options.depth is None else options.depth
    loss, times = make_loss_of(options, checked.moments, checked.tolerance), options.times
    if layers is None:
        table = _find_modes(loss, checked, depth, options)
        times = _choose_times(table, options.weight_decay) if times is None else times
        _print_modes(table, times, options)
    with show_waiting(f"following {depth} layers to time {times[-1]:g}"):
        course = theory.flow(
            loss,
            times,
            depth=depth,
            init_scale=options.init_scale,
            init=layers,
            weight_decay=options.weight_decay,
            max_steps=options.max_steps,
        )
    arrays = {
        "times": times,
        "gram": np.asarray(course.grams),
        "spectrum": np.asarray(course.weight_spectra),
        "layer_spectrum": np.asarray(course.layer_spectra),
        "loss": np.asarray(course.loss),
    }
    require_finite({name: array for name, array in arrays.items() if name != "times"})
    write_result(options.out, **arrays)
    out = find_stream(options)
    print(
        f"{'time':>12}  {'loss':>12}  effective rank of the layer spectra, layer 0 to {depth}",
        file=out,
    )
    for when, loss, spectra in zip(arrays["times"], arrays["loss"], arrays["layer_spectrum"]):
        ranks = "  ".join(f"{effective_rank(row):7.2f}" for row in spectra)
        print(f"{when:12.6g}  {loss:12.6g}  {ranks}", file=out)
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=out)


def _find_modes(
    loss: QuadraticLoss, checked: Checked, depth: int, options: argparse.Namespace
) -> ModeTable:
    """Return the modes of the loss above the noise, as if none of them mixed with another."""
    found = alignment(Moments(loss.quadratic, loss.linear), range_tolerance=checked.tolerance)
    count = checked.report.rank
    if checked.floor is not None:
        count = int(np.sum(checked.report.alignment > checked.floor))
    return mode_table(
        mode_scales(found)[:count],
        found.values[:count],
        depth=depth,
        init_scale=options.init_scale,
        weight_decay=options.weight_decay,
    )


def _find_half_times(table: ModeTable) -> np.ndarray:
    half_times = np.asarray(table.half_time)
    return np.sort(half_times[np.isfinite(half_times) & (half_times > 0.0)])


def _choose_times(table: ModeTable, weight_decay: float) -> np.ndarray:
    """Return 0, times from before the first mode is learned until half of them are, and the end.

    Weak modes take long, and steps grow with time. The end costs nothing where it is the optimum,
    which it is without weight decay.
    """
    half_times = _find_half_times(table)
    if not half_times.size:
        raise InputError(
            "no mode is learned from this start, so that --times cannot be derived: give it, as in"
            " --times 0,10,100"
        )
    between = np.geomspace(half_times[0] / 3.0, np.median(half_times), 5)
    end = [] if weight_decay else [np.inf]
    return np.array([0.0, *(float(f"{time:.2g}") for time in between), *end])


def _print_modes(table: ModeTable, times: np.ndarray, options: argparse.Namespace) -> None:
    """Print when modes are learned, and warn where the times or the start are too small."""
    half_times, out = _find_half_times(table), find_stream(options)
    if half_times.size:
        print(
            f"{half_times.size} modes are half learned between time {half_times[0]:.3g} and"
            f" {half_times[-1]:.3g}, median {np.median(half_times):.3g} (estimates, without decay)",
            file=out,
        )
        if times[-1] < half_times[0]:
            print(
                f"  warning: nothing is learned by time {times[-1]:g}; without --times they are"
                " chosen by the half-times",
                file=out,
            )
    active, learned = int(np.sum(table.active)), int(np.sum(table.learned))
    if options.weight_decay and not active:
        print(
            f"  warning: no mode survives weight decay {options.weight_decay:g}; all end at 0",
            file=out,
        )
    elif options.weight_decay and learned < active:
        print(
            f"  warning: a start at {options.init_scale:g} is too small for {active - learned} of"
            f" the {active} modes that solve keeps at weight decay {options.weight_decay:g}: they"
            " decay to 0; raise --init-scale",
            file=out,
        )
