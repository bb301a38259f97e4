"""The command line: moments in, predictions out, one line for whatever is wrong with them."""

import argparse
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from theory.arguments import make_parser
from theory.errors import InputError
from theory.files import check_writable, read_layers, read_moments, write_arrays
from theory.gaussian_infonce import gaussian_infonce_loss
from theory.moments import Moments, default_range_tolerance
from theory.moments_check import MomentsReport, check_moments
from theory.predictions import flow_arrays, layered_solution, solution, solution_arrays
from theory.quadratic import QuadraticLoss, spectral_loss
from theory.quadratic_losses import barlow_loss, barlow_optimum, vicreg_loss
from theory.ranks import variance_effective_rank
from theory.sampling_noise import noise_floor


def main(arguments: list[str] | None = None) -> int:
    """Run `solve` or `flow`; 0 when a file was written, 2 when the input could not be used."""
    options = make_parser(_solve, _flow).parse_args(arguments)
    try:
        with jax.enable_x64(True):
            options.run(options)
    except InputError as error:
        print(f"python -m theory {options.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _solve(options: argparse.Namespace) -> None:
    started = time.monotonic()
    moments, tolerance, report = _checked_moments(options)
    dim = moments.covariance.shape[0]
    if options.rank is not None and options.rank > dim:
        raise InputError(f"--rank is {options.rank}, wanted at most the {dim} features of the data")
    _say("solving for the optimum")
    loss, covariance = _loss(options, moments), jnp.asarray(moments.covariance)
    valley = 0
    if options.loss == "barlow" and options.weight_decay == 0:
        optimum, valley = barlow_optimum(
            loss.linear, options.rank or dim, range_tolerance=tolerance
        )
        found = layered_solution(optimum, loss, covariance, options.depth)
    else:
        found = solution(
            loss,
            covariance,
            options.depth,
            rank=options.rank,
            weight_decay=options.weight_decay,
            branch=options.branch,
            range_tolerance=tolerance,
        )
    alignment = np.zeros(dim)
    alignment[: report.rank] = report.alignment
    arrays = solution_arrays(found, alignment, factors=options.factors or None)
    _require_finite(arrays)
    write_arrays(options.out, **arrays)
    limit = dim if options.rank is None else options.rank
    print(
        f"optimum: depth {options.depth}, {found.active} of {min(limit, report.rank)} possible"
        f" modes active, loss {found.loss:.6g}"
    )
    if valley:
        print(
            f"  one minimum of a valley of {int(valley)} dimensions, that of a vanishing start;"
            " weight decay makes it unique"
        )
    if options.loss == "infonce":
        load = float(np.sum(arrays["layer_spectrum"][-1] ** 2)) / options.temperature**2
        print(f"  holds for many more than exp({load / 2:.3g}) negatives")
    _print_layers(arrays["layer_spectrum"], arrays["spectrum"])
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s")


def _flow(options: argparse.Namespace) -> None:
    started = time.monotonic()
    layers = None if options.init is None else read_layers(options.init)
    moments, _, _ = _checked_moments(options)
    if layers is None:
        identity = options.init_scale * np.eye(moments.covariance.shape[0])
        layers = (identity,) * (options.depth or 2)
    elif options.depth not in (None, len(layers)):
        raise InputError(
            f"--depth is {options.depth} but {options.init} holds {len(layers)} layers: leave"
            " --depth out"
        )
    _say(f"integrating {len(layers)} layers to time {options.times[-1]:g}")
    arrays = flow_arrays(
        _loss(options, moments),
        jnp.asarray(moments.covariance),
        tuple(map(jnp.asarray, layers)),
        jnp.asarray(options.times),
        weight_decay=options.weight_decay,
    )
    _require_finite(arrays)
    write_arrays(options.out, **arrays)
    print(
        f"{'time':>12}  {'loss':>12}  effective rank of the layer spectra, layer 0 to {len(layers)}"
    )
    for when, loss, spectra in zip(arrays["times"], arrays["loss"], arrays["layer_spectrum"]):
        ranks = "  ".join(f"{_effective_rank(row):7.2f}" for row in spectra)
        print(f"{when:12.6g}  {loss:12.6g}  {ranks}")
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s")


def _checked_moments(options: argparse.Namespace) -> tuple[Moments, float, MomentsReport]:
    check_writable(options.out)
    moments = read_moments(options.moments)
    _say(f"checking {options.moments}")
    tolerance = options.range_tolerance or default_range_tolerance(moments)
    report = check_moments(moments, range_tolerance=tolerance)
    dim = moments.covariance.shape[0]
    print(
        f"moments: {dim} features, {report.rank} of them inside the data (tolerance {tolerance:g})"
    )
    if report.negative:
        print(
            f"  {report.negative} alignments are negative, down to {report.most_negative:.3g}:"
            " sampling noise, counted as 0"
        )
    if moments.images is not None and moments.views is not None:
        floor = noise_floor(report.rank, int(moments.images), int(moments.views))
        above = int(np.sum(report.alignment > floor))
        print(f"  noise floor of the alignments {floor:.3g}: {above} modes lie above it")
    return moments, tolerance, report


def _loss(options: argparse.Namespace, moments: Moments) -> QuadraticLoss:
    for name, value, owner in (
        ("--invariance-weight", options.invariance_weight, "vicreg"),
        ("--temperature", options.temperature, "infonce"),
    ):
        if (value is None) == (options.loss == owner):
            verb = "needs" if value is None else "does not take"
            raise InputError(f"--loss {options.loss} {verb} {name}, which belongs to {owner}")
    covariance = jnp.asarray(moments.covariance)
    cross_covariance = jnp.asarray(moments.cross_covariance)
    if options.loss == "vicreg":
        return vicreg_loss(covariance, cross_covariance, options.invariance_weight)
    if options.loss == "barlow":
        return barlow_loss(cross_covariance)
    if options.loss == "infonce":
        return gaussian_infonce_loss(covariance, cross_covariance, options.temperature)
    return spectral_loss(covariance, cross_covariance)


def _print_layers(layer_spectra: np.ndarray, weight_spectra: np.ndarray) -> None:
    print(
        f"{'layer':>6}  {'largest variance':>16}  effective rank: layer spectrum  weight spectrum"
    )
    for layer, spectrum in enumerate(layer_spectra):
        name = "data" if layer == 0 else str(layer)
        weight = f"{_effective_rank(weight_spectra[layer - 1]):15.2f}" if layer else f"{'-':>15}"
        rank = _effective_rank(spectrum)
        print(f"{name:>6}  {spectrum[0]:16.6g}  {'':>15} {rank:14.2f}  {weight}")


def _effective_rank(variances: np.ndarray) -> float:
    kept = np.maximum(variances, 0.0)
    return float(variance_effective_rank(kept)) if np.any(kept > 0) else 0.0


def _require_finite(arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise InputError(
                f"{name} of the result is not finite: the moments span too many orders of magnitude"
                " for float64; rescale the data or raise --range-tolerance"
            )


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)
