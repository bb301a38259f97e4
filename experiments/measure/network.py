"""Trains or loads one network and measures it: the entry that the runner is given."""

from experiments.core.measured import Measured
from experiments.core.measurements import Measurement, Run, curve_name
from experiments.errors import InputError
from experiments.measure.plan import MEASURES
from experiments.measure.subject import Curve, Subject
from experiments.networks.images import Split
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS


def measure_network(network: str, seed: int, tier: str) -> Measured:
    """Return everything that is measured on a network or a model.

    Args:
      network: A name of the table of trainings.
      seed: Of the training, and of draws made at measuring.
      tier: A name of `SIZES`.

    Raises:
      InputError: The network is unknown, or nothing is measured on it yet.
      UsageError: Images are missing or damaged.
    """
    if network not in MEASURES:
        raise InputError(
            f"nothing is measured on '{network}'; the networks are {', '.join(MEASURES)}"
        )
    return measure_subject(make_subject(network, seed, tier), tier)


def measure_subject(subject: Subject, tier: str) -> Measured:
    """Return every row and curve that the measures of a subject's network yield."""
    found = [item for measure in MEASURES[subject.network] for item in measure(subject)]
    rows = tuple(item for item in found if isinstance(item, Measurement))
    curves = {curve_name(item.key): item.values for item in found if isinstance(item, Curve)}
    run = Run(
        subject.network,
        subject.seed,
        tier,
        config=subject.config,
        data=subject.data,
        steps=subject.steps,
        final_loss=subject.final_loss,
    )
    return Measured(run, rows, curves)


def make_subject(network: str, seed: int, tier: str) -> Subject:
    """Return a network of a seed, trained now or loaded, or a model that needs no network."""
    return Subject(network, seed, TRAININGS[network], SIZES[tier], _refuse_images)


def _refuse_images(task: str) -> Split:
    raise InputError(f"a model has no images of {task}")
