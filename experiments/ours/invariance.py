"""Claim 19: statistics of the encoder give invariance and rank of a linear head's embedding."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import OURS, Claim, Experiment
from experiments.core.names import level
from experiments.core.values import Row, Value, forecast, mean

FEATURES = ("weak", "base", "strong")


def _linear(quantity: str) -> Value:
    """Mean |log| error over linear heads on the features of three networks."""

    def errors(variant: str) -> Value:
        return mean(
            *(
                Row("frozen", quantity, variant=variant, level=level(features=features))
                for features in FEATURES
            )
        )

    return forecast(errors("theory"), feature=errors("rival:feature"))


def _perceptrons(quantity: str) -> Value:
    def errors(variant: str) -> Value:
        return mean(*(Row(network, quantity, variant=variant) for network in FEATURES))

    return forecast(errors("theory"), feature=errors("rival:feature"))


EXPERIMENT = Experiment(
    question="Do statistics of the encoder give invariance and rank of what the head puts out?",
    claims=(
        Claim(
            19,
            "encoder statistics give invariance and rank",
            "Statistics of the encoder give invariance and rank of a linear head's embedding.",
            OURS,
            "Optimum of a linear head, from covariance and cross-covariance of the feature.",
            "Linear heads settle under NT-Xent on the frozen features of networks trained at three"
            " strengths; invariance defect and effective rank of the embedding are predicted from"
            " the feature's moments. The rival is the feature's own value.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=19,
            name="invariance of linear heads",
            role="primary",
            kind="forecast",
            unit="times",
            value=_linear("defect_error"),
            says="The feature's own defect is {} as wrong about the embedding's.",
        ),
        Contrast(
            claim=19,
            name="rank of linear heads",
            role="secondary",
            kind="forecast",
            unit="times",
            value=_linear("rank_error"),
            says="The feature's own effective rank is {} as wrong about the embedding's.",
        ),
        Contrast(
            claim=19,
            name="invariance of perceptrons",
            role="secondary",
            kind="forecast",
            unit="times",
            value=_perceptrons("defect_error"),
            says="For perceptrons trained with their encoder the feature's own defect is {} as"
            " wrong.",
        ),
        Contrast(
            claim=19,
            name="rank of perceptrons",
            role="noted",
            unit="times",
            value=_perceptrons("rank_error"),
            says="For perceptrons the feature's own effective rank is {} as wrong.",
        ),
    ),
    scope="The theory is about linear heads; perceptrons are outside of it.",
)
