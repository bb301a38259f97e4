"""Test session: eight simulated devices, strict shapes, float64 for theory."""

import os
import shutil
import tempfile

# Eight simulated devices share two cores; without this each claims every thread at start-up.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)

# Most of the time goes into compiling, and many tests compile the same programs, some of them in
# processes of their own: all share what XLA made, for the length of one session.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="ssljax-tests-")
    os.environ["SSLJAX_TESTS_OWN_CACHE"] = "1"
CACHE = os.environ["JAX_COMPILATION_CACHE_DIR"]
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
    """The everyday suite compiles for longer than it computes; processes it starts are told, too.

    Long tests, and those marked `optimized`, compile as users do.
    """
    if config.option.markexpr == "not slow":
        os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Decide how XLA compiles before the fixtures of a module do: a run that a fixture trained and
    the same run in a test are equal, bit for bit, only where both were compiled in one way.
    """
    everyday = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "0").lower() in ("1", "true")
    disabled = everyday and not item.get_closest_marker("optimized")
    if disabled != jax.config.read("jax_disable_most_optimizations"):
        jax.clear_caches()  # programs in memory are not told apart by how they were compiled
        jax.config.update("jax_disable_most_optimizations", disabled)


@pytest.fixture(autouse=True)
def _float64_for_theory(request):
    """Theory's tests run inside the one precision context; everything else stays float32."""
    if "/tests/theory/" in str(request.path):
        with jax.enable_x64(True):
            yield
    else:
        yield


def pytest_sessionfinish(session):
    """The session that made the cache removes it; workers inherit its path from the environment."""
    if "SSLJAX_TESTS_OWN_CACHE" in os.environ and not hasattr(session.config, "workerinput"):
        shutil.rmtree(CACHE, ignore_errors=True)
