"""Claim 3: a nonlinearity lets lower layers hold features that are absent from higher ones."""

import math

from experiments.core.contrasts import Contrast
from experiments.core.experiment import XUE, Claim, Experiment
from experiments.core.gates import learned
from experiments.core.names import TASKS, level
from experiments.core.values import Row, forecast, log, points, share_lost

SPLIT = "digits-split"
# By the step size of descent; derived in experiments/measure/diagonal.py.
END_BOUND = 0.0073
CHANCE = TASKS["digit"].chance


def _amplitude(layer: str, **settings: str) -> Row:
    """Geometric mean over the disrupted features of a diagonal network."""
    return Row("diagonal", "amplitude", layer, level=level(**settings))


def _digit(layer: str, variant: str = "trained") -> Row:
    return Row(SPLIT, "accuracy", layer, "digit", variant)


_LOST = log(_amplitude("feature")) - log(_amplitude("embedding"))
_LOST_LINEARLY = log(_amplitude("feature", activation="none")) - log(
    _amplitude("embedding", activation="none")
)
_GATES = ("digits at the random head", "learned(background)")

EXPERIMENT = Experiment(
    question="Are features absent after a nonlinear head that are present before it?",
    claims=(
        Claim(
            3,
            "features absent after a nonlinear head",
            "A nonlinearity lets lower layers hold features that are completely absent from higher"
            " ones.",
            XUE,
            "Abstract; a theorem on diagonal networks. The network on images is a stand-in.",
            "Diagonal networks with a symmetrized ReLU are trained from random starts on features"
            " that augmentation disrupts fully; the amplitude of those features is compared before"
            " and after the head. A network on images sees each digit in one view of a pair only,"
            " so that pairs share nothing of it.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=3,
            name="amplitude lost in the head",
            role="primary",
            needs=(),
            unit="times",
            margin=math.log(10.0),
            value=_LOST,
            says="The amplitude of disrupted features is {} smaller after the head than before.",
        ),
        Contrast(
            claim=3,
            name="more than in a linear network",
            role="secondary",
            needs=(),
            unit="times",
            margin=math.log(10.0),
            value=_LOST - _LOST_LINEARLY,
            says="A head with the nonlinearity loses {} as much amplitude as one without it.",
            beside=True,
        ),
        Contrast(
            claim=3,
            name="closed form of the end",
            role="control",
            kind="identity",
            unit=f"of the bound {END_BOUND}",
            value=Row("diagonal", "identity_error") / END_BOUND,
            says="Descent ends at the weights that flow has by then, in closed form: largest"
            " difference {}.",
        ),
        Contrast(
            claim=3,
            name="digits at the random head",
            role="gate",
            at_least=5.0,
            value=points(_digit("embedding", "random_head")) - 100 * CHANCE,
            says="A random head keeps digits {} above chance.",
        ),
        learned(3, SPLIT, "background", "Training gains {} on the classes of the background."),
        Contrast(
            claim=3,
            name="digits, trained less random head",
            role="secondary",
            needs=_GATES,
            unit="share",
            value=share_lost(_digit("feature"), _digit("embedding"), CHANCE)
            - share_lost(_digit("feature"), _digit("embedding", "random_head"), CHANCE),
            says="On images, the trained head loses {} more of what is read of the digit than a"
            " random head.",
        ),
        Contrast(
            claim=3,
            name="digits at chance after the head",
            role="secondary",
            kind="equivalence",
            needs=_GATES,
            margin=3.0,
            value=points(_digit("embedding")) - 100 * CHANCE,
            says="After the trained head digits are read {} above chance.",
        ),
        Contrast(
            claim=3,
            name="amplitude before the head, predicted",
            role="secondary",
            kind="forecast",
            needs=(),
            unit="times",
            value=forecast(
                Row("diagonal", "log_error", "feature", variant="theory"),
                start=Row("diagonal", "log_error", "feature", variant="rival:start"),
            ),
            says="The amplitude at the start is {} as wrong about that before the head.",
        ),
    ),
    scope="The theorem is about diagonal networks; the images are digits on CIFAR-10 at 16 pixels.",
)
