"""Tuning for training on a CPU: options of XLA and of the C library.

Nothing here changes a result by more than rounding, and accelerators are left alone. JAX is not
loaded by importing this file.
"""

import ctypes
import functools
import sys
from pathlib import Path

# YNNPACK's sums and products are faster than XLA's own (a sum over 2^22 numbers to 16: 1.4 against
# 6.3 ms), its convolutions slower (a kernel's gradient: 43 against 23 ms).
_OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    )
}

_ACCELERATORS = ("nvidia0", "kfd", "accel0", "vfio")
# Names and values of glibc's malloc.h: one arena, no mapping of single blocks, never trimmed.
_MALLOC_SETTINGS = {-8: 1, -4: 0, -1: 2**31 - 1, -2: 2**26}


@functools.cache
def compiler_options() -> dict[str, str]:
    """Return options for `jax.jit` on the CPU; none on accelerators, or where XLA knows none."""
    import jax  # noqa: PLC0415

    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda: jax.numpy.zeros(()), compiler_options=_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return _OPTIONS


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees; True where that was arranged.

    XLA on the CPU asks for all temporary memory of a step anew at each step, and the system hands
    over every page with a fault: 75 000 faults and 15 % of the time of a ResNet's step. To be
    called before JAX has started its threads. Only with glibc, and not on a machine with an
    accelerator, where steps do not live in the host's memory.
    """
    if not sys.platform.startswith("linux"):
        return False
    if any((Path("/dev") / name).exists() for name in _ACCELERATORS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*pair) == 1 for pair in _MALLOC_SETTINGS.items())
