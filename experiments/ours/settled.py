"""Claims 15 and 16: layers and spectrum of a linear head that weight decay has settled."""

import math

from experiments.core.contrasts import Contrast
from experiments.core.experiment import OURS, Claim, Experiment
from experiments.core.names import level
from experiments.core.panels import Prediction
from experiments.core.values import Row, Value, forecast, log
from experiments.networks.settings import SETTLED_DECAYS

DECAY = 0.1


def _distance(depth: int, variant: str = "theory", **settings: str) -> Row:
    """RMS log distance of the first layer's Gram from a power of the whole map."""
    return Row(
        "frozen",
        "gram_distance",
        variant=variant,
        level=level(decay=DECAY, depth=depth, **settings),
    )


def _law(depth: int) -> Value:
    rivals = {
        name: _distance(depth, f"rival:{name}")
        for name in ("rotation", "gauge", "isotropic", "one_less", "one_more")
    }
    return forecast(_distance(depth), **rivals)


def _breaks(head: str, words: str) -> Contrast:
    return Contrast(
        claim=15,
        name=f"{words} breaks it",
        role="control",
        unit="times",
        margin=math.log(2.0),
        value=log(_distance(2, head=head)) - log(_distance(2)),
        says=f"The law is {{}} as wrong about {words}.",
    )


def _spectrum(depth: int, variant: str, network: str = "frozen") -> Row:
    """RMS over six decays of |log predicted/measured| along the predicted directions."""
    return Row(network, "spectrum_error", variant=variant, level=level(depth=depth))


def _spectrum_forecast(depth: int, network: str = "frozen") -> Value:
    return forecast(
        _spectrum(depth, "theory", network),
        no_decay=_spectrum(depth, "rival:no_decay", network),
        feature=_spectrum(depth, "rival:feature", network),
    )


def _sizes(decay: float, variant: str) -> Row:
    return Row("frozen", "sizes", variant=variant, level=level(decay=decay, depth=2))


def _count_error(variant: str) -> Row:
    return Row("frozen", "count_error", variant=variant, level=level(depth=2))


def _forgotten(claim: int) -> Contrast:
    return Contrast(
        claim=claim,
        name="forgotten",
        role="gate",
        unit="e-foldings",
        at_least=3.0,
        value=Row("frozen", "forgotten", level=level(decay=DECAY, depth=2)),
        says="Decay had {} to forget the start.",
    )


_LAYERS = (
    Contrast(
        claim=15,
        name="first layer's Gram",
        role="primary",
        kind="forecast",
        unit="times",
        margin=math.log(2.0),
        value=_law(2),
        says="The best of five rivals is {} as wrong about the first layer's Gram.",
    ),
    _forgotten(15),
    _breaks("adamw", "a head trained by AdamW"),
    _breaks("cosine", "a head under a cosine loss"),
    _breaks("unsettled", "a head that decay had no time to settle"),
    Contrast(
        claim=15,
        name="distance below 0.1",
        role="secondary",
        kind="forecast",
        unit="times",
        value=math.log(0.1) - log(_distance(2)),
        says="A distance of 0.1 would be {} as large.",
    ),
    Contrast(
        claim=15,
        name="three layers",
        role="secondary",
        kind="forecast",
        unit="times",
        margin=math.log(2.0),
        value=_law(3),
        says="In heads of three layers the best rival is {} as wrong.",
    ),
)

_SPECTRUM = (
    Contrast(
        claim=16,
        name="spectrum along the predicted directions",
        role="primary",
        kind="forecast",
        unit="times",
        value=_spectrum_forecast(2),
        says="Without decay, or with the feature's variances, the prediction is {} as wrong.",
    ),
    _forgotten(16),
    Contrast(
        claim=16,
        name="error of a mode",
        role="noted",
        unit="of a natural logarithm",
        value=_spectrum(2, "theory"),
        says="The error of a mode is {}.",
        beside=True,
    ),
    Contrast(
        claim=16,
        name="number of modes",
        role="secondary",
        unit="of a natural logarithm",
        margin=math.log(1.25),
        value=_count_error("rival:no_decay") - _count_error("theory"),
        says="Without decay the prediction is wrong about the number of modes by {} more.",
    ),
    Contrast(
        claim=16,
        name="gap of two layers",
        role="secondary",
        unit="share",
        value=Row("frozen", "share", level=level(depth=1, modes="gap"))
        - Row("frozen", "share", level=level(depth=2, modes="gap")),
        says="Heads of one layer have {} more of their modes inside the gap of two layers.",
    ),
    Contrast(
        claim=16,
        name="three layers",
        role="secondary",
        kind="forecast",
        unit="times",
        value=_spectrum_forecast(3),
        says="In heads of three layers the prediction without decay is {} as wrong.",
    ),
    Contrast(
        claim=16,
        name="one layer",
        role="noted",
        unit="times",
        value=_spectrum_forecast(1),
        says="In heads of one layer the best rival is {} as wrong.",
    ),
    Contrast(
        claim=16,
        name="unsettled, with its encoder",
        role="noted",
        unit="times",
        value=_spectrum_forecast(2, "joint-spectral"),
        says="In a head trained together with its encoder the best rival is {} as wrong.",
    ),
)

EXPERIMENT = Experiment(
    question="What does weight decay make of a linear head, layer by layer?",
    claims=(
        Claim(
            15,
            "layers are powers of the whole map",
            "Hidden layers of a settled linear head are powers of the whole map.",
            OURS,
            "Balance under weight decay: layer l of L has the Gram of the map to the power l/L.",
            "Linear heads are trained by descent with weight decay 0.1 on frozen features until the"
            " start is forgotten. Errors are root mean squares of log distances.",
        ),
        Claim(
            16,
            "moments and decay give the spectrum",
            "Moments and weight decay give the head's spectrum, and its gap.",
            OURS,
            "The optimum continued from no decay, mode by mode.",
            "Heads settle under six decays. The size of each mode is predicted from the moments of"
            " the features and the decay, and compared along the predicted directions, over modes"
            " that are alive on either side.",
        ),
    ),
    contrasts=(*_LAYERS, *_SPECTRUM),
    panels=(
        Prediction(
            name="settled-sizes",
            claim=16,
            title="Size of every mode of heads of two layers.",
            pairs=tuple(
                (f"decay {decay:g}", _sizes(decay, "theory"), _sizes(decay, "trained"))
                for decay in SETTLED_DECAYS
            ),
            what="size of a mode",
        ),
    ),
    scope="Linear heads on frozen features of CIFAR-10 networks.",
)
