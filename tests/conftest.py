"""Test session: eight simulated devices, strict shapes, float64 for theory."""

import os

# Eight simulated devices share two cores; without this each claims every thread at start-up.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def _float64_for_theory(request):
    """Theory's tests run inside the one precision context; everything else stays float32."""
    if "/tests/theory/" in str(request.path):
        with jax.enable_x64(True):
            yield
    else:
        yield
