"""Claim 18: a cosine loss keeps an imbalance that an unnormalized one loses."""

import math

from experiments.core.contrasts import Contrast
from experiments.core.experiment import OURS, Claim, Experiment
from experiments.core.names import level
from experiments.core.values import Row, forecast, log


def _frozen(loss: str) -> Row:
    return Row("frozen", "imbalance", level=level(loss=loss))


def _joint(loss: str) -> Row:
    return Row(f"joint-{loss}", "imbalance")


EXPERIMENT = Experiment(
    question="Which losses let weight decay balance a linear head?",
    claims=(
        Claim(
            18,
            "a cosine loss keeps imbalance",
            "A cosine loss keeps an imbalance that an unnormalized one loses.",
            OURS,
            "Weight decay removes imbalance at a fixed rate; under a loss that ignores scale,"
            " gradient noise feeds it.",
            "Heads with equal starts are trained on frozen features under a spectral and a cosine"
            " loss for as long as decay needs to forget the start; then the imbalance relative to"
            " the weights is compared.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=18,
            name="imbalance left, cosine over spectral",
            role="primary",
            unit="times",
            margin=math.log(2.0),
            value=log(_frozen("cosine")) - log(_frozen("spectral")),
            says="The cosine loss leaves {} as much imbalance as the spectral one.",
        ),
        Contrast(
            claim=18,
            name="forgotten",
            role="gate",
            unit="e-foldings",
            at_least=3.0,
            value=Row("frozen", "forgotten", level=level(loss="cosine")),
            says="Decay had {} to forget the start.",
        ),
        Contrast(
            claim=18,
            name="trained with the encoder",
            role="secondary",
            unit="times",
            margin=math.log(2.0),
            value=log(_joint("cosine")) - log(_joint("spectral")),
            says="Trained with the encoder, the cosine loss leaves {} as much.",
        ),
        Contrast(
            claim=18,
            name="equilibrium of noise and decay",
            role="secondary",
            kind="forecast",
            unit="times",
            value=forecast(
                Row("joint-cosine", "imbalance_error", variant="theory"),
                first_gradients=Row(
                    "joint-cosine", "imbalance_error", variant="rival:first_gradients"
                ),
            ),
            says="With gradients taken at the start the predicted imbalance is {} as wrong.",
        ),
    ),
    scope="Linear heads of two layers, plain descent.",
)
