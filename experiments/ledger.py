"""Claim 14: the imbalance of two adjacent linear layers follows an exact account under plain SGD.

Hypothesis: whatever stands below a linear head, and whatever loss stands above it, every step of
plain stochastic gradient descent with weight decay λ changes D = W₂ᵀW₂ − W₁W₁ᵀ by the batch's own
gradients alone, D ← (1 − ηλ)² D + η² (g₂ᵀg₂ − g₁g₁ᵀ). Prediction: `theory.layers.ledger`, started
at the first D and never told the weights again. Measurement: inside the training step of a ResNet,
at every step, ‖D − account‖ / ‖D‖; its largest value over the run. Nulls: the account without the
gradients, and runs the law does not cover (momentum, AdamW), where the account must fail by 1e-3.
Criterion, fixed before the runs: at most 1e-5 in float32 over all steps, two losses, every seed.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.environment import environment
from experiments.figures.ledger import Account, ledger_figure
from experiments.files import make_folder
from experiments.ledger_observers import run_observers
from experiments.progress import experiment_progress
from experiments.report import Figure, Section, write_report
from experiments.results import Results, Row, write_results
from experiments.rows import bound_row, error_row
from experiments.sizes import SIZES
from experiments.table import print_results
from experiments.trained import is_trained, trained, training_metrics
from experiments.training_images import images_of
from experiments.trainings import seeded, trainings

LAW = "balance ledger of SGD with L2, derived; two numbers without decay: Ziyin et al. 2308.06671"
TOLERANCE = 1e-5
LEAST_VIOLATION = 1e-3
RUNS = {
    "ledger": "plain SGD, spectral loss",
    "ledger-cosine": "plain SGD, NT-Xent loss",
    "ledger-momentum": "momentum 0.9, spectral loss",
    "ledger-adam": "AdamW, spectral loss",
}
EXACT = ("ledger", "ledger-cosine")
SCOPE = (
    "Scope. An identity of every single step, conditional on nothing but plain SGD and coupled"
    " weight decay: encoder, loss, data and batch do not enter. It says how the imbalance moves,"
    " not where training ends. Runs outside the law are as long as it takes to break it."
)


class _Followed(NamedTuple):
    """One run: relative errors at every step, (steps,)."""

    account: np.ndarray
    decay_only: np.ndarray
    balance: np.ndarray


def run(out: Path, scale: str) -> Results:
    """Train or fetch the runs, read what the step saw, write results, figure and report.

    Args:
      out: Folder, created.
      scale: "smoke", "laptop" or "paper".

    Returns:
      What was written.

    Raises:
      InputError: The folder cannot be written.
      UsageError: A data set is not there.
    """
    started = time.perf_counter()
    size = SIZES[scale]
    make_folder(out)
    table, images = trainings(size), images_of("cifar10", scale).train
    todo = [(name, seeded(table[name], seed)) for name in RUNS for seed in size.seeds]
    found: dict[str, list[_Followed]] = {name: [] for name in RUNS}
    with experiment_progress(float(len(todo)), "training") as advance:
        for name, config in todo:
            observers = run_observers(config)
            if not is_trained(config, images, observers=observers):
                trained(config, images, observers=observers)
            found[name].append(_followed(training_metrics(config, images, observers=observers)))
            advance(f"{RUNS[name]}, seed {config.seed}", 1.0)
    data = "small network on digits" if scale == "smoke" else "ResNet on CIFAR-10"
    rows = _rows(found, data)
    results = Results("ledger", scale, size.seeds, environment(time.perf_counter() - started), rows)
    write_results(out / "results.json", results)
    _write_report(out, found, results)
    print_results(results, out / "report.html")
    return results


def _followed(lines: list[dict[str, Any]]) -> _Followed:
    """Errors relative to the imbalance itself; the observer gives them relative to the layers."""
    balance, account, decay = (
        np.array([line[f"{name}/1"] for line in lines])
        for name in ("balance", "ledger_error", "decay_error")
    )
    return _Followed(account / balance, decay / balance, balance)


def _worst(found: list[_Followed], field: str = "account") -> np.ndarray:
    return np.array([np.max(getattr(one, field)) for one in found])


def _rows(found: dict[str, list[_Followed]], data: str) -> tuple[Row, ...]:
    broken = {name: _worst(found[name]) for name in RUNS if name not in EXACT}
    rows = []
    for name in EXACT:
        steps = len(found[name][0].account)
        nulls = [np.min(_worst(found[name], "decay_only")), *map(np.min, broken.values())]
        rows.append(
            error_row(
                14,
                f"{data}, {RUNS[name]}: account and weights agree at each of {steps}"
                " steps (largest ‖D − account‖/‖D‖)",
                LAW,
                _worst(found[name]),
                float(min(nulls)),
                TOLERANCE,
            )
        )
    exact = max(float(np.max(_worst(found[name]))) for name in EXACT)
    for name, worst in broken.items():
        rows.append(
            bound_row(
                14,
                f"{data}, {RUNS[name]}: the account breaks, as it must"
                f" ({len(found[name][0].account)} steps; null: plain SGD's own error)",
                LAW,
                LEAST_VIOLATION,
                worst,
                null=max(LEAST_VIOLATION - exact, 0.0),
            )
        )
    return tuple(rows)


def _write_report(out: Path, found: dict[str, list[_Followed]], results: Results) -> None:
    figure = out / "ledger.png"
    ledger_figure(
        figure,
        {
            RUNS[name]: Account(
                np.array([one.account for one in found[name]]),
                np.array([one.decay_only for one in found[name]]),
                np.array([one.balance for one in found[name]]),
            )
            for name in RUNS
        },
        tolerance=TOLERANCE,
        violation=LEAST_VIOLATION,
    )
    exact = {name: float(np.max(_worst(found[name]))) for name in EXACT}
    write_report(
        out / "report.html",
        "An exact account of two linear layers, step by step",
        [
            "Where two linear layers stand next to each other, as in a linear projection head, the"
            " difference of their squares, D = W₂ᵀW₂ − W₁W₁ᵀ, says how unequally they share the"
            " work. Theory says that plain SGD with weight decay changes D by an amount that the"
            " two gradients of the batch fix exactly, for any encoder below and any loss above.",
            "The account is opened with the first D and then fed gradients only. After"
            f" {len(found['ledger'][0].account)} steps of a ResNet it is off by at most"
            f" {exact['ledger']:.1e} of ‖D‖ with the spectral loss and"
            f" {exact['ledger-cosine']:.1e} with NT-Xent: the rounding of float32 weights.",
        ],
        SCOPE,
        [
            Section(
                "The account beside the weights",
                [
                    "The account is a compensated sum, so that what is seen is the rounding of the"
                    " weights and not of the account. An account that knows the decay but not the"
                    " gradients is the first null; momentum and AdamW, where old or rescaled"
                    " gradients move the weights, are the second: there the account must break."
                    " Under momentum it is given the long-run step size η/(1 − β). These two runs"
                    " are shorter, since they break it at once.",
                ],
                [
                    Figure(
                        figure,
                        "Top: distance of the account from the weights, relative to ‖D‖, at every"
                        " step (lines: median over seeds, bands: range). Plain SGD stays below the"
                        " dashed tolerance; momentum and AdamW are above the dotted line within"
                        " a few steps; gray is the account without gradients. Bottom: ‖D‖ itself,"
                        " relative to the layers: it moves, so following it is no small feat.",
                    )
                ],
            )
        ],
        results,
    )
