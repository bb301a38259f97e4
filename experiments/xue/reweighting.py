"""Claim 8: a fixed reweighting head is an alternative to a trained one."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import XUE, Claim, Experiment
from experiments.core.gates import learned
from experiments.core.names import level
from experiments.core.values import Row, Value, forecast, mean, points


def _fine(head: str, layer: str = "feature", **settings: str) -> Value:
    return points(Row(f"coarse-{head}", "accuracy", layer, "fine", level=level(**settings)))


def _one_scale(head: str) -> Value:
    return _fine(head, probe="one_scale")


def _weights_error(variant: str) -> Row:
    return Row("linear-chain", "weights_error", variant=variant, level=level(head="reweight"))


EXPERIMENT = Experiment(
    question="Does a fixed reweighting head do what a trained one does?",
    claims=(
        Claim(
            8,
            "a fixed head in place of a trained one",
            "A fixed reweighting head is an alternative to a trained one.",
            XUE,
            'Abstract; "comparable gains" on the project page.',
            "Networks are trained on coarse classes with a trained head, without one, and with a"
            " head that multiplies coordinate i by 1.5 to the power 1 − i, as published. Fine"
            " classes are read from the feature by a probe of one scale, which a diagonal map does"
            " not escape. More than half of the trained head's gain is asked for.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=8,
            name="more than half of the gain",
            role="primary",
            margin=0.5,
            value=_one_scale("fixed") - mean(_one_scale("contrastive"), _one_scale("none")),
            says="With the fixed head fine classes are read {} better than half-way between no head"
            " and the trained one.",
        ),
        Contrast(
            claim=8,
            name="gain",
            role="gate",
            at_least=0.0,
            estimate_at_least=1.0,
            value=_one_scale("contrastive") - _one_scale("none"),
            says="The trained head gains {} over no head.",
        ),
        learned(
            8, "coarse-contrastive", "coarse", "Training gains {} on coarse classes.", at_least=5.0
        ),
        Contrast(
            claim=8,
            name="a standardizing probe undoes the head",
            role="control",
            kind="equivalence",
            margin=0.5,
            value=_fine("fixed") - _fine("fixed", "embedding"),
            says="To a standardizing probe the fixed head changes {}.",
        ),
        Contrast(
            claim=8,
            name="as good as the trained head",
            role="secondary",
            kind="equivalence",
            margin=2.0,
            value=_one_scale("fixed") - _one_scale("contrastive"),
            says="With the fixed head fine classes are read {} better than with the trained one.",
            beside=True,
        ),
        Contrast(
            claim=8,
            name="weights of a linear network",
            role="secondary",
            kind="forecast",
            needs=(),
            unit="times",
            value=forecast(
                _weights_error("theory"),
                singular_values=_weights_error("rival:s"),
                square_roots=_weights_error("rival:sqrt_s"),
            ),
            says="Singular values, or their roots, are {} as wrong about the weights that a linear"
            " network learns under a fixed head.",
        ),
        Contrast(
            claim=8,
            name="interpretable coordinates",
            role="secondary",
            value=_fine("fixed", coordinates="first_eighth")
            - _fine("fixed", coordinates="random_eighth"),
            says="The first eighth of the coordinates reads fine classes {} better than a random"
            " eighth.",
        ),
    ),
    scope="CIFAR-100 at 16 pixels; one published kappa.",
)
