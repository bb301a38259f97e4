"""Claim 2: weight decay shrinks the lead of the layer before the head."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import XUE, Claim, Experiment
from experiments.core.names import level
from experiments.core.panels import Map
from experiments.core.values import Row, Value, mean, points
from experiments.networks.settings import HEAD_DEPTHS, MAP_RETENTIONS, MAP_STRENGTHS

MODEL = "feature-model"


def _gap(decay: str, **settings: str) -> Value:
    """The lead without decay (`none`) or at the decay that half of the features survive."""
    return mean(
        *(
            points(Row(MODEL, "gap", level=level(decay=decay, depth=depth, **settings)))
            for depth in HEAD_DEPTHS
        )
    )


EXPERIMENT = Experiment(
    question="Does weight decay shrink the lead of the layer before the head?",
    claims=(
        Claim(
            2,
            "weight decay shrinks the lead",
            "In the linear model the lead of the layer before the head shrinks under weight decay.",
            XUE,
            "From the public reviews of the paper, not in its abstract.",
            "In the paper's model of features, optima of linear heads of two and three layers are"
            " computed without decay and with as much decay as half of the features survive."
            " Classifiers of few labels are fitted on the layers before and after the head; tasks"
            " are those that the layer before serves better without decay.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=2,
            name="shrinking of the lead",
            role="primary",
            value=_gap("none") - _gap("half"),
            says="The lead of the layer before the head is {} smaller under decay.",
        ),
        Contrast(
            claim=2,
            name="descent ends there",
            role="control",
            kind="identity",
            unit="of the bound 1e-10",
            value=Row(MODEL, "identity_error") / 1e-10,
            says="Descent under decay ends at the optimum continued from no decay: largest"
            " difference {}.",
        ),
        Contrast(
            claim=2,
            name="among surviving features",
            role="secondary",
            value=_gap("none", features="surviving") - _gap("half", features="surviving"),
            says="Among features that survive, the lead is {} smaller under decay.",
            beside=True,
        ),
        Contrast(
            claim=2,
            name="map of tasks",
            role="secondary",
            unit="share",
            value=Row(MODEL, "share", level=level(decay="none"))
            - Row(MODEL, "share", level=level(decay="half")),
            says="The share of the exact map where the layer before the head is better is {}"
            " smaller under decay.",
        ),
        Contrast(
            claim=2,
            name="on pixels",
            role="secondary",
            value=points(Row("linear-chain", "gap", level=level(decay="none")))
            - points(Row("linear-chain", "gap", level=level(decay="half"))),
            says="In four linear layers on CIFAR-10 pixels the lead is {} smaller under decay.",
        ),
    ),
    panels=tuple(
        Map(
            name=f"weight_decay-map-{decay}",
            claim=2,
            title=f"Lead of the layer before the head {words}, in a head of two layers.",
            row=Row(MODEL, "lead_map", level=level(decay=decay, depth=2)),
            x=("share of the feature that augmentation keeps", MAP_RETENTIONS),
            y=("strength of the feature", MAP_STRENGTHS),
            what="log2 of labels needed, after over before",
            boundary=0.0,
        )
        for decay, words in (("none", "without decay"), ("half", "where half of them survive"))
    ),
    scope="A model and a linear network; decay of a nonlinear encoder is another question.",
)
