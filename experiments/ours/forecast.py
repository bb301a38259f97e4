"""Claim 17: moments taken before training forecast when a mode is learned and how large it gets."""

import math

from experiments.core.contrasts import Contrast
from experiments.core.experiment import OURS, Claim, Experiment
from experiments.core.panels import Prediction
from experiments.core.values import Row, Value, forecast, log

NETWORK = "frozen"
PROMISED = 0.05
FEWEST_MODES = 20.0


def _against(quantity: str, *rivals: str) -> Value:
    return forecast(
        Row(NETWORK, quantity, variant="theory"),
        **{name: Row(NETWORK, quantity, variant=f"rival:{name}") for name in rivals},
    )


EXPERIMENT = Experiment(
    question="Can moments tell, before training, when a linear head learns which mode?",
    claims=(
        Claim(
            17,
            "moments forecast the learning of modes",
            "Moments taken before training forecast when a mode is learned and how large it gets.",
            OURS,
            "Closed-form courses of the modes of a linear head under gradient descent.",
            "Moments of frozen features are measured once. The course of every mode that rises"
            " above the noise of gradients is predicted and compared with linear heads that are"
            " then trained.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=17,
            name="courses of the modes",
            role="primary",
            kind="forecast",
            unit="times",
            value=_against("course_error", "one_less", "independent", "shuffled"),
            says="The best of three rivals is {} as wrong about a mode's course.",
        ),
        Contrast(
            claim=17,
            name="modes above the noise",
            role="gate",
            unit="modes",
            at_least=FEWEST_MODES,
            value=Row(NETWORK, "modes"),
            says="Above the noise rise {}.",
        ),
        Contrast(
            claim=17,
            name="final sizes",
            role="secondary",
            kind="forecast",
            unit="times",
            value=_against("size_error", "one_less", "independent", "shuffled"),
            says="The best of three rivals is {} as wrong about final sizes.",
        ),
        Contrast(
            claim=17,
            name="half-times",
            role="secondary",
            kind="forecast",
            unit="times",
            value=_against("time_error", "order"),
            says="Half-times in proportion to 1/s alone, with the best constant, are {} as wrong.",
        ),
        Contrast(
            claim=17,
            name="error below 5 %",
            role="secondary",
            kind="forecast",
            unit="times",
            value=math.log(PROMISED) - log(Row(NETWORK, "course_error", variant="theory")),
            says="An error of 5 % would be {} as large.",
        ),
        Contrast(
            claim=17,
            name="order by scale and alignment",
            role="noted",
            unit="times",
            value=_against("time_error", "inverse_rate"),
            says="The order by 1/(s a) is {} as wrong about half-times.",
        ),
        Contrast(
            claim=17,
            name="collapse on one curve",
            role="noted",
            unit="times",
            value=_against("course_error", "one_curve"),
            says="One curve for all modes is {} as wrong about their courses.",
        ),
    ),
    panels=tuple(
        Prediction(
            name=f"forecast-{quantity}",
            claim=17,
            title=title,
            pairs=(
                (
                    "modes",
                    Row(NETWORK, quantity, variant="theory"),
                    Row(NETWORK, quantity),
                ),
            ),
            what=what,
        )
        for quantity, title, what in (
            (
                "half_times",
                "When each mode has half of its final size.",
                "half-time, sum of learning rates",
            ),
            ("sizes", "Final size of each mode.", "size of a mode"),
        )
    ),
    scope="Linear heads on frozen features; the encoder does not move.",
)
