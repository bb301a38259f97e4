"""What the step of a training by plain descent is watched with; two claims read it."""

from experiments.noise_equilibrium import window_observer
from experiments.observers import ledger_observer
from ssljax.config.config import Config
from ssljax.training.build import build_schedule
from ssljax.training.observers import Observer


def run_observers(config: Config) -> tuple[Observer, ...]:
    """What is compiled into the step of these trainings: the account, and the gradients' moments.

    Under momentum the account takes the step size η / (1 − β) that the same gradients have in the
    long run: the most charitable reading.
    """
    widths, settings = config.head.widths, config.optimizer
    heavy = settings.momentum if settings.name == "sgd" else 0.0
    schedule = build_schedule(config)
    return (
        ledger_observer(
            widths, lambda step: schedule(step) / (1.0 - heavy), settings.head_weight_decay
        ),
        window_observer(config),
    )
