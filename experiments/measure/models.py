"""Measures the models that need no network: the entry for trainings of the kind `model`."""

from experiments.core.measured import Measured
from experiments.core.measurements import Measurement, Run, curve_name
from experiments.errors import InputError
from experiments.measure.diagonal import measure_diagonal
from experiments.measure.feature_model import measure_feature_model
from experiments.measure.subject import Measure, Split, Subject
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS

MODELS: dict[str, Measure] = {
    "diagonal": measure_diagonal,
    "feature-model": measure_feature_model,
}


def measure_model(network: str, seed: int, tier: str) -> Measured:
    """Return everything that is measured on a model.

    Args:
      network: A name of `MODELS`.
      seed: Of its draws.
      tier: A name of `SIZES`.

    Raises:
      InputError: The network is no such model.
    """
    if network not in MODELS:
        raise InputError(f"'{network}' is none of the models {', '.join(MODELS)}")
    subject = Subject(network, seed, TRAININGS[network], SIZES[tier], {}, _refuse_images)
    found = tuple(MODELS[network](subject))
    rows = tuple(item for item in found if isinstance(item, Measurement))
    curves = {
        curve_name(item.key): item.values for item in found if not isinstance(item, Measurement)
    }
    return Measured(Run(network, seed, tier), rows, curves)


def _refuse_images(task: str) -> Split:
    raise InputError(f"a model has no images of {task}")
