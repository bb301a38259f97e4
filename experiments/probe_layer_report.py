"""Risk of a probe over the depth of a head, on a page."""

from pathlib import Path

import numpy as np

from experiments.figures.probe_layer import probe_curves_figure, probe_rules_figure
from experiments.probe_curves import FRACTIONS, PENALTY
from experiments.probe_layer_rows import ProbeOutcome, powered, rule_regrets
from experiments.report import Figure, Section

SHOWN = ("class", "brightness", "color", "left or right")


def probe_section(out: Path, outcome: ProbeOutcome) -> Section:
    """Both figures and what to see in them.

    Args:
      out: Folder of the figures.
      outcome: The curves.

    Returns:
      The section.
    """
    curves, rules = out / "probe_curves.png", out / "probe_rules.png"
    shown = [name for name in SHOWN if name in outcome.tasks]
    places = [outcome.tasks.index(name) for name in shown]
    probe_curves_figure(
        curves,
        FRACTIONS,
        outcome.policies,
        shown,
        outcome.counts,
        outcome.predicted[:, :, places],
        outcome.measured[:, :, places],
    )
    probe_rules_figure(rules, outcome.predicted, outcome.measured, rule_regrets(outcome))
    gate = powered(outcome)
    return Section(
        "Risk over depth",
        [
            "Depth t = 0 is the encoder's feature, 1 the head's output; 1/2 is its middle layer,"
            " other depths are fractional powers of the trained map. Risk is the squared error of"
            " a ridge probe on new images over the variance of what is to be told: 1 is guessing"
            f" the mean. Probes see {' or '.join(str(count) for count in outcome.counts)} labeled"
            f" images; their penalty is {PENALTY:g} on features scaled to total variance 1.",
            f"{int(gate.sum())} of {gate.size} curves have a spread over depth of at least four"
            " standard errors; the others are left out of the verdicts on order, depth and cost.",
            _counts_sentence(outcome),
        ],
        [
            Figure(
                curves,
                "Rows: the augmentation that the head was settled under. Lines: predicted from"
                " moments; points: measured; one color for each number of labels. Medians over"
                " seeds, bars and bands their range.",
            ),
            Figure(
                rules,
                "Left: every predicted risk against the measured one, all tasks, depths, seeds."
                " Right: excess risk of the depth that each rule takes, as a share of the curve's"
                " spread over depth; means over curves that pass the gate, bars span the seeds.",
            ),
        ],
    )


def _counts_sentence(outcome: ProbeOutcome) -> str:
    counts = "; ".join(
        f"{name}: "
        + ", ".join(f"{int(both[0])} ({int(both[1])})" for both in outcome.active[:, index])
        for index, name in enumerate(outcome.policies)
    )
    return f"Modes that the heads keep, predicted (measured), seed by seed: {counts}."


def probe_summary(outcome: ProbeOutcome) -> list[str]:
    """What was asked and what came out, in plain words."""
    costs = {name: float(np.mean(values)) for name, values in rule_regrets(outcome).items()}
    others = ", ".join(f"{name} {cost:.2f}" for name, cost in costs.items() if name != "moments")
    return [
        "A projection head weights what the encoder found; whether a probe does better before or"
        " after it depends on what the probe is asked and on how many labels it gets. Theory has"
        " both: what the head keeps follows from the moments of augmented views, and a ridge"
        " probe's risk from the moments of a layer and of the labels. No probe is trained for it.",
        "Probing at the depth that moments name costs"
        f" {costs['moments']:.2f} of the spread between best and worst depth; always taking the"
        f" same depth costs: {others}.",
    ]
