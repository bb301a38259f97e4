"""The cost of sharing a step: on paper by limits and by what a compiler sends, and measured."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from experiments.speed.communication import (
    LOSSES,
    RESNET18_CIFAR,
    V5E,
    Work,
    gather_crossover,
    logits_crossover,
    step_bytes,
    step_seconds,
)
from experiments.speed.scale import measured_speed, paper_rows
from ssljax.losses import nt_xent

_SMALL = Work(batch=32, flops=1e6, parameters=1000, channels=10, width=8)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_chip_sends_nothing(loss):
    assert step_bytes(loss, RESNET18_CIFAR, 1) == (0, 0, 0)
    assert step_seconds(loss, RESNET18_CIFAR, 1).lost == 0


def test_only_losses_that_compare_views_send_more_with_the_batch():
    larger = RESNET18_CIFAR._replace(batch=4 * RESNET18_CIFAR.batch)
    for loss in LOSSES:
        first, second = (step_bytes(loss, work, 8).loss for work in (RESNET18_CIFAR, larger))
        compares = loss in ("nt_xent", "supervised_contrastive")
        assert second == pytest.approx((4 if compares else 1) * first)


def test_a_ring_sends_twice_the_gradients_in_the_limit():
    sent = step_bytes("spectral", RESNET18_CIFAR, 10**6).gradients
    assert sent == pytest.approx(2 * 4 * RESNET18_CIFAR.parameters, rel=1e-5)


def test_at_the_crossover_the_gather_takes_as_long_as_the_encoder():
    batch = gather_crossover(RESNET18_CIFAR, 512)
    chips = round(batch / 512)
    seconds = step_seconds("nt_xent", RESNET18_CIFAR._replace(batch=512 * chips), chips)
    assert seconds.loss == pytest.approx(seconds.encoder, rel=2 / chips + 0.01)


def test_at_the_other_crossover_the_logits_take_as_long_as_the_encoder():
    batch = round(logits_crossover(RESNET18_CIFAR))
    seconds = step_seconds("nt_xent", RESNET18_CIFAR._replace(batch=batch), 16)
    assert seconds.logits == pytest.approx(seconds.encoder, rel=1e-3)


def test_twice_the_bandwidth_halves_what_is_lost():
    fast = V5E._replace(links=2 * V5E.links)
    slow, quick = (step_seconds("nt_xent", RESNET18_CIFAR, 16, chip) for chip in (V5E, fast))
    assert slow.loss == pytest.approx(2 * quick.loss)
    assert slow.encoder == quick.encoder


def _sent(text):
    """Bytes that leave one device in a compiled program, counted as rings send them."""
    sizes = {"f32": 4, "s32": 4, "u32": 4, "pred": 1}
    total = 0.0
    for kind, shape, operation in re.findall(
        r"= \(?(\w+)\[([\d,]*)\][^=]*? (all-gather|all-reduce|reduce-scatter)(?:-start)?\(", text
    ):
        count = np.prod([int(part) for part in shape.split(",") if part] or [1])
        factor = {"all-gather": 1, "all-reduce": 2, "reduce-scatter": 8}[operation]
        total += 7 / 8 * factor * sizes[kind] * count
    return total


@pytest.mark.optimized
def test_a_compiler_sends_what_paper_says_for_a_gathered_loss():
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("batch"))
    shape = jax.ShapeDtypeStruct((32, 8), jnp.float32, sharding=rows)
    gradient = jax.jit(
        jax.grad(lambda a, b: nt_xent(a, b, temperature=0.5), (0, 1)), out_shardings=(rows, rows)
    )
    text = gradient.lower(shape, shape).compile().as_text()
    on_paper = step_bytes("nt_xent", _SMALL, 8).loss
    # The compiler may gather both factors of the product and reduce what others would scatter.
    assert 0.5 * on_paper <= _sent(text) <= 4 * on_paper


def test_rows_on_paper_have_the_form_of_the_speed_table():
    rows = paper_rows()
    assert {row["what"] for row in rows} == {"scale"}
    assert len({row["case"] for row in rows}) == len(rows)
    for row in rows:
        assert row["ours"] > 0
        assert row["ratio"] is None or 0 < row["ratio"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("arrangement", [(1, 2), (2, 1)])
def test_speed_is_measured_in_processes_of_their_own(arrangement):
    assert measured_speed(*arrangement, steps=2) > 0
