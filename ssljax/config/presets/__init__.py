"""Named configurations. Each says how to run it, what it costs and what it should reach.

* `entry`: what is said about a preset.
* `digits`, `cifar_small`, `cifar`, `imagenet`: by data set, from seconds to weeks.
* `transfer`: objects on textures, and digits printed over images, where features compete.

Costs are for two shared CPU cores unless stated. A figure is quoted only where it was measured,
or cited with its source.
"""

from ssljax.config.config import Config
from ssljax.config.fields import suggest
from ssljax.config.presets.cifar import CIFAR
from ssljax.config.presets.cifar_small import CIFAR_SMALL
from ssljax.config.presets.digits import DIGITS
from ssljax.config.presets.entry import Preset
from ssljax.config.presets.imagenet import IMAGENET
from ssljax.config.presets.transfer import TRANSFER
from ssljax.system.errors import UsageError

PRESETS: dict[str, Preset] = {
    preset.name: preset for preset in (*DIGITS, *CIFAR_SMALL, *CIFAR, *TRANSFER, *IMAGENET)
}


def find_preset(name: str) -> Config:
    """Return the preset of this name.

    Raises:
      UsageError: There is no such preset.
    """
    if name not in PRESETS:
        raise UsageError(
            f"unknown preset {name!r}{suggest(name, PRESETS)}; known are {', '.join(PRESETS)}"
        )
    return PRESETS[name].config
