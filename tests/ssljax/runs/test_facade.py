"""What `import ssljax` offers, and the map in its docstring."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ssljax
from ssljax.config.presets import find_preset


def test_importing_the_package_loads_no_jax():
    code = "import ssljax, sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_names_are_there_and_others_are_not():
    from ssljax.runs.export import load
    from ssljax.runs.fit import fit

    assert (ssljax.fit, ssljax.load) == (fit, load)
    assert ssljax.presets["digits_smoke"] == find_preset("digits_smoke")
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        ssljax.train  # noqa: B018


def test_the_map_names_files_that_exist():
    places = re.findall(r"^    (\S+)  +\S", str(ssljax.__doc__), flags=re.MULTILINE)
    assert len(places) == 11
    for place in places:
        assert (Path(ssljax.__file__).parent / place).exists(), place
