"""A small network whose features and slopes are known: linear, then one hidden layer of ReLUs."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.measure.encoders.passes import Passes
from experiments.measure.subject import Subject
from experiments.networks.images import Labeled, Split
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from experiments.networks.variant import Variant
from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.nets.network import Network

SIDE, WIDTH = 4, 16
LAYERS = ("feature", "embedding")


def embed(params, statistics, features):
    head = params["head"]
    hidden = jax.nn.relu(features @ head["layer1"]["kernel"] + head["layer1"]["bias"][None])
    return hidden @ head["layer2"]["kernel"]


def apply(params, statistics, images, *, train, layers=()):
    feature = images.reshape(len(images), -1) @ params["encoder"]["kernel"]
    return {"feature": feature, "embedding": embed(params, statistics, feature)}, statistics


def init(key, hidden=WIDTH):
    keys = jax.random.split(key, 3)
    inputs = SIDE * SIDE * 3
    first = {
        "kernel": jax.random.normal(keys[1], (WIDTH, hidden)) / np.sqrt(WIDTH),
        "bias": jnp.zeros(hidden),
    }
    second = {"kernel": jax.random.normal(keys[2], (hidden, WIDTH)) / np.sqrt(hidden)}
    encoder = {"kernel": jax.random.normal(keys[0], (inputs, WIDTH)) / np.sqrt(inputs)}
    return {"encoder": encoder, "head": {"layer1": first, "layer2": second}}, {}


def make_variant(seed, hidden=WIDTH, encoder=None):
    network = Network(lambda key: init(key, hidden), apply, LAYERS)
    params, statistics = init(jax.random.key(seed), hidden)
    if encoder is not None:
        params = params | {"encoder": encoder}
    return Variant(network, params, statistics, 1 / 255, embed)


def make_split(rng, train=400, test=200, classes=4, groups=False):
    """Images whose classes differ in their mean."""
    means = rng.uniform(60, 200, (classes, SIDE, SIDE, 3))

    def part(count):
        labels = np.arange(count) % classes
        noise = rng.normal(0, 40, (count, SIDE, SIDE, 3))
        images = np.clip(means[labels] + noise, 0, 255).astype(np.uint8)
        return Labeled(images, labels, np.arange(count) % 8 if groups else None)

    return Split(part(train), part(test), part(test) if groups else None)


def make_passes(split, network="base", hidden=WIDTH, noise=0.1, tasks=None):
    """A subject whose view of an image is the image with noise of the strength added.

    Every task has the images of `split`, but for those in `tasks`.
    """
    trained = make_variant(0, hidden)
    variants = {"trained": trained, "untrained": make_variant(1, hidden)}
    for draw in range(3):
        encoder = trained.params["encoder"]
        variants[f"random_head:{draw}"] = make_variant(10 + draw, hidden, encoder)

    def view(images, strength, number):
        rng = np.random.default_rng(number)
        changed = images / 255 + noise * strength * rng.normal(size=images.shape)
        return changed.astype(np.float32)

    return Passes(
        Subject(
            network,
            0,
            TRAININGS[network],
            SIZES["smoke"],
            lambda task: (tasks or {}).get(task, split),
            variants,
            view,
            examples=lambda count: np.stack([split.train.images[:count]] * 2, axis=1),
            policy=SIMCLR_POLICY,
        )
    )
