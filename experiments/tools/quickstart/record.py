"""What the quickstart's report shows: contrasts and panels, fixed before the networks run."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import Experiment
from experiments.core.names import level
from experiments.core.panels import Course, Line, Panel, Prediction, Spectra
from experiments.core.values import Row, Value, forecast, log, mean, points
from experiments.tools.quickstart.linear import LAYERS
from experiments.tools.quickstart.settings import (
    HEAD,
    LINEAR,
    PARAMETERS,
    PROBE_STRENGTH,
    QUARTERS,
    SWEEP,
    Size,
)

SCOPE = (
    "Part A is a forecast: the moments of the data, measured on views that training never saw, and"
    " the size of the initial weights are all it uses. Part B is given its encoder: moments were"
    " measured after joint training, then the encoder was frozen, so the test is of the head. The"
    " forecasts of part C assume a linear head; the trained one is not. Digits of eight by eight"
    " pixels and small networks: what holds here is shown to hold here."
)


def make_record(size: Size) -> Experiment:
    """Return the contrasts and panels of a size; none belongs to a claim.

    Args:
      size: Decides the strengths of augmentation.
    """
    return Experiment(
        question="What does each layer of a contrastive network keep, predicted and measured?",
        claims=(),
        contrasts=(*_LINEAR, *_head("settled"), *_head("unsettled"), *_sweep(size.strengths)),
        panels=(*_PANELS, *_sweep_panels(size.strengths)),
        scope=SCOPE,
    )


def _contrast(name: str, value: Value, says: str, unit: str = "times", **changes) -> Contrast:
    kind = "forecast" if unit == "times" else "difference"
    return Contrast(
        claim=0,
        name=name,
        **{
            "role": "secondary",
            "kind": kind,
            "unit": unit,
            "value": value,
            "says": says,
            **changes,
        },
    )


def _nearest(network: str, layer: str, **settings: str) -> Value:
    """How many times the nearest rival is as far from the trained Gram as the prediction."""
    rows = [
        Row(network, "gram_distance", layer, variant=variant, level=level(**settings))
        for variant in ("theory", "rival:nearest")
    ]
    return forecast(rows[0], nearest=rows[1])


def _errors(network: str, quantity: str, *rivals: str, **settings: float | str) -> Value:
    """How many times the best of named rivals is as wrong as theory."""

    def row(variant: str) -> Row:
        return Row(network, quantity, variant=variant, level=level(**settings))

    return forecast(row("theory"), **{name: row(f"rival:{name}") for name in rivals})


_LINEAR = (
    _contrast(
        "linear network: hidden layers are powers of the whole map",
        mean(*(_nearest(LINEAR, layer, given="map") for layer in ("head1", "head2"))),
        "About hidden layers of the linear network the nearest rival of the layer law is {} as"
        " wrong.",
    ),
    _contrast(
        "linear network: exponents",
        _errors(LINEAR, "slope_error", "one_less", "one_more"),
        "About the exponents of its layers other depths are {} as wrong.",
    ),
    _contrast(
        "linear network: layers from moments alone",
        mean(*(_nearest(LINEAR, layer, given="moments", modes="leading") for layer in LAYERS[1:])),
        "About the layers' Grams on the strongest modes, forecast from moments alone, the nearest"
        " rival is {} as wrong.",
    ),
    _contrast(
        "linear network: final sizes",
        _errors(LINEAR, "size_error", "input", "start", "shuffled"),
        "About the final size of a mode the best rival is {} as wrong.",
    ),
    _contrast(
        "linear network: courses",
        _errors(LINEAR, "course_error", "start", "one_less"),
        "About the sizes of modes all through training the best rival is {} as wrong.",
    ),
    _contrast(
        "linear network: half-times",
        _errors(LINEAR, "time_error", "inverse_rate"),
        "About the time at which a mode is half learned, its inverse alignment is {} as wrong.",
    ),
    _contrast(
        "linear network: error of a size",
        100.0 * Row(LINEAR, "size_error", variant="theory"),
        "The final size of a mode is off by {}.",
        unit="percent",
        role="noted",
    ),
    *(
        _contrast(
            f"linear network: {words}",
            Row(LINEAR, "modes", variant=variant),
            f"{{}} {words}.",
            unit="modes",
            role="noted",
        )
        for variant, words in (
            ("theory", "are compared: their alignment is above 0.1"),
            ("moments", "have a cross-fitted alignment above sampling noise"),
        )
    ),
)


def _head(head: str) -> tuple[Contrast, ...]:
    # The unsettled head is shown as it is; nothing is claimed of it.
    role = "secondary" if head == "settled" else "noted"

    def count(variant: str) -> Row:
        return Row(HEAD, "modes", variant=variant, level=level(head=head))

    return (
        _contrast(
            f"{head} head: sizes of its modes",
            _errors(HEAD, "size_error", "no_decay", "feature", head=head),
            f"About the sizes of the {head} head's modes the best rival is {{}} as wrong.",
            role=role,
        ),
        _contrast(
            f"{head} head: layers from moments",
            _nearest(HEAD, "head1", given="moments", head=head),
            f"About the first layer of the {head} head the nearest rival is {{}} as wrong.",
            role=role,
        ),
        _contrast(
            f"{head} head: hidden layer is a power of the whole map",
            _nearest(HEAD, "head1", given="map", head=head),
            f"About the {head} head's layer law the nearest rival is {{}} as wrong.",
            role=role,
        ),
        _contrast(
            f"{head} head: number of modes",
            count("trained") - count("theory"),
            f"The {head} head has {{}} more than predicted.",
            unit="modes",
            kind="equivalence" if role == "secondary" else "difference",
            margin=1.0,
            role=role,
        ),
    )


def _defect(layer: str, strength: float) -> Row:
    return Row(SWEEP, "defect", layer, level=level(trained=strength, strength=PROBE_STRENGTH))


def _ratio(strength: float) -> Value:
    return _defect("embedding", strength) / _defect("feature", strength)


def _accuracy(layer: str, strength: float) -> Row:
    return Row(SWEEP, "accuracy", layer, "digits", level=level(trained=strength))


def _read(layer: str, strength: float) -> Value:
    return mean(
        *(
            Row(SWEEP, "r2", layer, "digits", level=level(property=name, trained=strength))
            for name in PARAMETERS
        )
    )


def _sweep(strengths: tuple[float, ...]) -> tuple[Contrast, ...]:
    weakest, strongest = strengths[0], strengths[-1]
    lost = mean(*(_read("feature", s) - _read("embedding", s) for s in strengths))
    lead = points(_accuracy("feature", strongest)) - points(_accuracy("embedding", strongest))
    return (
        _contrast(
            "nonlinear head: suppression",
            log(_ratio(weakest)) - log(_ratio(strongest)),
            "From the weakest to the strongest augmentation the ratio of the embedding's invariance"
            " defect to the feature's falls by a factor of {}.",
            kind="difference",
        ),
        _contrast(
            "nonlinear head: augmentation parameters",
            lost,
            "A readout of what augmentation did loses {} of explained variance behind the head.",
            unit="share",
        ),
        _contrast(
            "nonlinear head: lead of the feature",
            lead,
            "Under the strongest augmentation the feature leads by {}.",
            unit="points",
        ),
        *(
            _contrast(
                f"nonlinear head: {words}",
                _errors(SWEEP, quantity, "feature", trained=strengths[len(strengths) // 2 - 1]),
                f"About the {words} of the embedding the feature's own is {{}} as wrong as"
                " water-filling.",
            )
            for quantity, words in (("defect_error", "defect"), ("rank_error", "effective rank"))
        ),
    )


def _linear_row(quantity: str, variant: str, layer: str = "", **settings: str) -> Row:
    return Row(LINEAR, quantity, layer, variant=variant, level=level(**settings))


def _sizes(network: str, variant: str, **settings: str) -> Row:
    return Row(network, "sizes", variant=variant, level=level(**settings))


_PANELS: tuple[Panel, ...] = (
    Spectra(
        name="linear-spectra",
        claim=0,
        title="Layer spectra of the linear network on fresh views, forecast from moments alone.",
        spectra=tuple(
            (
                layer,
                _linear_row("layer_spectrum", "trained", layer),
                _linear_row("layer_spectrum", "theory", layer),
            )
            for layer in LAYERS
        ),
        x="mode",
        y="eigenvalue of the layer's covariance",
    ),
    Prediction(
        name="linear-sizes",
        claim=0,
        title="Size of every mode of the linear network, read along its predicted direction.",
        pairs=tuple(
            (
                "at the end" if name == "end" else f"after {'a ' * (name == 'quarter')}{name}",
                _sizes(LINEAR, "theory", time=name),
                _sizes(LINEAR, "trained", time=name),
            )
            for name in QUARTERS
        ),
        what="size of a mode",
    ),
    Prediction(
        name="linear-times",
        claim=0,
        title="Time at which each mode of the linear network is half learned.",
        pairs=(
            ("modes", _linear_row("half_times", "theory"), _linear_row("half_times", "trained")),
        ),
        what="half-time, sum of learning rates",
    ),
    Prediction(
        name="head-sizes",
        claim=0,
        title="Size of every mode of the ResNet's linear head.",
        pairs=tuple(
            (head, _sizes(HEAD, "theory", head=head), _sizes(HEAD, "trained", head=head))
            for head in ("settled", "unsettled")
        ),
        what="size of a mode",
    ),
)


def _sweep_panels(strengths: tuple[float, ...]) -> tuple[Panel, ...]:
    def line(name: str, value) -> Line:
        return Line(name=name, values=tuple(value(strength) for strength in strengths))

    def rank(strength: float, variant: str = "trained", layer: str = "embedding") -> Row:
        settings = level(trained=strength, strength="training")
        return Row(SWEEP, "erank", layer, variant=variant, level=settings)

    return (
        Course(
            name="sweep-defects",
            claim=0,
            title="Invariance defect at one fixed strength, before and after the nonlinear head.",
            levels=strengths,
            lines=(
                line("feature", lambda s: _defect("feature", s)),
                line("embedding", lambda s: _defect("embedding", s)),
            ),
            x="augmentation strength in training",
            y="invariance defect",
        ),
        Course(
            name="sweep-ranks",
            claim=0,
            title="Effective rank of the embedding under views of the training strength.",
            levels=strengths,
            lines=(
                line("measured", rank),
                Line(
                    name="water-filling",
                    values=tuple(rank(s, "theory", "") for s in strengths),
                    predicted=True,
                ),
            ),
            x="augmentation strength in training",
            y="effective rank, dimensions",
        ),
        Course(
            name="sweep-accuracy",
            claim=0,
            title="A linear probe of digits before and after the nonlinear head.",
            levels=strengths,
            lines=(
                line("feature", lambda s: points(_accuracy("feature", s))),
                line("embedding", lambda s: points(_accuracy("embedding", s))),
            ),
            x="augmentation strength in training",
            y="test accuracy, points",
        ),
    )
