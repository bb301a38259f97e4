"""Claim 1: linear layers weight features more unequally, layer by layer."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import XUE, Claim, Experiment
from experiments.core.names import level
from experiments.core.panels import Course, Line, Spectra
from experiments.core.values import Row, forecast, log

NETWORK = "linear-chain"
LAYERS = (1, 2, 3, 4)


def _rank(layer: str, variant: str = "trained") -> Row:
    return Row(NETWORK, "weight_erank", layer, variant=variant)


def _ranks(variant: str) -> tuple[Row, ...]:
    return tuple(_rank(f"layer{layer}", variant) for layer in LAYERS)


def _spectrum(kind: str, layer: int, variant: str) -> Row:
    return Row(NETWORK, f"{kind}_spectrum", f"layer{layer}", variant=variant)


def _fall(variant: str = "trained"):
    return log(_rank("layer1", variant)) - log(_rank("layer4", variant))


def _error(quantity: str, network: str, variant: str) -> Row:
    return Row(network, quantity, variant=variant)


EXPERIMENT = Experiment(
    question="Do linear layers weight features more unequally, layer by layer?",
    claims=(
        Claim(
            1,
            "unequal weights in linear layers",
            "In a linear network trained contrastively, feature weights get more unequal from"
            " layer to layer.",
            XUE,
            "Abstract. Stated for linear models; tested in one.",
            "Four linear layers are trained by gradient descent on the pixels of CIFAR-10 (16×16),"
            " from balanced layers, where theory says that layer l has the weights of the whole"
            " map to the power l/4. The effective rank of a layer's weight spectrum counts the"
            " features that it weights alike.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=1,
            name="fall of the effective rank",
            role="primary",
            value=_fall(),
            unit="times",
            says="The effective rank of the weights is {} smaller in layer 4 than in layer 1.",
        ),
        Contrast(
            claim=1,
            name="at the start",
            role="noted",
            value=_fall("step:0"),
            unit="times",
            says="Before training it is {} smaller in layer 4, because layers start balanced.",
            beside=True,
        ),
        Contrast(
            claim=1,
            name="descent beside Adam",
            role="control",
            value=_fall() - _fall("optimizer:adam"),
            unit="times",
            says="Under gradient descent the fall is {} as large as under Adam, which lacks the"
            " bias.",
        ),
        Contrast(
            claim=1,
            name="slope l/L",
            role="secondary",
            kind="forecast",
            unit="times",
            value=forecast(
                _error("slope_error", NETWORK, "theory"),
                one_layer_less=_error("slope_error", NETWORK, "rival:one_less"),
                one_layer_more=_error("slope_error", NETWORK, "rival:one_more"),
            ),
            says="A law of one layer less or more is {} as wrong about the slope of log weights.",
        ),
        Contrast(
            claim=1,
            name="which layer serves a task",
            role="secondary",
            unit="share",
            value=Row("feature-model", "share", variant="rival:constant", level=level(wrong="yes"))
            - Row("feature-model", "share", variant="theory", level=level(wrong="yes")),
            says="The margin rule misnames the better layer on {} fewer of the tasks than the"
            " better constant answer.",
        ),
        Contrast(
            claim=1,
            name="layer spectra from moments",
            role="secondary",
            kind="forecast",
            unit="times",
            value=forecast(
                _error("rank_error", NETWORK, "theory"),
                data=_error("rank_error", NETWORK, "rival:data"),
            ),
            says="The spectrum of the data is {} as wrong about the effective ranks of the layer"
            " spectra.",
        ),
    ),
    panels=(
        Course(
            name="weighting-ranks",
            claim=1,
            title="Effective rank of the weight spectrum of every layer.",
            levels=tuple(f"layer {layer}" for layer in LAYERS),
            lines=(
                Line(name="trained", values=_ranks("trained")),
                Line(name="under Adam", values=_ranks("optimizer:adam")),
                Line(name="at the start", values=_ranks("step:0"), is_null=True),
            ),
            x="",
            y="effective rank",
        ),
        Spectra(
            name="weighting-weights",
            claim=1,
            title="Weight spectra of the layers after training.",
            spectra=tuple(
                (
                    f"layer {layer}",
                    _spectrum("weight", layer, "trained"),
                    _spectrum("weight", layer, "theory"),
                )
                for layer in LAYERS
            ),
            x="mode",
            y="weight (eigenvalue of the Gram)",
        ),
        Spectra(
            name="weighting-layers",
            claim=1,
            title="Layer spectra: variances of what each layer puts out.",
            spectra=tuple(
                (
                    f"layer {layer}",
                    _spectrum("layer", layer, "trained"),
                    _spectrum("layer", layer, "theory"),
                )
                for layer in LAYERS
            ),
            x="mode",
            y="variance",
        ),
    ),
    scope="One data set, one depth, gradient descent from balanced layers.",
)
