"""The gradient of a large batch from small parts, exact for losses that compare all images.

A contrastive loss is no sum over images, so gradients of its value on parts do not add up to the
gradient on the whole. But the loss sees only embeddings, which are small: a first pass computes
all of them, part by part; the gradient with respect to them is taken at once; a second pass
repeats each part's forward pass and pulls its share of that gradient back to the parameters.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ssljax.system.arrays import Array, Float, PyTree
from ssljax.system.errors import UsageError

Outputs = Mapping[str, Array]


def accumulated_gradient(
    forward: Callable[[PyTree, Any], tuple[Outputs, PyTree]],
    loss: Callable[[Outputs], tuple[Float[Array, ""], Any]],
    params: PyTree,
    batch: Any,
    *,
    parts: int,
    layers: tuple[str, ...],
    unroll: bool = False,
) -> tuple[Float[Array, ""], PyTree, Any, PyTree]:
    """Return loss and gradient of a whole batch with one part of it in memory at a time.

    Equal, up to rounding, to differentiating the loss of the whole batch, as long as the outputs
    of an image depend on that image alone. Batch normalization is the exception: it normalizes
    each part by itself, and its running statistics are the mean over parts. Costs one forward
    pass more than the whole batch would.

    Part j holds the images j, j + parts, …: with the batch spread over devices each part then is
    too, and which images share a part does not depend on the number of devices.

    Args:
      forward: ``(params, part) -> (outputs, statistics)``; outputs have the images on axis 0.
      loss: ``outputs of the whole batch -> (loss, anything)``.
      params: What is differentiated.
      batch: Arrays with the images on axis 0.
      parts: Number of parts; divides the batch.
      layers: Names of the outputs through which the gradient flows.
      unroll: Write the parts out one after the other instead of looping over them, for compilers
        whose convolutions are slow in loops.

    Returns:
      The loss, its gradient, what ``loss`` returned beside it, and the mean statistics.

    Raises:
      UsageError: The batch does not divide into the parts.

    Source:
      Gao, Zhang, Han, Callan, *Scaling Deep Contrastive Learning Batch Size under Memory Limited
      Setup*, 2021, for the two passes; the exception of batch statistics is derived.
    """
    count = jax.tree.leaves(batch)[0].shape[0]
    if count % parts:
        raise UsageError(
            f"{count} images on a device were to be accumulated in {parts} parts: use a batch"
            " size that divides by --accumulate times the devices"
        )
    split = jax.tree.map(lambda leaf: _split(leaf, parts), batch)

    def embed(_: None, part: Any) -> tuple[None, tuple[Outputs, PyTree]]:
        return None, forward(params, part)

    _, (outputs, statistics) = jax.lax.scan(embed, None, split, unroll=unroll)
    outputs = {name: _rejoin(value) for name, value in outputs.items()}
    statistics = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), statistics)

    def evaluate_chosen(chosen: Outputs) -> tuple[Float[Array, ""], Any]:
        return loss({**outputs, **chosen})

    chosen = {name: outputs[name] for name in layers}
    (value, rest), pulls = jax.value_and_grad(evaluate_chosen, has_aux=True)(chosen)

    def pull_back(total: PyTree, given: tuple[Any, Outputs]) -> tuple[PyTree, None]:
        part, pull = given

        def choose(params: PyTree) -> Outputs:
            found, _ = forward(params, part)
            return {name: found[name] for name in layers}

        (gradient,) = jax.vjp(choose, params)[1](pull)
        return jax.tree.map(jnp.add, total, gradient), None

    pulls = {name: _split(value, parts) for name, value in pulls.items()}
    zero = jax.tree.map(jnp.zeros_like, params)
    gradients, _ = jax.lax.scan(pull_back, zero, (split, pulls), unroll=unroll)
    return value, gradients, rest, statistics


def _split(leaf: Array, parts: int) -> Array:
    """Turn (batch, …) into (parts, batch / parts, …); part j is every parts-th row from row j."""
    return jnp.swapaxes(leaf.reshape(-1, parts, *leaf.shape[1:]), 0, 1)


def _rejoin(leaf: Array) -> Array:
    """Undo `_split`."""
    return jnp.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:])
