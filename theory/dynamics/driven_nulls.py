"""Null predictions of a driven head: each is denied a part of what `driven` knows."""

import jax
import jax.numpy as jnp
import numpy as np

from theory.dynamics.driven import MomentWindows, Steps, driven_descent
from theory.layers.chain import Weights, end_to_end_map
from theory.layers.grams import minimum_norm_layers
from theory.linalg.arrays import Arr, Scalar
from theory.linalg.errors import InputError


def constant_windows(windows: MomentWindows, moment: str) -> MomentWindows:
    """Return moments that do not move: the ``"final"``, ``"initial"`` or ``"mean"`` ones.

    Args:
      windows: The moments along the way.
      moment: Which.

    Returns:
      One window.

    Raises:
      InputError: Another name.
    """
    choices = {"final": lambda x: x[-1:], "initial": lambda x: x[:1],
               "mean": lambda x: jnp.mean(x, axis=0, keepdims=True)}  # fmt: skip
    if moment not in choices:
        raise InputError(f"moment is {moment!r}, wanted one of {', '.join(choices)}")
    return jax.tree.map(choices[moment], windows)


def reversed_windows(windows: MomentWindows) -> MomentWindows:
    """Return the moments in reverse order, at the same centers."""
    return _reorder(windows, np.arange(len(windows.centers))[::-1])


def shuffled_windows(windows: MomentWindows, seed: int, *, block: int = 1) -> MomentWindows:
    """Return the moments at the same centers in a random order of blocks of windows.

    Args:
      windows: The moments along the way.
      seed: Of the order.
      block: Windows that stay together.

    Returns:
      As many windows.
    """
    count = len(windows.centers)
    blocks = np.array_split(np.arange(count), max(1, -(-count // block)))
    order = np.random.default_rng(seed).permutation(len(blocks))
    return _reorder(windows, np.concatenate([blocks[index] for index in order]))


def identity_on_top(weights: Weights) -> Weights:
    """Return the same function with one layer more, the identity: nearly no null at all."""
    return (*weights, jnp.eye(weights[-1].shape[0]))


def balanced_start(weights: Weights, depth: int) -> Weights:
    """Return balanced layers of the same function, of any depth."""
    return minimum_norm_layers(end_to_end_map(tuple(map(jnp.asarray, weights))), depth)


def redrawn_start(weights: Weights, seed: int) -> Weights:
    """Return layers of the same shapes and sizes with independent Gaussian entries."""
    random = np.random.default_rng(seed)
    return tuple(
        jnp.asarray(np.sqrt(np.mean(np.square(weight))) * random.normal(size=np.shape(weight)))
        for weight in weights
    )


def driven_nulls(
    rates: Steps,
    momentum: float | Scalar,
    windows: MomentWindows,
    initial_weights: Weights,
    weight_decay: float | Scalar,
    *,
    block: int = 1,
    num_shuffles: int = 3,
    seed: int = 0,
) -> dict[str, tuple[Arr, ...]]:
    """Return the final layers of a driven head by predictions that know less.

    Sizes of surviving modes are nearly the same under many of them: the Gram, the number of modes
    and the course in time carry the test. The identity on top is nearly the head itself, and a
    balanced start of the same function at another depth a weak null from three layers on.

    Args:
      rates: As in `theory.dynamics.driven.driven_descent`.
      momentum: As there.
      windows: As there.
      initial_weights: As there.
      weight_decay: As there.
      block: Windows that the shuffles keep together.
      num_shuffles: Number of shuffles.
      seed: Of the shuffles and of the redrawn start.

    Returns:
      Layers by the name of the null: ``head not moved``, ``final moments``, ``initial moments``,
      ``mean moments``, ``reversed moments``, ``shuffled moments 1`` …, ``no decay``, ``twice the
      decay``, ``no momentum``, ``balanced start``, ``one layer more, balanced``, ``one layer less,
      balanced`` (from two layers on), ``identity on top``, ``other start``.

    Raises:
      InputError: As `theory.dynamics.driven.driven_descent`.

    Source:
      The nulls of an experiment on heads that train with their encoder.

    Example:
      >>> with jax.enable_x64(True):
      ...     shared = jnp.array([0.2, 0.8])[:, None, None]
      ...     windows = MomentWindows(jnp.array([0.0, 99.0]), jnp.ones((2, 1, 1)), shared)
      ...     ends = driven_nulls(jnp.full(100, 0.1), 0.0, windows, (jnp.eye(1),), 0.0)
      ...     names = ("final moments", "mean moments")
      ...     [round(float(ends[name][0][0, 0] ** 2), 3) for name in names]
      [0.8, 0.5]
    """
    depth = len(initial_weights)
    drives = {
        f"{name} moments": constant_windows(windows, name) for name in ("final", "initial", "mean")
    }
    drives["reversed moments"] = reversed_windows(windows)
    for number in range(num_shuffles):
        shuffled = shuffled_windows(windows, seed + number, block=block)
        drives[f"shuffled moments {number + 1}"] = shuffled
    starts = {
        "balanced start": balanced_start(initial_weights, depth),
        "one layer more, balanced": balanced_start(initial_weights, depth + 1),
        "identity on top": identity_on_top(initial_weights),
        "other start": redrawn_start(initial_weights, seed),
    }
    if depth > 1:
        starts["one layer less, balanced"] = balanced_start(initial_weights, depth - 1)

    def end(drive=windows, start=initial_weights, beta=momentum, decay=weight_decay):
        path = driven_descent(rates, beta, drive, start, decay)
        return tuple(layer[-1] for layer in path)

    return {
        "head not moved": tuple(map(jnp.asarray, initial_weights)),
        **{name: end(drive=drive) for name, drive in drives.items()},
        "no decay": end(decay=0.0 * jnp.asarray(weight_decay)),
        "twice the decay": end(decay=2.0 * jnp.asarray(weight_decay)),
        "no momentum": end(beta=0.0 * jnp.asarray(momentum)),
        **{name: end(start=start) for name, start in starts.items()},
    }


def _reorder(windows, order):
    moved = jax.tree.map(lambda part: jnp.asarray(part)[order], windows)
    return moved._replace(centers=windows.centers)
