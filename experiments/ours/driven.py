"""Claim 21: a linear head trained with its encoder follows the flow that its moments drive."""

import math

from experiments.core.contrasts import Contrast
from experiments.core.experiment import OURS, Claim, Experiment
from experiments.core.names import level
from experiments.core.panels import Course, Line, Prediction
from experiments.core.values import Row, Value, forecast, log
from experiments.networks.settings import MOMENT_WINDOWS

PROMISED = 0.12
RIVALS = (
    "final",
    "initial",
    "time_mean",
    "shuffled",
    "reversed",
    "no_decay",
    "no_momentum",
    "not_moved",
)
_WITHOUT_MOMENTUM = tuple(name for name in RIVALS if name != "no_momentum")
DIGITS, CIFAR = "driven-gn", "joint-spectral"
DEPTHS = {1: "driven-one", 2: DIGITS, 3: "driven-three"}


def _error(network: str, variant: str = "theory", depth: int = 2, **settings: str | int) -> Row:
    """Largest relative Frobenius error of a layer's Gram at the end."""
    return Row(network, "gram_error", variant=variant, level=level(depth=depth, **settings))


def _against_rivals(network: str, depth: int = 2, rivals: tuple[str, ...] = RIVALS) -> Value:
    return forecast(
        _error(network, depth=depth),
        **{name: _error(network, f"rival:{name}", depth) for name in rivals},
    )


def _predictable(network: str, name: str) -> Contrast:
    return Contrast(
        claim=21,
        name=name,
        role="gate",
        unit="of the Gram",
        at_least=0.0,
        value=PROMISED - Row(network, "floor", level=level(depth=2)),
        says=f"The exact operator on other batches lands within {PROMISED}, with {{}} to spare.",
    )


def _depth(depth: int, words: str) -> Contrast:
    return Contrast(
        claim=21,
        name=words,
        role="noted",
        unit="times",
        value=_against_rivals(DEPTHS[depth], depth),
        says=f"In heads of {words} the best rival is {{}} as wrong.",
    )


def _windows(steps: int) -> Contrast:
    return Contrast(
        claim=21,
        name=f"windows of {steps} steps",
        role="noted",
        unit="times",
        value=log(_error(DIGITS, window=steps)) - log(_error(DIGITS)),
        says=f"With windows of {steps} steps the prediction is {{}} as wrong.",
    )


EXPERIMENT = Experiment(
    question="Does a linear head that trains together with its encoder follow the encoder's"
    " moments?",
    claims=(
        Claim(
            21,
            "a head trained with its encoder follows the moments",
            "A linear head trained together with its encoder follows the driven flow of the"
            " encoder's measured moments.",
            OURS,
            "Flow of the factors, driven by moments that change with time. Conditional: the drive"
            " is measured, and contains the encoder's reaction to the head.",
            "Moments of the features that the loss sees are averaged over windows of 20 steps while"
            " a residual network with group normalization trains on handwritten digits. From them,"
            " the initial head, the learning rates and the decay, every layer's Gram at the end is"
            " predicted; the error is the largest relative Frobenius distance of a layer.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=21,
            name="Grams of the layers at the end",
            role="primary",
            kind="forecast",
            unit="times",
            needs=("predictable",),
            value=_against_rivals(DIGITS),
            says="The best of eight rivals is {} as wrong.",
        ),
        _predictable(DIGITS, "predictable"),
        Contrast(
            claim=21,
            name="every step's own batch",
            role="control",
            kind="identity",
            instrument=True,
            unit="of the bound 1e-5",
            value=_error(DIGITS, moments="batch") / 1e-5,
            says="The operator of every step's own batch reproduces the head: largest error {}.",
        ),
        Contrast(
            claim=21,
            name="error below 0.12",
            role="secondary",
            kind="forecast",
            unit="times",
            value=math.log(PROMISED) - log(_error(DIGITS)),
            says="An error of 0.12 would be {} as large.",
            beside=True,
        ),
        Contrast(
            claim=21,
            name="number of modes",
            role="secondary",
            unit="of a natural logarithm",
            margin=math.log(1.1),
            value=Row(DIGITS, "count_error", variant="rival:final", level=level(depth=2))
            - Row(DIGITS, "count_error", variant="theory", level=level(depth=2)),
            says="The final moments alone are wrong about the number of modes by {} more.",
        ),
        Contrast(
            claim=21,
            name="sizes of the modes",
            role="secondary",
            kind="forecast",
            unit="times",
            value=forecast(
                Row(DIGITS, "size_error", variant="theory", level=level(depth=2)),
                initial=Row(DIGITS, "size_error", variant="rival:initial", level=level(depth=2)),
                not_moved=Row(
                    DIGITS, "size_error", variant="rival:not_moved", level=level(depth=2)
                ),
            ),
            says="The best rival is {} as wrong about the sizes of modes.",
        ),
        Contrast(
            claim=21,
            name="bias of batch normalization",
            role="secondary",
            unit="times",
            needs=(),
            value=log(_error("driven-bn")) - log(_error("driven-bn", moments="operator")),
            says="Under batch normalization plain moments are {} as wrong as the batch operator's"
            " mean.",
        ),
        Contrast(
            claim=21,
            name="on CIFAR-10",
            role="secondary",
            kind="forecast",
            unit="times",
            needs=("predictable, CIFAR-10",),
            # Trained without momentum, which is then no rival.
            value=_against_rivals(CIFAR, rivals=_WITHOUT_MOMENTUM),
            says="On CIFAR-10 the best of seven rivals is {} as wrong.",
        ),
        _predictable(CIFAR, "predictable, CIFAR-10"),
        _depth(1, "one layer"),
        _depth(3, "three layers"),
        *(_windows(steps) for steps in MOMENT_WINDOWS),
    ),
    panels=(
        Course(
            name="driven-windows",
            claim=21,
            title="Error of the predicted Grams against the coarseness of the moments.",
            levels=(20.0, *map(float, MOMENT_WINDOWS)),
            lines=(
                Line(
                    name="prediction",
                    values=(
                        _error(DIGITS),
                        *(_error(DIGITS, window=steps) for steps in MOMENT_WINDOWS),
                    ),
                ),
                *(
                    Line(
                        name=name.replace("_", " "),
                        values=(_error(DIGITS, f"rival:{name}"),) * (1 + len(MOMENT_WINDOWS)),
                        is_null=True,
                    )
                    for name in ("final", "initial", "shuffled")
                ),
            ),
            x="window of the moments, steps",
            y="relative error of a Gram",
            log_x=True,
            log_y=True,
        ),
        Prediction(
            name="driven-sizes",
            claim=21,
            title="Size of every mode at the end.",
            pairs=(
                (
                    "modes",
                    Row(DIGITS, "sizes", variant="theory", level=level(depth=2)),
                    Row(DIGITS, "sizes", level=level(depth=2)),
                ),
            ),
            what="size of a mode",
        ),
    ),
    scope="Conditional on the measured drive: it says that the head follows the moments, not where"
    " the moments go. It has little power for the depth of the head.",
)
