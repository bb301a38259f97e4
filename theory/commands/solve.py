"""`python -m theory solve`: where training ends."""

import argparse
import time
from typing import Any

import numpy as np

import theory
from theory.commands.inputs import check_moments_file, make_loss_of, require_finite
from theory.commands.screen import effective_rank, find_stream, show_waiting
from theory.linalg.spectral import factor_modes
from theory.losses.quadratic import QuadraticLoss
from theory.moments.files import write_result
from theory.optimum.low_rank import low_rank_layer_spectra
from theory.optimum.quadratic import valley_dimension
from theory.optimum.solve import find_optimum

# Above this many features d × d Grams of every layer are not formed.
_LARGEST_DENSE = 4000


def run(options: argparse.Namespace) -> None:
    """Solve for the optimum, write its file and print its layers."""
    started = time.monotonic()
    checked = check_moments_file(options, options.moments)
    loss = make_loss_of(options, checked.moments, checked.tolerance)
    settings = {
        name: getattr(options, name) for name in ("depth", "rank", "weight_decay", "branch")
    }
    with show_waiting("solving for the optimum"):
        if options.factors or checked.dim > _LARGEST_DENSE:
            arrays = _solve_factors(loss, settings)
        else:
            arrays = _solve_grams(loss, settings)
    arrays["alignment"] = checked.alignment
    require_finite(arrays)
    write_result(options.out, **arrays)
    _print_optimum(options, checked.report.rank, loss, arrays)
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=find_stream(options))


def _solve_grams(loss: QuadraticLoss, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the file with the Gram of every layer."""
    prediction = theory.solve(loss, **settings)
    return {
        "gram": np.asarray(prediction.grams),
        "spectrum": np.asarray(prediction.weight_spectra),
        "layer_spectrum": np.asarray(prediction.layer_spectra),
        "loss": np.asarray(prediction.loss),
        "active": np.asarray(prediction.active, np.int64),
    }


def _solve_factors(loss: QuadraticLoss, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the file with modes in place of Grams, none of which is formed for a layer."""
    optimum, depth = find_optimum(loss, **settings), settings["depth"]
    modes = factor_modes(optimum.factor)
    values = np.asarray(modes.values)[None, :] ** (np.arange(1, depth + 1) / depth)[:, None]
    outputs = np.asarray(low_rank_layer_spectra(loss.inputs, optimum.factor, depth=depth))
    missing = ((0, 0), (0, loss.inputs.shape[0] - values.shape[1]))
    data = np.linalg.eigvalsh(loss.inputs)[None, ::-1]
    return {
        "vectors": np.asarray(modes.vectors),
        "values": values,
        "spectrum": np.pad(values, missing),
        "layer_spectrum": np.concatenate([data, np.pad(outputs, missing)]),
        "loss": np.asarray(optimum.loss),
        "active": np.asarray(optimum.active, np.int64),
    }


def _print_optimum(
    options: argparse.Namespace, possible: int, loss: QuadraticLoss, arrays: dict[str, Any]
) -> None:
    out = find_stream(options)
    limit = possible if options.rank is None else min(possible, options.rank)
    print(
        f"optimum: depth {options.depth}, {arrays['active']} of {limit} possible modes active,"
        f" loss {arrays['loss']:.6g}",
        file=out,
    )
    valley = 0 if options.weight_decay else int(valley_dimension(loss, rank=options.rank))
    if valley:
        print(
            f"  one minimum of a valley of {valley} dimensions, that of a vanishing start;"
            " weight decay makes it unique",
            file=out,
        )
    if options.weight_decay and options.depth > 1:
        print(
            "  reached by raising weight decay from 0; flow from a small start can lose modes",
            file=out,
        )
    if options.loss == "infonce":
        load = float(np.sum(arrays["layer_spectrum"][-1] ** 2)) / options.temperature**2
        print(f"  holds for many more than exp({load / 2:.3g}) negatives", file=out)
    print(
        f"{'layer':>6}  {'largest variance':>16}  effective rank: layer spectrum  weight spectrum",
        file=out,
    )
    weights = [None, *arrays["spectrum"]]
    for layer, (variances, weight) in enumerate(zip(arrays["layer_spectrum"], weights)):
        name, shown = str(layer) if layer else "data", f"{'-':>15}"
        if weight is not None:
            shown = f"{effective_rank(weight):15.2f}"
        rank = effective_rank(variances)
        print(f"{name:>6}  {variances[0]:16.6g}  {'':>15} {rank:14.2f}  {shown}", file=out)
