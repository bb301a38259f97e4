"""`python -m theory compare`: measured layers against predicted ones."""

import argparse
import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theory.commands.arguments import (
    add_command,
    add_decay,
    add_loss,
    add_moments,
    count,
    positive,
    whole,
)
from theory.commands.inputs import (
    check_loss_options,
    checked_moments,
    chosen_loss,
    console,
    progress,
    results_table,
    sampled_floor,
    screen,
)
from theory.commands.predictions import Solution
from theory.commands.solve import solved
from theory.comparison.nulls import prediction_nulls, shuffled_pairs_null
from theory.comparison.replication import ReplicatedVerdict, combine_verdicts
from theory.comparison.verdict import JointVerdict, judge_head
from theory.layers.chain import Weights, chain_layer_grams, gram_chain
from theory.linalg.errors import InputError
from theory.losses.quadratic import QuadraticLoss
from theory.moments.files import read_arrays, read_layers, write_result
from theory.moments.moments import Moments

_EXAMPLE = """example:
  python -m theory compare moments.npz seed0.npz seed1.npz seed2.npz --out verdict.json \\
      --weight-decay 0.01 --untrained start.npz

MEASURED.npz holds the weights W1, W2, … (out, in) of a linear head on the features of the moments,
or gram (depth, d, d), the Grams of its layers in the basis of the features; several files are
several seeds of one head. OUT gets, one entry a head: m1 log_identity_r2, m2 exponents, m3
distances, m4 affinity, m5 predicted_count and measured_count, m6 skill, balance, the criteria and
verdicts; null_NAME, the distances of the nulls N1 rotation, N2 gauge, N3 isotropic, N4 untrained
(if given), N5 input, N6 post, N7 shuffled_pairs (where sampling leaves it any mode), N8
wrong_depth_L; and over heads the intervals of the exponents and the final verdict.
"""
_AGREEMENT = (
    "distances", "law_distances", "best_null", "skill", "exponents", "affinity", "log_identity_r2",
    "median_relative_error", "isotropic_distance",
)  # fmt: skip
_VERDICT = (
    "predicted_count", "measured_count", "num_modes", "balance", "powerless", "verdict",
)  # fmt: skip


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    about = "measured layers against predicted ones: every metric, every null, one verdict"
    parser = add_command(commands, "compare", about, _EXAMPLE, _run)
    add_moments(parser)
    parser.add_argument("measured", nargs="+", metavar="MEASURED.npz", help="weights or Grams")
    add_loss(parser)
    add_decay(parser)
    parser.add_argument(
        "--rank", type=count, help="narrowest width; that of the weights without it"
    )
    parser.add_argument("--untrained", metavar="FILE", help="the head before training, a null")
    parser.add_argument(
        "--modes", type=count, help="modes compared; those active in both without it"
    )
    parser.add_argument(
        "--active-threshold", type=positive, default=1e-3, help="of the largest embedding variance"
    )
    parser.add_argument("--seed", type=whole, default=0, help="of the random nulls")


def _run(options: argparse.Namespace) -> None:
    started = time.monotonic()
    heads = [_read_head(path) for path in options.measured]
    start = None if options.untrained is None else _read_head(options.untrained)
    moments, tolerance, report = checked_moments(options)
    check_loss_options(options, (options.loss,))
    dim, depth = moments.covariance.shape[0], len(heads[0])
    for path, head in zip((*options.measured, options.untrained), (*heads, start)):
        if head is not None and (len(head), head[0].shape[1]) != (depth, dim):
            raise InputError(
                f"{path} has {len(head)} layers on {head[0].shape[1]} features, wanted {depth} on"
                f" the {dim} of {options.moments}: give heads of one kind, on these features"
            )
    progress(f"predicting {depth} layers")
    covariance = jnp.asarray(moments.covariance)
    narrowest = min(weight.shape[0] for head in heads for weight in head)
    settings = (depth, min(options.rank or narrowest, dim), options.weight_decay, options.branch)
    loss = chosen_loss(options.loss, options, moments, tolerance)
    predicted = _grams(solved(loss, *settings)[0])
    nulls = prediction_nulls(
        jax.random.key(options.seed),
        predicted,
        covariance,
        active_threshold=options.active_threshold,
    )
    shuffled = _shuffled_loss(
        options, moments, tolerance, sampled_floor(moments, report.rank) or 0.0
    )
    found = solved(shuffled, *settings)[0]
    if found.active:
        nulls["shuffled_pairs"] = _grams(found)
    if start is not None:
        nulls["untrained"] = chain_layer_grams(start)
    verdicts = [
        judge_head(
            predicted,
            head,
            covariance,
            nulls,
            num_modes=options.modes,
            active_threshold=options.active_threshold,
        )
        for head in heads
    ]
    together = combine_verdicts(verdicts)
    write_result(options.out, **_arrays(options, verdicts, together))
    _print_verdicts(options, verdicts, together)
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=screen(options))


def _read_head(path: str) -> Weights:
    arrays = read_arrays(path)
    if "gram" not in arrays:
        return tuple(map(jnp.asarray, read_layers(path)))
    grams = arrays["gram"]
    square = grams.ndim == 3 and grams.shape[0] > 0 and grams.shape[1] == grams.shape[2]
    if not square or grams.dtype.kind not in "fiu" or not np.all(np.isfinite(grams)):
        raise InputError(
            f"gram in {path} has shape {grams.shape} and type {grams.dtype}, wanted the finite"
            " Grams (depth, d, d) of all layers"
        )
    return gram_chain(jnp.asarray(grams, float))


def _grams(found: Solution) -> jax.Array:
    vectors = jnp.asarray(found.vectors)
    return jnp.stack([(vectors * row[None, :]) @ vectors.T for row in jnp.asarray(found.values)])


def _shuffled_loss(
    options: argparse.Namespace, moments: Moments, tolerance: float, floor: float
) -> QuadraticLoss:
    """The loss as it would be for views paired at random."""
    pairs = shuffled_pairs_null(moments.covariance, moments.mean, noise_floor=floor)
    return chosen_loss(
        options.loss,
        options,
        dataclasses.replace(moments, cross_covariance=np.asarray(pairs)),
        tolerance,
    )


def _arrays(
    options: argparse.Namespace, verdicts: list[JointVerdict], together: ReplicatedVerdict
) -> dict[str, np.ndarray]:
    agreements = [each.agreement for each in verdicts]
    arrays = {name: np.array([getattr(each, name) for each in verdicts]) for name in _VERDICT}
    for name in _AGREEMENT:
        arrays[name] = np.array([getattr(each, name) for each in agreements])
    for name in verdicts[0].criteria:
        arrays[f"{name}_holds"] = np.array([each.criteria[name] for each in verdicts])
    for name in agreements[0].null_distances:
        arrays[f"null_{name}"] = np.array([each.null_distances[name] for each in agreements])
    return {
        "measured": np.array(options.measured),
        **arrays,
        "exponent_mean": together.exponents,
        "exponent_low": together.low,
        "exponent_high": together.high,
        "excludes_other_depths": together.excludes_other_depths,
        "final_verdict": np.array(together.verdict),
    }


def _print_verdicts(
    options: argparse.Namespace, verdicts: list[JointVerdict], together: ReplicatedVerdict
) -> None:
    table = results_table(
        ("measured", "modes", "balance", "distance", "best null", "skill", "exponents",
         "R² of log n", "affinity", "verdict")
    )  # fmt: skip
    for path, each in zip(options.measured, verdicts):
        table.add_row(
            path,
            f"{each.measured_count} of {each.predicted_count}",
            f"{np.max(each.balance, initial=0.0):.3g}",
            f"{np.max(each.agreement.distances):.3g}",
            f"{np.min(each.agreement.best_null):.3g}",
            f"{np.min(each.agreement.skill):.3g}",
            " ".join(f"{exponent:.3f}" for exponent in each.agreement.exponents[:-1]) or "-",
            f"{each.agreement.log_identity_r2:.3f}",
            f"{each.agreement.affinity:.3f}",
            each.verdict,
        )
    console(options).print(table)
    depth, out = len(together.exponents), screen(options)
    for layer in range(depth - 1 if together.heads > 1 else 0):
        print(
            f"exponent of layer {layer + 1}: {together.low[layer]:.3f} to"
            f" {together.high[layer]:.3f}, predicted {(layer + 1) / depth:.3f};"
            f" other depths are {'' if together.excludes_other_depths[layer] else 'not '}excluded",
            file=out,
        )
    print(
        f"{together.holding} of {together.heads} heads hold; verdict: {together.verdict}", file=out
    )
