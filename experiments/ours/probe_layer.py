"""Claim 20: second moments of features and labels say which layer to probe."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import OURS, Claim, Experiment
from experiments.core.values import Row, forecast

NETWORK = "frozen"


def _regret(variant: str) -> Row:
    return Row(NETWORK, "regret", variant=variant)


EXPERIMENT = Experiment(
    question="Can moments tell which layer of a head to probe?",
    claims=(
        Claim(
            20,
            "moments say which layer to probe",
            "Second moments of features and labels say which layer to probe.",
            OURS,
            "Risk of a ridge classifier on a layer, from second moments.",
            "The risk of a probe with few labels on every layer of a settled linear head is"
            " predicted from second moments. Regret is the risk of the depth chosen less that of"
            " the best, as a share of the spread over depths.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=20,
            name="regret beside the best fixed depth",
            role="primary",
            unit="of the spread",
            margin=0.05,
            value=_regret("rival:best_fixed") - _regret("theory"),
            says="The best fixed depth, known in hindsight, regrets {} more.",
        ),
        Contrast(
            claim=20,
            name="depths differ",
            role="gate",
            unit="standard errors",
            at_least=4.0,
            value=Row(NETWORK, "spread"),
            says="Risk differs between depths by {}.",
        ),
        Contrast(
            claim=20,
            name="regret beside cross-validation",
            role="secondary",
            unit="of the spread",
            margin=0.05,
            value=_regret("rival:crossvalidation") - _regret("theory"),
            says="Five-fold cross-validation on the probe's few labels regrets {} more.",
            beside=True,
        ),
        Contrast(
            claim=20,
            name="level of the risk",
            role="secondary",
            kind="forecast",
            unit="times",
            value=forecast(
                Row(NETWORK, "risk_error", variant="theory"),
                feature=Row(NETWORK, "risk_error", variant="rival:feature"),
            ),
            says="The feature's own prediction, used at all depths, is {} as wrong about the risk.",
        ),
    ),
    scope="The moments use all labels of the pool, the probe few of them.",
)
