"""Whatever is given is either understood or refused in one line: never a traceback or a guess.

The everyday cases run here. The twenty thousand run in processes of their own, this file as the
program, where no type checker looks at every call.
"""

import contextlib
import dataclasses
import io
import json
import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Literal, get_args, get_origin
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssljax.cli import launch, measure, runs, sweep, train
from ssljax.cli.main import main
from ssljax.cli.options import read_settings
from ssljax.config.config import Config, change_config
from ssljax.config.fields import config_dict, config_from_dict, list_leaves
from ssljax.config.presets import PRESETS
from ssljax.data.datasets import load_dataset
from ssljax.nets.initialization import read_head_weights
from ssljax.runs.report import write_report
from ssljax.runs.sweep_plan import parse_axis, parse_seeds, sweep_cells
from ssljax.system.errors import UsageError
from theory.linalg.errors import InputError
from theory.moments.files import read_layers, read_moments

_LEAVES = list(list_leaves(Config()))
_QUIET = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}

_NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.integers(-(2**70), 2**70),
    st.floats(width=64),
    st.sampled_from([0.0, -0.0, 1e-300, 1e300, math.inf, -math.inf, math.nan]),
)
_TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", " ", "none", "true", "1e3", "64,32", "../x", "data=4,model=2", "\0", "é"]),
)


def _plausible(leaf):
    """Values of a leaf's own type, within reach of what its checks accept."""
    annotation = leaf.annotation
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(-2, 600)
    if annotation is float:
        return st.floats(-0.5, 2.0)
    if get_origin(annotation) is tuple:
        item = {int: st.integers(0, 128), float: st.floats(-0.2, 2)}.get(
            get_args(annotation)[0], st.sampled_from(["feature", "embedding", "head1"])
        )
        return st.lists(item, max_size=4).map(tuple)
    return _TEXTS


_CHANGES = st.lists(
    st.sampled_from(_LEAVES).flatmap(lambda leaf: st.tuples(st.just(leaf.path), _plausible(leaf))),
    max_size=6,
).map(dict)
_ANY_CHANGES = st.dictionaries(
    st.one_of(st.sampled_from([leaf.path for leaf in _LEAVES]), _TEXTS),
    st.one_of(_NUMBERS, _TEXTS, st.none(), st.lists(_NUMBERS, max_size=3).map(tuple)),
    max_size=4,
)


def _one_line(error: Exception) -> None:
    text = str(error)
    assert text.strip()
    assert len(" ".join(text.split())) < 3000, text


def _accepted_configuration(values):
    try:
        config = change_config(Config(), values)
    except UsageError as error:
        _one_line(error)
        return
    # What was accepted means the same after a stay in a file.
    kept = config_from_dict(Config(), json.loads(json.dumps(config_dict(config))))
    assert repr(kept) == repr(config)
    assert config.batch_size >= 2
    assert 0 <= config.optimizer.warmup_steps < config.num_steps
    assert math.isfinite(config.optimizer.learning_rate)
    assert config.optimizer.learning_rate > 0
    for leaf in list_leaves(config):
        if get_origin(leaf.annotation) is Literal:
            assert leaf.value in get_args(leaf.annotation), leaf.path


def _fuzzed(examples):
    return settings(max_examples=examples, derandomize=True, **_QUIET)


def _damaged_file(values, section, damage):
    try:
        config = change_config(Config(), values)
    except UsageError:
        return
    stored = json.loads(json.dumps(config_dict(config)))
    stored[sorted(stored)[section % len(stored)]] = damage
    try:
        read = config_from_dict(Config(), stored)
    except UsageError as error:
        _one_line(error)
    else:
        assert dataclasses.is_dataclass(read)


def _any_file(values):
    """Fields of any kind, as only a file can hold them."""
    try:
        config = config_from_dict(Config(), values)
    except UsageError as error:
        _one_line(error)
    else:
        assert config.batch_size >= 2


_DAMAGE = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS, st.lists(_NUMBERS, max_size=3))


@_fuzzed(100)
@given(_CHANGES)
def test_a_configuration_is_accepted_whole_or_refused(values):
    _accepted_configuration(values)


@_fuzzed(60)
@given(_CHANGES, st.integers(0, 99), _DAMAGE)
def test_a_damaged_configuration_file_is_refused_or_means_what_it_says(values, section, damage):
    _damaged_file(values, section, damage)


# Command lines: the words of real ones, in any order, with any values.

_FLAGS = [leaf.flag for leaf in _LEAVES] + [
    *("--workdir", "--out", "--layers", "--views", "--images", "--help", "--json", "--fields"),
    *("--grid", "--seeds", "--set", "--index", "--dry-run", "--processes", "--distributed"),
    *("--coordinator", "--process-id", "--num-processes", "--watchdog-seconds", "--policy", "--"),
]
_VALUES = [
    *("1", "0", "-1", "nan", "inf", "1e400", "ten", "", "a,b", "64,32", "strength=0.2,0.5"),
    *("seed=1", "strength=", "runs", "/", "arrays:x.npz", "true", "auto", "h:1", "../.."),
]
_COMMANDS = ["train", "list", "show", "moments", "probe", "spectra", "export", "launch", "runs"]
_WORDS = st.one_of(
    st.sampled_from(_FLAGS),
    st.sampled_from(_VALUES),
    st.sampled_from([*_COMMANDS, "report", "sweep"]),
    st.sampled_from(list(PRESETS)),
    st.text(max_size=6),
)
_LINES = st.tuples(
    st.sampled_from([*_COMMANDS, "report", "sweep", "trian"]), st.lists(_WORDS, max_size=6)
).map(lambda line: [line[0], *line[1]])


def _only_read(*arguments):
    """Read the options for real and leave out what would be done then."""
    read_settings(*arguments)
    raise SystemExit(0)


def _understood(words):
    error = io.StringIO()
    with contextlib.ExitStack() as stack:
        for module in (sweep, launch, measure, runs):
            stack.enter_context(mock.patch.object(module, "read_settings", _only_read))
        for module, name in ((train, "_train"), (measure, "_write_moments")):
            stack.enter_context(mock.patch.object(module, name, side_effect=SystemExit(0)))
        stack.enter_context(contextlib.redirect_stderr(error))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        code = main(words)
    assert code in (0, 2), words
    assert (error.getvalue().count("\n") == 1) == (code == 2), (words, error.getvalue())


@_fuzzed(30)
@given(_LINES)
def test_a_command_line_is_understood_or_refused_in_one_line(words):
    _understood(words)


_GRIDS = st.lists(st.one_of(_TEXTS, st.text(alphabet="strengh=0123.,/seed-", max_size=20)))


def _planned(grids, seeds):
    try:
        cells = sweep_cells(
            Config(), [parse_axis(Config(), text) for text in grids], parse_seeds(seeds)
        )
    except UsageError as error:
        _one_line(error)
        return
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    assert all("/" not in name and len(name) <= 200 for name in names)


@_fuzzed(60)
@given(_GRIDS, _TEXTS)
def test_the_grid_of_a_sweep_is_planned_or_refused(grids, seeds):
    _planned(grids, seeds)


# Files: real ones damaged anywhere, and arrays of any shape, type and value.

_TYPES = ["float64", "float32", "uint8", "int32", "complex64", "bool", "U3", "float16"]


def _filled(shape, kind, fill):
    with np.errstate(all="ignore"):
        return np.full(shape, fill).astype(kind)


_ARRAYS = st.builds(
    _filled,
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.sampled_from(_TYPES),
    st.sampled_from([0.0, 1.0, 2.5, 1e30]),
)
_NAMES = [
    *("covariance", "cross_covariance", "mean", "images", "views", "labels", "test_images"),
    *("test_labels", "half_covariance", "W1", "W2", "W3", "../../evil", "/etc/evil", "é"),
]


def _archive(arrays):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", part.getvalue())
    return buffer.getvalue()


def _good():
    covariance = np.diag([2.0, 1.0, 0.5])
    images = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4, 1)
    return {
        "covariance": covariance,
        "cross_covariance": covariance / 2,
        "mean": np.zeros(3),
        "images": images,
        "labels": np.arange(6, dtype=np.int32),
        "W1": np.eye(3),
    }


class _Trap:
    """Executed by whoever unpickles it."""

    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


@st.composite
def _contents(draw):
    kind = draw(st.sampled_from(["arrays", "damaged", "bytes", "trap"]))
    if kind == "bytes":
        return draw(st.binary(max_size=80))
    arrays = _good()
    for name in draw(st.lists(st.sampled_from(_NAMES), max_size=3)):
        arrays[name] = draw(_ARRAYS)
    for name in draw(st.lists(st.sampled_from(sorted(arrays)), max_size=1)):
        del arrays[name]
    if kind == "trap":
        trap = np.empty((), object)
        trap[()] = _Trap()
        arrays[draw(st.sampled_from(_NAMES))] = trap
    content = bytearray(_archive(arrays))
    if kind == "damaged":
        for _ in range(draw(st.integers(1, 4))):
            place = draw(st.integers(0, len(content) - 1))
            content[place] ^= 1 << draw(st.integers(0, 7))
        if draw(st.booleans()):
            del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


def _read_everywhere(folder, content):
    path = folder / "file.npz"
    path.write_bytes(content)
    readers = (
        (read_moments, InputError),
        (read_layers, InputError),
        (read_head_weights, UsageError),
        (lambda p: load_dataset(f"arrays:{p}", "train", None), UsageError),
    )
    for read, refusal in readers:
        try:
            read(path)
        except refusal as error:
            _one_line(error)
    run = folder / "run"
    (run / "moments").mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text('{"num_steps": 3}')
    (run / "moments" / "feature.npz").write_bytes(content)
    try:
        write_report(run)
    except UsageError as error:
        _one_line(error)
    assert {path.name for path in folder.iterdir()} == {"file.npz", "run"}


@_fuzzed(40)
@given(content=_contents())
def test_a_file_is_read_or_refused_and_never_executed(tmp_path, content):
    _read_everywhere(tmp_path, content)


def _read_in_a_folder(content):
    with tempfile.TemporaryDirectory() as folder:
        _read_everywhere(Path(folder), content)


_MANY = {
    "configurations": (9000, _accepted_configuration, (_CHANGES,)),
    "any configuration files": (1000, _any_file, (_ANY_CHANGES,)),
    "configuration files": (2000, _damaged_file, (_CHANGES, st.integers(0, 99), _DAMAGE)),
    "command lines": (4000, _understood, (_LINES,)),
    "sweeps": (2000, _planned, (_GRIDS, _TEXTS)),
    "files": (3000, _read_in_a_folder, (_contents(),)),
}


def test_there_are_twenty_thousand():
    assert sum(examples for examples, _, _ in _MANY.values()) >= 20_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", _MANY)
def test_thousands_are_understood_or_refused(kind):
    answer = subprocess.run(
        [sys.executable, __file__, kind], capture_output=True, text=True, timeout=900
    )
    assert answer.returncode == 0, answer.stderr[-4000:]


if __name__ == "__main__":
    _examples, _check, _given = _MANY[sys.argv[1]]
    _fuzzed(_examples)(given(*_given)(_check))()
