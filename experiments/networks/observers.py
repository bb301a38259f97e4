"""What is compiled into the steps of a training besides the step: looked at, never changed."""

from collections.abc import Callable

from ssljax.config.config import Config
from ssljax.training.observers import Observer

MakeObserver = Callable[[Config], Observer]

OBSERVERS: dict[str, MakeObserver] = {}
"""By the names of `Training.observers`; to add one, a function of the configuration and a line."""


def make_observers(config: Config, names: tuple[str, ...]) -> dict[str, Observer]:
    """Return the observers of a training, by name."""
    return {name: OBSERVERS[name](config) for name in names if name in OBSERVERS}
