"""Named configurations. Each says how to run it, what it costs and what it should reach.

Costs are for two shared CPU cores unless stated. A figure is quoted only where it was measured,
or cited with its source.
"""

from ssljax.config import Config
from ssljax.errors import UsageError
from ssljax.overrides import close_matches
from ssljax.presets.cifar import CIFAR
from ssljax.presets.cifar_small import CIFAR_SMALL
from ssljax.presets.digits import DIGITS
from ssljax.presets.entry import Preset
from ssljax.presets.imagenet import IMAGENET
from ssljax.presets.transfer import TRANSFER

PRESETS: dict[str, Preset] = {
    preset.name: preset for preset in (*DIGITS, *CIFAR_SMALL, *CIFAR, *TRANSFER, *IMAGENET)
}


def preset(name: str) -> Config:
    """A configuration by name.

    Raises:
      UsageError: There is no such preset.
    """
    if name not in PRESETS:
        raise UsageError(
            f"unknown preset {name!r}{close_matches(name, list(PRESETS))}; known are"
            f" {', '.join(PRESETS)}"
        )
    return PRESETS[name].config
