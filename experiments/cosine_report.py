"""The page of claim 18."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.cosine_rows import Found
from experiments.figures.cosine import CourseLines, Points, cosine_figure
from experiments.report import Figure, Section, write_report
from experiments.results import Results

SCOPE = (
    "Scope: conditional on the encoder. Heads on the frozen encoder see fixed features; those that"
    " train with their encoder are followed through their own checkpoints. Conservation is a"
    " statement about flow: gradient noise moves a cosine head too, to the equilibrium tested here."
)


def write_cosine_report(
    out: Path, found: Found, noises: Sequence[Mapping[str, float]], results: Results
) -> None:
    """Draw the figure and write `report.html`.

    Args:
      out: The folder.
      found: Everything measured.
      noises: Step size, decay and batch size of every setting.
      results: The verdicts.
    """
    path = out / "imbalance.png"

    def lines(courses) -> dict[str, CourseLines]:
        return {
            loss: CourseLines(each[0].clock, np.array([one.imbalance for one in each]))
            for loss, each in courses.items()
        }

    settings = [
        f"η {noise['learning_rate']:g}, λ {noise['weight_decay']:g}, batch {noise['batch_size']}"
        for noise in noises
    ]
    points = {
        name: Points(
            np.array([row[place].predicted for row in found.noises]),
            np.array([row[place].measured for row in found.noises]),
        )
        for place, name in enumerate(settings)
    }
    points["ResNet, trained along"] = Points(
        np.array([one.predicted for one in found.network]),
        np.array([one.measured for one in found.network]),
    )
    cosine_figure(path, lines(found.frozen), lines(found.joint), points)
    cosines = [one.cosine for row in found.noises for one in row]
    ends = {
        loss: np.mean([one.imbalance[-1] for one in each]) for loss, each in found.frozen.items()
    }
    write_report(
        out / "report.html",
        "Which losses let weight decay balance a projection head",
        [
            "Two adjacent linear layers are balanced when W₂ᵀW₂ = W₁W₁ᵀ. Weight decay is often said"
            " to bring that about. Theory says it does so only where the loss fixes how large the"
            " embedding is. A cosine loss does not: layers and imbalance shrink together.",
            f"On the same frozen features the spectral head goes from"
            f" {np.mean([one.imbalance[0] for one in found.frozen['spectral']]):.2f} to"
            f" {ends['spectral']:.4f}, the cosine head to {ends['cosine']:.2f}. What the latter"
            " ends at is the noise of its gradients: measured and predicted imbalance agree in"
            f" direction with a cosine of {min(cosines):.2f} to {max(cosines):.2f}.",
        ],
        SCOPE,
        [
            Section(
                "Imbalance and what keeps it up",
                [
                    "The clock λ∫η counts how much decay has acted; under flow D has shrunk by"
                    " exp(−2λ∫η). The equilibrium is tested on steps that the prediction does not"
                    " see: gradients on fresh batches at the frozen encoder, gradients of an"
                    " earlier part of the same training for the head that trains with its encoder."
                    " Over one and the same window the law would be an identity.",
                ],
                [
                    Figure(
                        path,
                        "a: heads on a frozen encoder, imbalance ‖D‖/(‖W₁‖‖W₂‖) against λ∫η (line:"
                        " median over seeds, band: range); dashed: 2 %. b: heads that train with"
                        " their encoder, at their checkpoints. c: ‖D‖ of cosine heads at rest,"
                        " predicted from the gradients' second moments against measured; every"
                        " point a seed, the band is a factor of two.",
                    )
                ],
            )
        ],
        results,
    )
