"""Train encoders with projection heads on devices, and measure what every layer keeps.

From Python: `ssljax.load` gives a trained run's encoder, `ssljax.runs.fit.fit` trains in a run
folder, `ssljax.training.training.make_training` trains in memory. From a shell: ``python -m ssljax
--help``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssljax.runs.export import load as load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`load` brings JAX with it; ``import ssljax`` alone is instant."""
    if name == "load":
        from ssljax.runs.export import load  # noqa: PLC0415

        return load
    raise AttributeError(f"module 'ssljax' has no attribute {name!r}")
