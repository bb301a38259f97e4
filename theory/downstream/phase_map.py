"""Which layer serves a task, as a map over what pre-training did to the task's feature."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Float, Int

from theory.downstream.layer_choice import sample_indicators
from theory.linalg.arrays import Arr, require_float64
from theory.linalg.errors import InputError
from theory.moments.data_models import FeatureModel, resampling_moments
from theory.moments.moments import Moments
from theory.optimum.thresholds import decay_thresholds, decayed_mode

Grid = Float[Arr, "retentions strengths depths decays"]


class PhaseMap(NamedTuple):
    """What a balanced network keeps of a task's feature and of others, on a grid of four axes.

    Attributes:
      advantage: log2 of the task's indicator after the head over the one before it: how much
        better the representation before the head is, negative where the head helps. Infinite
        where only the input, below a head of the whole network, still has the feature; NaN where
        weight decay has taken it from both.
      best_layer: Layer 0..L with the smallest indicator; 0 is the input.
      active: Number of features that are kept, the task's included.
      task_active: Whether the task's feature is kept.
    """

    advantage: Grid
    best_layer: Int[Arr, "retentions strengths depths decays"]
    active: Int[Arr, "retentions strengths depths decays"]
    task_active: Bool[Arr, "retentions strengths depths decays"]


def phase_map(
    retentions: Float[Arr, " retentions"],
    strengths: Float[Arr, " strengths"],
    depths: Sequence[int],
    weight_decays: Float[Arr, " decays"],
    other_strengths: Float[Arr, " others"],
    *,
    view_noise: float = 0.5,
    head_layers: int = 1,
    branch: str = "continued",
    moments_of: Callable[[FeatureModel], Moments] = resampling_moments,
) -> PhaseMap:
    r"""Return the advantage of the layer before the head for the task of one feature among others.

    The task is the sign of a feature of strength φ that augmentation keeps with probability α;
    augmentation always keeps the others. The optimum of the spectral loss with weight decay gives
    every feature a weight s_i at the output of L balanced layers, and :math:`s_i^{l/L}` in layer l;
    :math:`I_l = \sum_i v_i s_i^{2l/L} / (\varphi^2 s_{task}^{2l/L})` is the indicator of the labels
    needed (`theory.downstream.layer_choice`).

    Args:
      retentions: α of the task's feature, between 0 and 1.
      strengths: φ > 0 of the task's feature.
      depths: Numbers of layers L.
      weight_decays: λ of the penalty (λ/2) Σ_l ‖W_l‖², at least 0.
      other_strengths: φ > 0 of the other features.
      view_noise: σ > 0 of the noise that each view adds to every feature.
      head_layers: Layers of the head, at most the smallest depth.
      branch: ``"continued"`` from no decay, or ``"global"``.
      moments_of: What augmentation does: `theory.moments.data_models.resampling_moments` or
        `dropping_moments`.

    Returns:
      `PhaseMap`.

    Raises:
      InputError: Not float64, a head deeper than a network, or values out of range.

    Accuracy:
      Exact for this model: its features are modes, so nothing has to commute. 1e-12.

    Source:
      Derived: the three scenarios of `theory.downstream.layer_choice.scenario_edges` with depth
      and weight decay.

    Example:
      Hardly kept by augmentation, the feature is better read before the head; well kept, after it:

      >>> with jax.enable_x64(True):
      ...     found = phase_map(jnp.array([0.1, 1.0]), jnp.array([0.5]), (2,), jnp.zeros(1),
      ...                       jnp.array([0.3, 1.0]))
      ...     found.advantage.ravel().round(3).tolist(), found.active.ravel().tolist()
      ([2.986, -0.202], [3, 3])
    """
    axes = {"retentions": retentions, "strengths": strengths, "weight_decays": weight_decays}
    require_float64(other_strengths=other_strengths, view_noise=view_noise, **axes)
    if not depths or not 1 <= head_layers <= min(depths):
        raise InputError(
            f"a head of {head_layers} layers in networks of depths {tuple(depths)}: give at least 1"
            " and at most the smallest depth"
        )
    if branch not in ("continued", "global"):
        raise InputError(f"branch is {branch!r}, wanted 'continued' or 'global'")
    for name, values, low, high in (
        ("retentions", retentions, 0.0, 1.0),
        ("strengths", strengths, np.nextafter(0.0, 1.0), np.inf),
        ("other_strengths", other_strengths, np.nextafter(0.0, 1.0), np.inf),
        ("weight_decays", weight_decays, 0.0, np.inf),
    ):
        if isinstance(values, Tracer):
            continue
        given = np.asarray(values)
        if given.size == 0 or not np.all((given >= low) & (given <= high)):
            raise InputError(f"{name} are {given}, wanted numbers between {low:g} and {high:g}")
    maps = [
        _grid(
            *map(jnp.asarray, (retentions, strengths, weight_decays, other_strengths)),
            jnp.asarray(view_noise, float),
            depth=depth,
            head_layers=head_layers,
            drops_at_equal=branch == "global",
            moments_of=moments_of,
        )
        for depth in depths
    ]
    return PhaseMap(*(jnp.stack(parts, axis=2) for parts in zip(*maps)))


@functools.partial(
    jax.jit, static_argnames=("depth", "head_layers", "drops_at_equal", "moments_of")
)
def _grid(retentions, strengths, decays, others, noise, **static):
    point = functools.partial(_point, others=others, noise=noise, **static)
    along_decays = jax.vmap(point, in_axes=(None, None, 0))
    along_strengths = jax.vmap(along_decays, in_axes=(None, 0, None))
    return jax.vmap(along_strengths, in_axes=(0, None, None))(retentions, strengths, decays)


def _point(
    retention, strength, decay, *, others, noise, depth, head_layers, drops_at_equal, moments_of
):
    every = jnp.concatenate([strength[None], others])
    kept = jnp.concatenate([retention[None], jnp.ones_like(others)])
    moments = moments_of(FeatureModel(every, kept, noise, jnp.zeros_like(noise)))
    scale = jnp.diagonal(moments.covariance)
    alignment = jnp.diagonal(moments.cross_covariance) / scale
    root = decayed_mode(scale, alignment, weight_decay=decay, depth=depth)
    if drops_at_equal:
        limit = decay_thresholds(scale, alignment, depth=depth).global_minimum
        root = jnp.where(decay < limit, root, 0.0)
    fractions = jnp.arange(depth + 1) / depth
    # Downstream the data are not augmented, but noisy as every view.
    variances = every**2 + noise**2
    indicators = sample_indicators(root ** (0.5 * depth), variances, every, fractions)[0]
    advantage = jnp.log2(indicators[depth]) - jnp.log2(indicators[depth - head_layers])
    return PhaseMap(advantage, jnp.argmin(indicators), jnp.sum(root > 0.0), root[0] > 0.0)
