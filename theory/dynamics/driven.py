"""A linear head whose encoder trains too: its layers from moments measured along the way.

The encoder is an external drive: its moments are measured, not predicted. Whatever the head does to
the encoder is part of them, so a match shows that the head follows the moments, and not why they
change as they do.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.dynamics.batch_operator import (
    Batches,
    batch_correction,
    gaussian_closure,
    mean_batch_gradient,
    moment_gradient,
)
from theory.layers.chain import WeightPaths, Weights, check_chain
from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64
from theory.linalg.checks import is_known, require_count, require_number, require_weight_decay
from theory.linalg.errors import InputError

Steps = Float[Arr, " steps"]
Centers = Float[Arr, " windows"]


class MomentWindows(NamedTuple):
    """Mean moments of the training batches in windows of steps, raw, of what the head received.

    Attributes:
      centers: Mean index of the steps in each window, the first step being 0; ascending.
      covariances: Mean over the window of (h₁ᵀh₁ + h₂ᵀh₂)/2B.
      cross_covariances: Mean of sym(h₁ᵀh₂)/B.
      closure: Weight w of `gaussian_closure` in each window, if it is wanted.
    """

    centers: Centers
    covariances: Float[Arr, "windows dim dim"]
    cross_covariances: Float[Arr, "windows dim dim"]
    closure: Centers | None = None

    def gradient(self, step: Scalar, gram: Matrix) -> Matrix:
        """Return the gradient in F on moments that are linear between the windows' centers."""
        left, right, part = _place(self.centers, step)
        covariance = _interpolate(self.covariances, left, right, part)
        shared = _interpolate(self.cross_covariances, left, right, part)
        gradient = moment_gradient(covariance, shared, gram)
        if self.closure is None:
            return gradient
        weight = _interpolate(self.closure, left, right, part)
        return gradient + gaussian_closure(shared, gram, weight)


class BatchWindows(NamedTuple):
    """Features of training batches in windows of steps; one batch a step is the exact case.

    Attributes:
      centers: Mean index of the steps in each window; ascending.
      first: Features of the first views, ``(windows, batches, batch, dim)``.
      second: Of the second views.
    """

    centers: Centers
    first: Float[Arr, "windows batches batch dim"]
    second: Float[Arr, "windows batches batch dim"]

    def gradient(self, step: Scalar, gram: Matrix) -> Matrix:
        """Return the mean gradient of the batches, linear between the windows' centers."""
        return self._interpolate(mean_batch_gradient, step, gram)

    def correction(self, step: Scalar, gram: Matrix) -> Matrix:
        """Return `batch_correction`, linear between the windows' centers."""
        return self._interpolate(batch_correction, step, gram)

    def _interpolate(self, operator, step, gram):
        left, right, part = _place(self.centers, step)
        ends = [operator(self.first[at], self.second[at], gram) for at in (left, right)]
        return ends[0] + part * (ends[1] - ends[0])


class CorrectedWindows(NamedTuple):
    """Moments of all batches, corrected by the features of some: for batch normalization.

    Attributes:
      moments: Of every batch.
      batches: At least 2 of the batches of every window.
    """

    moments: MomentWindows
    batches: BatchWindows

    def gradient(self, step: Scalar, gram: Matrix) -> Matrix:
        """Return the gradient in F on the moments plus `batch_correction`."""
        return self.moments.gradient(step, gram) + self.batches.correction(step, gram)


Windows = MomentWindows | BatchWindows | CorrectedWindows


def window_moments(first: Batches, second: Batches, length: int) -> MomentWindows:
    """Return the mean moments in windows of equally many steps, from the features of every step.

    Args:
      first: Features of the first views at each step, ``(steps, batch, dim)``.
      second: Of the second views.
      length: Steps in a window; steps left over at the end are dropped.

    Returns:
      `MomentWindows`.

    Raises:
      InputError: Not float64, a length below 1, or fewer steps than one window.

    Example:
      >>> with jax.enable_x64(True):
      ...     found = window_moments(jnp.ones((4, 3, 1)), jnp.ones((4, 3, 1)), 2)
      ...     found.centers.tolist(), found.covariances[:, 0, 0].tolist()
      ([0.5, 2.5], [1.0, 1.0])
    """
    require_float64(first=first, second=second)
    require_count("length", length)
    windows = first.shape[0] // length
    if windows < 1:
        raise InputError(
            f"{first.shape[0]} steps do not fill a window of {length}: give shorter windows"
        )
    one, two = (views[: windows * length] for views in (first, second))
    covariances = jnp.einsum("sbd,sbe->sde", one, one) + jnp.einsum("sbd,sbe->sde", two, two)
    shared = jnp.einsum("sbd,sbe->sde", one, two)
    shared = shared + jnp.swapaxes(shared, 1, 2)
    shape = (windows, length, first.shape[2], first.shape[2])
    scale = 2 * first.shape[1]
    means = [jnp.mean(x.reshape(shape), axis=1) / scale for x in (covariances, shared)]
    centers = length * jnp.arange(windows) + 0.5 * (length - 1)
    return MomentWindows(centers.astype(float), *means)


def impulse_clock(rates: Steps, momentum: float | Scalar) -> Steps:
    r"""Return the flow time of each step, :math:`\tau_k = \sum_{m \ge 0} \beta^m \eta_{k+m}`.

    What the gradient of step k moves in total. Where rates change, in warm-up and at the end, it
    differs from η/(1 − β).

    Args:
      rates: Learning rate η of each step.
      momentum: Heavy-ball momentum β in [0, 1).

    Returns:
      τ of each step.

    Raises:
      InputError: Not float64.

    Example:
      >>> with jax.enable_x64(True):
      ...     impulse_clock(jnp.array([1.0, 1.0, 1.0]), 0.5).tolist()
      [1.75, 1.5, 1.0]
    """
    require_float64(rates=rates, momentum=momentum)

    def back(later, rate):
        own = rate + momentum * later
        return own, own

    return jax.lax.scan(back, jnp.zeros(()), jnp.asarray(rates), reverse=True)[1]


def driven_descent(
    rates: Steps,
    momentum: float | Scalar,
    windows: Windows,
    initial_weights: Weights,
    weight_decay: float | Scalar,
    *,
    num_snapshots: int = 1,
) -> WeightPaths:
    r"""Return the layers of a head along momentum descent on moments that move.

    .. math:: V_l \leftarrow \beta V_l + g_l + \lambda W_l, \quad W_l \leftarrow W_l - \eta_k V_l,
        \quad g_l = (W_L \cdots W_{l+1})^\top\, 2 W G_k(F)\, (W_{l-1} \cdots W_1)^\top,

    with F = WᵀW, W = W_L…W_1, and G_k the gradient in F at step k: the rule of the training itself,
    on full layers, balanced or not.

    Args:
      rates: Learning rate η of each step.
      momentum: Heavy-ball momentum β in [0, 1).
      windows: `MomentWindows`; `CorrectedWindows` or `BatchWindows` where batches are normalized.
      initial_weights: W_1, …, W_L at the start, each (out, in).
      weight_decay: λ, coupled: it enters the momentum.
      num_snapshots: How many equally spaced states to return besides the first; divides the steps.

    Returns:
      The layers at the start and at each snapshot, W_l of shape ``(num_snapshots + 1, out, in)``.

    Raises:
      InputError: Not float64, layers or moments that do not fit, a momentum outside [0, 1), a
        negative decay, too few batches, or counts that do not divide.

    Accuracy:
      With the features of every step (`BatchWindows` of one batch each) the training itself, to
      rounding. With windows the error is quadratic in their length where moments are smooth, plus
      the noise of the batches. Modes close to a threshold of weight decay amplify both.

    Source:
      Derived.

    Example:
      A feature that augmentation stops touching halfway is learned afterwards:

      >>> with jax.enable_x64(True):
      ...     shared = jnp.array([0.0, 0.0, 0.8, 0.8])[:, None, None]
      ...     centers = jnp.array([0.0, 100.0, 101.0, 400.0])
      ...     windows = MomentWindows(centers, jnp.ones((4, 1, 1)), shared)
      ...     rates, start = jnp.full(400, 0.02), (jnp.array([[0.5]]),)
      ...     (path,) = driven_descent(rates, 0.5, windows, start, 0.0, num_snapshots=4)
      ...     (path[:, 0, 0] ** 2).round(3).tolist()
      [0.25, 0.027, 0.8, 0.8, 0.8]
    """
    _check_drive(rates, momentum, windows, initial_weights, weight_decay, num_snapshots)
    rates = jnp.asarray(rates).reshape(num_snapshots, -1)
    layers = tuple(map(jnp.asarray, initial_weights))
    return _descend(windows, layers, rates, momentum, weight_decay)


def driven_flow(
    rates: Steps,
    momentum: float | Scalar,
    windows: Windows,
    initial_weights: Weights,
    weight_decay: float | Scalar,
    *,
    clock: Literal["impulse", "rate"] = "impulse",
    num_snapshots: int = 1,
) -> WeightPaths:
    r"""Return the layers of a head along gradient flow on moments that move.

    :math:`\dot W_l = -(g_l + \lambda W_l)` with g_l as in `driven_descent`, where step k lasts for
    τ_k of `impulse_clock`, or for η_k/(1 − β).

    Args:
      rates: As in `driven_descent`.
      momentum: As in `driven_descent`.
      windows: As in `driven_descent`.
      initial_weights: As in `driven_descent`.
      weight_decay: As in `driven_descent`.
      clock: ``"impulse"`` or ``"rate"``, the flow time of a step.
      num_snapshots: As in `driven_descent`.

    Returns:
      As `driven_descent`.

    Raises:
      InputError: As `driven_descent`, or another clock.

    Accuracy:
      One step of the classical Runge–Kutta method a training step. Differs from `driven_descent`
      in the first order of the rates.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     windows = MomentWindows(jnp.zeros(1), jnp.ones((1, 1, 1)), 0.8 * jnp.ones((1, 1, 1)))
      ...     (path,) = driven_flow(jnp.full(200, 0.02), 0.5, windows, (jnp.eye(1),), 0.0)
      ...     round(float(path[1, 0, 0] ** 2), 6)
      0.8
    """
    if clock not in ("impulse", "rate"):
        raise InputError(f"clock is {clock!r}, wanted 'impulse' or 'rate'")
    _check_drive(rates, momentum, windows, initial_weights, weight_decay, num_snapshots)
    rates = jnp.asarray(rates)
    times = impulse_clock(rates, momentum) if clock == "impulse" else rates / (1.0 - momentum)
    layers = tuple(map(jnp.asarray, initial_weights))
    return _flow(windows, layers, times.reshape(num_snapshots, -1), weight_decay)


def _check_drive(rates, momentum, windows, weights, weight_decay, num_snapshots):
    check_chain(weights)
    named = {f"W{index + 1}": weight for index, weight in enumerate(weights)}
    leaves = {f"windows[{index}]": leaf for index, leaf in enumerate(jax.tree.leaves(windows))}
    require_float64(rates=rates, momentum=momentum, weight_decay=weight_decay, **named, **leaves)
    moments = windows.moments if isinstance(windows, CorrectedWindows) else windows
    dim = moments[1].shape[-1]
    if weights[0].shape[1] != dim:
        raise InputError(
            f"W1 takes {weights[0].shape[1]} features but the windows have {dim}: give the moments"
            " of exactly what the head receives"
        )
    require_weight_decay(weight_decay)
    require_number("momentum", momentum)
    if is_known(momentum) and float(momentum) >= 1.0:
        raise InputError(f"momentum is {float(momentum):g}, wanted a number in [0, 1)")
    batches = windows.batches if isinstance(windows, CorrectedWindows) else windows
    if isinstance(batches, BatchWindows):
        count, size = batches.first.shape[1:3]
        least = 2 if isinstance(windows, CorrectedWindows) else 1
        if count < least or size < 2:
            raise InputError(
                f"the windows hold {count} batches of {size} pairs, wanted at least {least} of at"
                " least 2: give more features"
            )
    steps = len(rates)
    if num_snapshots < 1 or steps % num_snapshots:
        raise InputError(
            f"{steps} steps do not divide into {num_snapshots} snapshots: choose num_snapshots"
            " among the divisors of the number of steps"
        )


@jax.jit
def _descend(windows, weights, rates, momentum, weight_decay):
    def move(state, rate):
        layers, velocities, step = state
        pulls = _layer_gradients(windows, step, layers)
        triples = zip(velocities, pulls, layers, strict=True)
        velocities = tuple(momentum * v + g + weight_decay * w for v, g, w in triples)
        layers = tuple(w - rate * v for w, v in zip(layers, velocities, strict=True))
        return (layers, velocities, step + 1.0), None

    start = (weights, tuple(jnp.zeros_like(weight) for weight in weights), jnp.zeros(()))
    return _snapshots(move, start, rates)


@jax.jit
def _flow(windows, weights, times, weight_decay):
    def velocity(step, layers):
        pulls = _layer_gradients(windows, step, layers)
        return tuple(-g - weight_decay * w for g, w in zip(pulls, layers, strict=True))

    def move(state, time):
        layers, step = state
        # Step k drives from half a step before its index to half a step after.
        slopes = [velocity(step - 0.5, layers)]
        for length, at in ((0.5, 0.0), (0.5, 0.0), (1.0, 0.5)):
            moved = tuple(w + length * time * v for w, v in zip(layers, slopes[-1], strict=True))
            slopes.append(velocity(step + at, moved))
        mean = [(a + 2.0 * b + 2.0 * c + d) / 6.0 for a, b, c, d in zip(*slopes, strict=True)]
        layers = tuple(w + time * slope for w, slope in zip(layers, mean, strict=True))
        return (layers, step + 1.0), None

    return _snapshots(move, (weights, jnp.zeros(())), times)


def _snapshots(move, start, lengths):
    def stretch(state, lengths):
        state, _ = jax.lax.scan(move, state, lengths)
        return state, state[0]

    _, path = jax.lax.scan(stretch, start, lengths)
    return tuple(jnp.concatenate([one[None], rest]) for one, rest in zip(start[0], path))


def _layer_gradients(windows, step, layers):
    """Return the gradient in every layer."""
    below = [jnp.eye(layers[0].shape[1])]
    for weight in layers:
        below.append(weight @ below[-1])
    end = below[-1]
    above = 2.0 * end @ windows.gradient(step, end.T @ end)
    gradients = []
    for index in reversed(range(len(layers))):
        gradients.append(above @ below[index].T)
        above = layers[index].T @ above
    return tuple(gradients[::-1])


def _place(centers, step):
    """Return the windows before and after a step, and how far the step is between them."""
    right = jnp.clip(jnp.searchsorted(centers, step), 0, centers.shape[0] - 1)
    left = jnp.maximum(right - 1, 0)
    gap = centers[right] - centers[left]
    part = jnp.where(gap > 0.0, (step - centers[left]) / jnp.where(gap > 0.0, gap, 1.0), 0.0)
    return left, right, jnp.clip(part, 0.0, 1.0)


def _interpolate(values, left, right, part):
    return values[left] + part * (values[right] - values[left])
