"""The tasks of the losses."""

import resource

import jax
import numpy as np

from experiments.speed.task import Task, finished
from ssljax.losses import nt_xent
from ssljax.losses.blockwise import nt_xent_blockwise

TEMPERATURE = 0.5


def embeddings(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Two views of so many embeddings of width 128, float32."""
    draws = np.random.RandomState(0)
    return tuple(draws.randn(pairs, 128).astype(np.float32) for _ in range(2))  # pyright: ignore[reportReturnType]


def nt_xent_512(pairs: int = 512) -> Task:
    """NT-Xent of 512 pairs of width 128, and its gradient."""
    views = tuple(map(jax.numpy.asarray, embeddings(pairs)))
    slope = jax.jit(
        jax.value_and_grad(lambda a, b: nt_xent(a, b, TEMPERATURE), argnums=(0, 1)),
    )
    return Task(finished(lambda: slope(*views)), check=float(slope(*views)[0]))


def nt_xent_65536() -> Task:
    """NT-Xent of 65 536 embeddings of width 128 and its gradient; the cost is memory, in GiB."""
    views = tuple(map(jax.numpy.asarray, embeddings(65_536 // 2)))
    slope = (
        jax.jit(jax.grad(lambda a, b: nt_xent_blockwise(a, b, TEMPERATURE), argnums=(0, 1)))
        .lower(*views)
        .compile()
    )
    # Compiling takes memory too, and the most a process ever had cannot be set back: the input
    # and what follows are what the loss needs.
    before = _most_memory()
    found: list[float] = []

    def memory() -> float:
        # A minute of work whose memory is the same each time: once is enough.
        if not found:
            jax.block_until_ready(slope(*views))
            found.append(max(_most_memory() - before, 1e-6))
        return found[0]

    return Task(memory)


def _most_memory() -> float:
    """The most memory this process has had, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
