"""What labels are used for in training: losses of classes, and online probes."""

from ssljax.config.config import Config
from ssljax.data.datasets import Dataset
from ssljax.losses.table import LOSSES
from ssljax.nets.named_layers import layer_dims, named_layers
from ssljax.nets.network import Network
from ssljax.system.errors import UsageError
from ssljax.training.observers import Observer
from ssljax.training.online_probe import online_probe


def online_probes(config: Config, dataset: Dataset, network: Network) -> tuple[Observer, ...]:
    """An observer for each layer with an online probe.

    Raises:
      UsageError: A layer does not exist or is no vector, or there are images without a class.
    """
    settings = config.online_probe
    if not settings.layers:
        return ()
    layers = named_layers(network, settings.layers)
    if dataset.labels.min() < 0:
        raise UsageError(
            f"{dataset.name} has images without a class, an online probe needs one for each: give"
            " --online-probe.layers= or another --split"
        )
    dims = layer_dims(network, dataset.image_shape, layers)
    return tuple(
        online_probe(name, dim, dataset.num_classes, learning_rate=settings.learning_rate)
        for name, dim in dims.items()
    )


def check_labels(config: Config, dataset: Dataset, network: Network) -> None:
    """Refuse data without labels, or too few scores for its classes, where the loss needs them.

    Raises:
      UsageError: The loss needs labels that are not there, or more scores than the head gives.
    """
    name = config.loss.name
    if not LOSSES[name].labels:
        return
    if dataset.labels.min() < 0:
        raise UsageError(
            f"{dataset.name} has images without a class, the loss {name} needs one for each: give"
            " another --split, or a --loss.name that needs no labels"
        )
    if not LOSSES[name].scores:
        return
    layer = "predictor" if config.head.classes else "embedding"
    found = layer_dims(network, dataset.image_shape, (layer,))[layer]
    if found < dataset.num_classes:
        raise UsageError(
            f"{found} scores for the {dataset.num_classes} classes of {dataset.name}: give"
            f" --head.classes {dataset.num_classes}"
        )
