"""Claim 14: under plain descent the imbalance of adjacent linear layers follows an exact ledger."""

import math

from experiments.core.contrasts import Contrast
from experiments.core.experiment import OURS, Claim, Experiment
from experiments.core.values import Largest, Row, log

BROKEN = 1e-3


def _in_bounds(network: str):
    return Row(network, "ledger_error") / Row(network, "ledger_bound")


def _breaks(optimizer: str, words: str) -> Contrast:
    return Contrast(
        claim=14,
        name=f"{words} breaks it",
        role="control",
        unit="times",
        margin=math.log(1.25),
        value=log(Row("frozen", "ledger_error", variant=f"optimizer:{optimizer}") / BROKEN),
        says=f"Under {words} the account is off by {{}} 0.001 of the imbalance.",
    )


EXPERIMENT = Experiment(
    question="Does the imbalance of a linear head follow its exact account?",
    claims=(
        Claim(
            14,
            "the exact ledger of imbalance",
            "Under plain SGD the imbalance of adjacent linear layers follows an exact ledger.",
            OURS,
            "An identity of the update, whatever the loss and the batch.",
            "Two-layer linear heads are trained with their encoders under a spectral and a cosine"
            " loss. At every step the imbalance D = W₂ᵀW₂ − W₁W₁ᵀ is compared with the account that"
            " updates alone give. The bound is the rounding of float32 updates, added in"
            " quadrature.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=14,
            name="largest difference from the account",
            role="primary",
            kind="identity",
            unit="of its rounding bound",
            value=Largest((_in_bounds("joint-spectral"), _in_bounds("joint-cosine"))),
            says="Over all steps, seeds and both losses the account is off by at most {}.",
        ),
        _breaks("momentum", "momentum"),
        _breaks("adamw", "AdamW"),
    ),
    scope="Linear heads; the identity is exact, so only rounding limits it.",
)
