"""Which examples make up a training step: a pure function of (key, step).

Nothing is kept between steps, so a resumed run draws the batches an uninterrupted one would have,
and a step inside `jax.lax.scan` costs O(batch), not O(data set): the permutation of an epoch is
never written down but evaluated at the positions a step needs.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.system.arrays import Array, Int, PRNGKeyArray, UInt32
from ssljax.system.errors import UsageError

_ROUNDS = 8


def batch_indices(
    key: PRNGKeyArray,
    step: int | Int[Array, ""],
    num_examples: int,
    batch_size: int,
    sampling: str,
) -> Int[Array, " batch"]:
    """Return the indices of the examples of one step.

    Args:
        key: root key of the run's sampling, shape ().
        step: training step, from 0.
        num_examples: size of the data set.
        batch_size: examples per step.
        sampling: "epoch" walks through a new random order of the data set in each epoch of
            ``num_examples // batch_size`` steps, every example at most once, the last partial
            batch dropped (other examples in each epoch). "replacement" draws each index
            independently and uniformly; the contrastive loss is then an unbiased estimate over
            the data set, where distinct examples make it a finite-population statistic.

    Returns:
        Indices in [0, num_examples), shape (batch_size,).

    Raises:
        UsageError: for an unknown sampling or an epoch smaller than one batch.

    Accuracy:
        "epoch" orders are pseudo-random (see :func:`permute`), not uniform over all
        ``num_examples!`` orders.
    """
    if sampling not in ("epoch", "replacement"):
        raise UsageError(f"sampling is {sampling!r}; wanted 'epoch' or 'replacement'")
    if num_examples < 1 or batch_size < 1:
        raise UsageError(
            f"{num_examples} examples in batches of {batch_size}; both must be at least 1"
        )
    if sampling == "replacement":
        return jax.random.randint(jax.random.fold_in(key, step), (batch_size,), 0, num_examples)
    steps_per_epoch = num_examples // batch_size
    if steps_per_epoch == 0:
        raise UsageError(
            f"a batch of {batch_size} does not fit into an epoch of {num_examples} examples; "
            "use a smaller batch or sampling 'replacement'"
        )
    epoch, place = jnp.divmod(step, steps_per_epoch)
    positions = place * batch_size + jnp.arange(batch_size)
    return permute(jax.random.fold_in(key, epoch), positions, num_examples)


def permute(
    key: PRNGKeyArray, positions: Int[Array, " positions"], size: int
) -> Int[Array, " positions"]:
    r"""Evaluate a random permutation of 0..size-1 at some positions only.

    A Feistel network on pairs (a, b) in [0, A) x [0, B) with A = ceil(sqrt(size)) and
    B = ceil(size / A): rounds ``a += hash(b) mod A`` and ``b += hash(a) mod B`` in turn, each
    invertible whatever the hash. A B exceeds `size` by less than A; a value that falls into
    this excess is mapped again until it does not (cycle walking), which keeps the map a
    bijection.

    Args:
        key: decides the permutation.
        positions: where to evaluate it, each in [0, size).
        size: number of elements, at least 1.

    Returns:
        The images of the positions: distinct positions have distinct images.

    Accuracy:
        Exactly a bijection. Marginals and pairs are uniform to the precision of the tests
        (chi-square); only 2**32 - 1 round constants each are possible, so not every order is.

    Source:
        Black and Rogaway 2002, "Ciphers with arbitrary finite domains": generalized Feistel and
        cycle walking. The round function is the finalizer of MurmurHash3 with random constants.
    """
    constants = jax.random.bits(key, (_ROUNDS, 2), jnp.uint32)
    once = partial(_network, constants, *_find_sides(size), jnp)
    values = jax.lax.while_loop(
        lambda values: jnp.any(values >= size),
        lambda values: jnp.where(values >= size, once(values), values),
        once(positions.astype(jnp.uint32)),
    )
    return values.astype(jnp.int32)


def epoch_constants(key: PRNGKeyArray, num_epochs: int) -> UInt32[Array, "epochs rounds 2"]:
    """Return constants of the permutations of the first epochs, for `permute_on_host`.

    Args:
        key: root key of the run's sampling, as for `batch_indices`.
        num_epochs: how many epochs.

    Returns:
        One set of round constants per epoch.
    """
    keys = jax.vmap(lambda epoch: jax.random.fold_in(key, epoch))(jnp.arange(num_epochs))
    return jax.vmap(lambda key: jax.random.bits(key, (_ROUNDS, 2), jnp.uint32))(keys)


def permute_on_host(
    constants: UInt32[np.ndarray, "rounds 2"], positions: Int[np.ndarray, " positions"], size: int
) -> Int[np.ndarray, " positions"]:
    """Evaluate `permute` in NumPy: for processes that read data and have no device.

    Args:
        constants: those of one epoch, from `epoch_constants`.
        positions: where to evaluate the permutation, each in [0, size).
        size: number of elements, at least 1.

    Returns:
        Exactly what `permute` returns.
    """
    once = partial(_network, constants, *_find_sides(size), np)
    values = once(positions.astype(np.uint32))
    while np.any(values >= size):
        values = np.where(values >= size, once(values), values)
    return values.astype(np.int64)


def _find_sides(size):
    first = math.isqrt(size - 1) + 1 if size > 1 else 1
    return first, -(-size // first)


def _network(constants, first, second, numpy, values):
    """Apply the Feistel network to pairs; written once for JAX and NumPy."""
    first, second = numpy.uint32(first), numpy.uint32(second)
    a, b = numpy.divmod(values, second)
    for turn in range(_ROUNDS):
        if turn % 2 == 0:
            a = (a + _hash(b, constants[turn], numpy) % first) % first
        else:
            b = (b + _hash(a, constants[turn], numpy) % second) % second
    return a * second + b


def _hash(values, constants, numpy):
    """Apply MurmurHash3's 32-bit finalizer between two random constants."""
    mixed = values * numpy.uint32(0x9E3779B9) + constants[0]
    mixed = (mixed ^ (mixed >> 16)) * numpy.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> 13)) * numpy.uint32(0xC2B2AE35)
    return (mixed ^ (mixed >> 16)) + constants[1]
