"""What XLA on the CPU is asked to do otherwise than by default."""

import functools

import jax

# YNNPACK's sums and products are faster than XLA's own (a sum over 2^22 numbers to 16: 1.4 against
# 6.3 ms), its convolutions slower (a kernel's gradient: 43 against 23 ms).
_OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    )
}


@functools.cache
def compiler_options() -> dict[str, str]:
    """Options for `jax.jit` on the CPU; none on accelerators, or where XLA does not know them."""
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda: jax.numpy.zeros(()), compiler_options=_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return _OPTIONS
