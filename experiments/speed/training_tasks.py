"""The tasks of training: a ResNet's step, and what a step costs that computes next to nothing."""

import time
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from experiments.speed.task import Task
from ssljax.augment.policies import NOISE_POLICY
from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from ssljax.data.datasets import Dataset
from ssljax.losses import nt_xent
from ssljax.nets.head import MLPHead
from ssljax.nets.network import make_network
from ssljax.nets.resnet import ResNet
from ssljax.system.cpu import compiler_options, keep_freed_memory
from ssljax.training.training import Training, make_training


def _step(
    width: int, stages: tuple[int, ...], head: tuple[int, int], optimizer: Any, views: int
) -> Task:
    # As `python -m ssljax` does, before JAX starts.
    keep_freed_memory()
    network = make_network(
        partial(ResNet, (32, 32, 3), stage_sizes=stages, width=width),
        partial(MLPHead, widths=head, norm="none"),
    )
    params, statistics = network.init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (views, 32, 32, 3))

    @partial(jax.jit, donate_argnums=0, compiler_options=compiler_options())
    def step(state, images):
        params, statistics, moments = state

        def objective(params):
            outputs, moved = network.apply(params, statistics, images, train=True)
            pairs = outputs["embedding"].reshape(-1, 2, head[1])
            return nt_xent(pairs[:, 0], pairs[:, 1], 0.5), moved

        (loss, moved), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        updates, moments = optimizer.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moved, moments), loss

    state = (params, statistics, optimizer.init(params))

    def call() -> None:
        nonlocal state
        state, loss = step(state, images)
        jax.block_until_ready((state, loss))

    return Task(call, check=float(sum(leaf.size for leaf in jax.tree.leaves(params))))


def resnet_w16() -> Task:
    """A training step: width 16, a block a stage, 256 views, SGD with momentum."""
    return _step(16, (1, 1, 1, 1), (128, 128), optax.sgd(0.03, 0.9), 256)


def resnet18() -> Task:
    """A training step: ResNet-18, 8 pairs, AdamW."""
    optimizer = optax.adamw(1e-3, weight_decay=1e-4)
    return _step(64, (2, 2, 2, 2), (2048, 256), optimizer, 16)


def _deep_linear(num_steps: int) -> Training:
    images = np.random.default_rng(0).integers(0, 256, (1024, 4, 4, 1)).astype(np.uint8)
    config = Config(
        policy=NOISE_POLICY,
        encoder=EncoderConfig(kind="linear", widths=(16,)),
        head=HeadConfig(kind="linear", widths=(16,)),
        loss=LossConfig(name="spectral"),
        optimizer=OptimizerConfig(name="sgd", learning_rate=1e-4),
        batch_size=128,
        num_steps=num_steps,
    )
    dataset = Dataset(images, np.zeros(len(images), np.int32), 1 / 255, 1, "random")
    return make_training(config, dataset)


def deep_linear_steps() -> Task:
    """10 000 steps of a linear network 16-16-16, batch 128, with noise as augmentation."""
    training = _deep_linear(10_000)

    def call() -> None:
        state, metrics = training.run(training.init(0), 1.0, 10_000)
        jax.block_until_ready((state.params, metrics))

    return Task(call)


_CALLS = 500


def step_overhead() -> Task:
    """What a step called by itself costs above one inside a compiled loop of many."""
    training = _deep_linear(10_000)
    strength = training.place(1.0)

    def seconds(calls: int, steps: int) -> float:
        state = training.init(0)
        state, _ = training.step(state, strength, steps)
        jax.block_until_ready(state.params)
        started = time.perf_counter()
        for _ in range(calls):
            state, _ = training.step(state, strength, steps)
        jax.block_until_ready(state.params)
        return (time.perf_counter() - started) / (calls * steps)

    return Task(lambda: max(seconds(_CALLS, 1) - seconds(5, 100), 1e-6))
