"""Claim 5: trained on coarse classes, the layer before the head tells fine classes apart better."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import XUE, Claim, Experiment
from experiments.core.gates import learned
from experiments.core.names import TASKS
from experiments.core.panels import Course, Line
from experiments.core.values import Row, Value, log, points


def _accuracy(layer: str, task: str, variant: str = "trained", loss: str = "contrastive") -> Row:
    return Row(f"coarse-{loss}", "accuracy", layer, task, variant)


def _lead(loss: str) -> Value:
    return points(_accuracy("feature", "fine", loss=loss)) - points(
        _accuracy("embedding", "fine", loss=loss)
    )


def _kept(task: str) -> Value:
    """Logarithm of what is read after the head over what is read before it, above chance."""
    chance = TASKS[task].chance
    return log(_accuracy("embedding", task) - chance) - log(_accuracy("feature", task) - chance)


def _relative(task: str, variant: str) -> tuple[Value, ...]:
    before = _accuracy("feature", task) - TASKS[task].chance
    return (before / before, (_accuracy("embedding", task, variant) - TASKS[task].chance) / before)


EXPERIMENT = Experiment(
    question="What do networks trained on coarse classes know of fine ones, before and after the"
    " head?",
    claims=(
        Claim(
            5,
            "fine classes under coarse training",
            "Trained on coarse classes, the layer before the head tells fine classes apart better"
            " than the one after it.",
            XUE,
            "Project page; abstract, for supervised contrastive learning and supervised learning.",
            "Networks are trained on the 20 coarse classes of CIFAR-100 and probed for its 100 fine"
            " ones, before and after a head whose output is as wide as its input.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=5,
            name="fine classes, before less after",
            role="primary",
            needs=("learned(coarse)",),
            value=_lead("contrastive"),
            says="Fine classes are read {} better before the head than after it.",
        ),
        learned(
            5, "coarse-contrastive", "coarse", "Training gains {} on coarse classes.", at_least=5.0
        ),
        Contrast(
            claim=5,
            name="training, not a further layer",
            role="secondary",
            value=points(_accuracy("embedding", "fine", "random_head"))
            - points(_accuracy("embedding", "fine")),
            says="After a random head fine classes are read {} better than after the trained one.",
            beside=True,
        ),
        Contrast(
            claim=5,
            name="selectivity",
            role="secondary",
            unit="times",
            value=_kept("coarse") - _kept("fine"),
            says="The head keeps {} as much of the coarse classes as of the fine ones.",
        ),
        Contrast(
            claim=5,
            name="cross-entropy",
            role="secondary",
            needs=("learned(coarse), cross-entropy",),
            value=_lead("entropy"),
            says="Under cross-entropy fine classes are read {} better before the head.",
        ),
        learned(
            5,
            "coarse-entropy",
            "coarse",
            "Under cross-entropy training gains {} on coarse classes.",
            name="learned(coarse), cross-entropy",
            at_least=5.0,
        ),
    ),
    panels=(
        Course(
            name="coarse-layers",
            claim=5,
            title="Accuracy above chance, relative to that at the feature.",
            levels=("feature", "after the head"),
            lines=(
                Line(name="coarse classes", values=_relative("coarse", "trained")),
                Line(name="fine classes", values=_relative("fine", "trained")),
                Line(
                    name="fine, random head", values=_relative("fine", "random_head"), is_null=True
                ),
            ),
            x="",
            y="share of the accuracy above chance",
        ),
    ),
    scope="CIFAR-100 at 16 pixels and a small residual network.",
)
