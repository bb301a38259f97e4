"""Figures and page of a comparison of linear heads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.figures.distances import distances_figure
from experiments.figures.head import settled_head_figure
from experiments.files import make_folder
from experiments.head_comparison import HeadOutcome
from experiments.report import Figure, Section, write_report
from experiments.results import Results, write_results


def write_head_report(
    out: Path,
    name: str,
    scope: str,
    outcomes: Mapping[str, Sequence[HeadOutcome]],
    results: Results,
) -> None:
    """Write `results.json`, figures and `report.html` of one comparison.

    Args:
      out: The folder.
      name: What was compared.
      scope: What the comparison can and cannot show.
      outcomes: "as trained" and, where it was asked for, "settled".
      results: The verdicts.
    """
    make_folder(out)
    figures = head_figures(out, outcomes)
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        f"Predicted against measured: {name}",
        [
            "From the second moments of the features alone theory predicts the layer Grams of the"
            " linear head that stands on them: which modes are alive, how large each is, and how"
            " every hidden layer weights them. The trained weights are held against that, in the"
            " features' own coordinates: nothing is sorted before it is compared."
        ],
        scope,
        [
            Section(
                "The head",
                [_sentence(label, one) for label, many in outcomes.items() for one in many],
                figures,
            )
        ],
        results,
    )


def head_figures(out: Path, outcomes: Mapping[str, Sequence[HeadOutcome]]) -> tuple[Figure, ...]:
    """Spectrum and distances of the last outcome, with the first beside it.

    Args:
      out: Folder of the PNGs.
      outcomes: By label, one per seed; all of one shape.

    Returns:
      The figures with captions.
    """
    labels = list(outcomes)
    first, last = outcomes[labels[0]], outcomes[labels[-1]]
    make_folder(out)
    settled_head_figure(
        out / "head_layer_spectrum.png",
        np.array([one.prediction.modes for one in last]),
        np.array([one.measured_modes for one in last]),
        np.array([one.measured_modes for one in first]),
        np.array([one.prediction.gap for one in last]),
        active=np.array(
            [[one.verdict.predicted_count, one.verdict.measured_count] for one in last]
        ),
    )
    depth = len(last[0].verdict.agreement.distances)
    null_names = list(last[0].verdict.agreement.null_distances)
    distances_figure(
        out / "head_distances.png",
        [f"layer {layer}" for layer in range(1, depth + 1)],
        np.array([one.verdict.agreement.distances for one in last]),
        {
            name.replace("_", " "): np.array(
                [one.verdict.agreement.null_distances[name] for one in last]
            )
            for name in null_names
        },
        tolerance=0.10,
    )
    return (
        Figure(
            out / "head_layer_spectrum.png",
            f"Eigenvalues of the embedding's covariance: predicted (line), {labels[-1]} (points)"
            + (f" and {labels[0]} (open squares)" if len(labels) > 1 else "")
            + ". With weight decay no mode of a deep head can last inside the shaded gap.",
        ),
        Figure(
            out / "head_distances.png",
            f"Distance of the {labels[-1]} head's layer Grams from the prediction and from each"
            " null, on a logarithmic axis; every dot is a seed. Nulls keep the eigenvalues and"
            " change the directions (rotation), keep the function and change the layers (gauge),"
            " or assume another depth.",
        ),
    )


def _sentence(label: str, outcome: HeadOutcome) -> str:
    verdict = outcome.verdict
    exponents = ", ".join(f"{value:.3f}" for value in verdict.agreement.exponents[:-1])
    balance = f"{np.max(verdict.balance):.3f}" if verdict.balance.size else "none"
    return (
        f"{label.capitalize()}: {verdict.predicted_count} active modes predicted,"
        f" {verdict.measured_count} measured; joint criterion (balance, distance beside the best"
        f" null, exponents, count): {verdict.verdict}. Balance residual {balance}; exponents of"
        f" hidden layers {exponents or 'none'} against l/L; R² of log n to the identity line"
        f" {verdict.agreement.log_identity_r2:.3f}; spread of log σ(W)"
        f" {verdict.agreement.log_spread:.2f}. Noise floor of the alignments"
        f" {outcome.prediction.floor:.3f}."
    )
