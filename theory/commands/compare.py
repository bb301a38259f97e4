"""`python -m theory compare`: measured layers against predicted ones."""

import argparse
import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np

import theory
from theory.commands.inputs import Checked, check_moments_file, make_loss_of
from theory.commands.screen import find_stream, print_progress, print_table
from theory.comparison.nulls import shuffled_pairs_null
from theory.comparison.replication import ReplicatedVerdict, combine_verdicts
from theory.comparison.verdict import JointVerdict
from theory.layers.chain import Weights, chain_layer_grams, gram_chain
from theory.linalg.checks import require_number
from theory.linalg.errors import InputError
from theory.moments.files import read_arrays, read_layers, write_result
from theory.moments.moments import Moments
from theory.optimum.solve import Prediction

_VERDICT = (
    "predicted_count", "measured_count", "num_modes", "balance", "powerless", "verdict",
)  # fmt: skip
_AGREEMENT = (
    "distances", "law_distances", "best_null", "skill", "exponents", "affinity", "log_identity_r2",
    "median_relative_error", "isotropic_distance",
)  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Judge every measured head by the prediction, write all numbers and print the verdicts."""
    started = time.monotonic()
    require_number("active_threshold", options.active_threshold, positive=True)
    heads = [_read_head(path) for path in options.measured]
    start = None if options.untrained is None else _read_head(options.untrained)
    checked = check_moments_file(options, options.moments)
    depth = len(heads[0])
    for path, head in zip((*options.measured, options.untrained), (*heads, start)):
        if head is not None and (len(head), head[0].shape[1]) != (depth, checked.dim):
            raise InputError(
                f"{path} has {len(head)} layers on {head[0].shape[1]} features, wanted {depth} on"
                f" the {checked.dim} of {options.moments}: give heads of one kind, on these"
                " features"
            )
    print_progress(f"predicting {depth} layers")
    narrowest = min(weight.shape[0] for head in heads for weight in head)
    rank = min(narrowest, checked.dim) if options.rank is None else options.rank
    prediction = _predict(options, checked, checked.moments, depth, rank)
    nulls = {}
    if start is not None:
        nulls["untrained"] = chain_layer_grams(start)
    shuffled = _predict(options, checked, _shuffle_pairs(checked), depth, rank)
    if shuffled.active:
        nulls["shuffled_pairs"] = shuffled.grams
    verdicts = [
        theory.compare(
            prediction,
            head,
            checked.moments,
            nulls=nulls,
            key=jax.random.key(options.seed),
            num_modes=options.modes,
            active_threshold=options.active_threshold,
        )
        for head in heads
    ]
    together = combine_verdicts(verdicts)
    write_result(options.out, **_list_arrays(options, verdicts, together))
    _print_verdicts(options, verdicts, together)
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=find_stream(options))


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


def _predict(
    options: argparse.Namespace, checked: Checked, moments: Moments, depth: int, rank: int
) -> Prediction:
    return theory.solve(
        make_loss_of(options, moments, checked.tolerance),
        depth=depth,
        rank=rank,
        weight_decay=options.weight_decay,
        branch=options.branch,
    )


def _shuffle_pairs(checked: Checked) -> Moments:
    """Return the moments as they would be for views paired at random."""
    moments = checked.moments
    pairs = shuffled_pairs_null(moments.covariance, moments.mean, noise_floor=checked.floor or 0.0)
    return dataclasses.replace(moments, cross_covariance=np.asarray(pairs))


def _list_arrays(
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
    rows = []
    for path, each in zip(options.measured, verdicts):
        found = each.agreement
        rows.append(
            (
                path,
                f"{each.measured_count} of {each.predicted_count}",
                f"{np.max(each.balance, initial=0.0):.3g}",
                f"{np.max(found.distances):.3g}",
                f"{np.min(found.best_null):.3g}",
                f"{np.min(found.skill):.3g}",
                " ".join(f"{exponent:.3f}" for exponent in found.exponents[:-1]) or "-",
                f"{found.log_identity_r2:.3f}",
                f"{found.affinity:.3f}",
                each.verdict,
            )
        )
    columns = ("measured", "modes", "balance", "distance", "best null", "skill", "exponents",
               "R² of log n", "affinity", "verdict")  # fmt: skip
    print_table(options, columns, rows)
    depth, out = len(together.exponents), find_stream(options)
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
