"""`python -m theory flow`: how training gets to its end."""

import argparse
import time

import numpy as np

import theory
from theory.commands.inputs import check_moments_file, make_loss_of, require_finite
from theory.commands.screen import effective_rank, find_stream, print_progress
from theory.linalg.errors import InputError
from theory.moments.files import read_layers, write_result


def run(options: argparse.Namespace) -> None:
    """Follow gradient flow, write its file and print loss and ranks at every time."""
    started = time.monotonic()
    layers = None if options.init is None else read_layers(options.init)
    if layers is not None and options.depth not in (None, len(layers)):
        raise InputError(
            f"--depth is {options.depth} but {options.init} holds {len(layers)} layers: leave"
            " --depth out"
        )
    checked = check_moments_file(options, options.moments)
    depth = len(layers) if layers is not None else 2 if options.depth is None else options.depth
    print_progress(f"following {depth} layers to time {options.times[-1]:g}")
    course = theory.flow(
        make_loss_of(options, checked.moments, checked.tolerance),
        options.times,
        depth=depth,
        init_scale=options.init_scale,
        init=layers,
        weight_decay=options.weight_decay,
        max_steps=options.max_steps,
    )
    arrays = {
        "times": options.times,
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
