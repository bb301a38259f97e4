"""The loss of training on images that it never saw."""

from collections.abc import Iterator

import jax
import numpy as np

from experiments.core.measurements import Measurement
from experiments.measure.encoders.passes import EMBEDDING, UNTRAINED_EMBEDDING, Passes
from experiments.measure.rows import exact_row
from ssljax.losses.contrastive import nt_xent


def measure_held_out_loss(passes: Passes) -> Iterator[Measurement]:
    """Yield NT-Xent of pairs of views of test images, before and after training.

    Views have the strength and batches the size of training; images that fill no batch are left
    out.
    """
    subject = passes.subject
    images = subject.task("cifar10").test.images
    training = subject.training
    size = min(training.batch_size, subject.size.batch_size or len(images), len(images))
    for place in (EMBEDDING, UNTRAINED_EMBEDDING):
        views = passes.views(place, images, training.strength, 2)[0]
        count = len(images) // size
        first, second = (view[: count * size].reshape(count, size, -1) for view in views)
        losses = _find_losses(first, second, training.temperature)
        key = subject.key("loss", place.variant)
        yield exact_row(key, float(np.mean(losses)), count * size)


_find_losses = jax.jit(jax.vmap(nt_xent, in_axes=(0, 0, None)), static_argnums=2)
