"""Train encoders with projection heads on devices, and measure what every layer keeps.

>>> import ssljax
>>> run = ssljax.fit(ssljax.presets["digits_smoke"], "runs/a")  # doctest: +SKIP
>>> features = ssljax.load("runs/a").encoder(images)  # doctest: +SKIP

Where things are:

    training/step.py          the step; the loss is computed in it, by losses/*.py
    training/compiled.py      the step is compiled and called (spread over devices: parallel.py)
    runs/fit.py               a run from data to report, the loop
    runs/checkpoint.py        a checkpoint is written and restored
    measure/                  moments, spectra, probes, neighbors
    losses/table.py           add a loss: its file in losses/ and a line here
    nets/table.py             add a head or an encoder: its file in nets/ and a line here
    augment/policies.py       add an augmentation: its range here, its code in augment/
    data/datasets.py          add a data set
    config/presets/           add a preset
    cli/                      the command line: python -m ssljax --help
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssljax.config.config import Config
    from ssljax.runs.export import load as load
    from ssljax.runs.fit import fit as fit

    presets: dict[str, Config]

__all__ = ["fit", "load", "presets"]


def __getattr__(name: str) -> Any:
    """Load what is asked for: `fit` and `load` bring JAX with them, ``import ssljax`` does not."""
    # ruff: noqa: PLC0415
    if name == "fit":
        from ssljax.runs.fit import fit

        return fit
    if name == "load":
        from ssljax.runs.export import load

        return load
    if name == "presets":
        from ssljax.config.presets import PRESETS

        return {name: entry.config for name, entry in PRESETS.items()}
    raise AttributeError(f"module 'ssljax' has no attribute {name!r}")
