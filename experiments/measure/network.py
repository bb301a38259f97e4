"""Trains or loads one network and measures it: the entry that the runner is given."""

import dataclasses
from functools import partial

import jax

from experiments.core.measurements import Measurement, Run, curve_name
from experiments.core.runner import Measured
from experiments.errors import InputError
from experiments.measure.plan import MEASURES
from experiments.measure.subject import Curve, Subject
from experiments.networks.images import load_task
from experiments.networks.sizes import SIZES
from experiments.networks.trained import load_trained
from experiments.networks.trainings import TRAININGS
from experiments.networks.views import show_examples


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
        device=jax.devices()[0].device_kind,
    )
    return Measured(run, rows, curves)


def make_subject(network: str, seed: int, tier: str) -> Subject:
    """Return a network of a seed, trained now or loaded, or a model that needs no network."""
    training = TRAININGS[network]
    subject = Subject(
        network, seed, training, SIZES[tier], lambda task: load_task(task, network, tier)
    )
    if training.kind != "encoder":
        after = {name: make_subject(name, seed, tier) for name in training.after}
        return dataclasses.replace(subject, after=after)
    trained = load_trained(network, seed, tier)
    return dataclasses.replace(
        subject,
        variants=trained.variants,
        view=trained.view,
        examples=partial(show_examples, trained.config, trained.dataset, trained.key),
        policy=trained.config.policy,
        observed=trained.observed,
        config=trained.digest,
        data=trained.data,
        steps=trained.config.num_steps,
        final_loss=float(trained.observed["loss"][-1]),
    )
