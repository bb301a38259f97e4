import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from ssljax.runs.checkpoint import (
    Checkpoints,
    SaveFailed,
    abstract,
    best_step,
    list_saved_steps,
    restore_newest,
    set_aside,
)
from ssljax.runs.manifest import Manifest, check_files, read_saved_history, seal
from ssljax.system.errors import UsageError
from ssljax.training.parallel import make_mesh

# Reading damaged files, Orbax leaves the exceptions of its background tasks behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

_OPTIMIZER = optax.sgd(0.1, momentum=0.9)


class _State(NamedTuple):
    step: Any
    params: Any
    optimizer_state: Any
    key: Any


def _state(step: int) -> _State:
    params = {"head": {"layer1": {"kernel": jnp.full((4, 3), float(step))}}}
    return _State(
        jnp.asarray(step, jnp.int32), params, _OPTIMIZER.init(params), jax.random.key(step)
    )


def _save(workdir, steps, keep=10):
    checkpoints = Checkpoints(workdir, keep)
    for step in steps:
        checkpoints.save(step, _state(step))
    checkpoints.close()


def _wanted(sharding=None):
    sharding = sharding or SingleDeviceSharding(jax.devices()[0])
    return abstract(jax.eval_shape(lambda: _state(0)), sharding)


def _assert_is(state, step):
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(_state(step)), strict=True):
        if jax.dtypes.issubdtype(b.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def _truncate(path):
    for file in sorted(path.rglob("*")):
        if file.is_file() and "d" in file.parent.name:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_the_newest_checkpoint_comes_back_whole_and_only_the_newest_few_are_kept(tmp_path):
    _save(tmp_path, (1, 2, 3, 4), keep=2)
    assert list_saved_steps(tmp_path) == (3, 4)
    restored = restore_newest(tmp_path, _wanted())
    assert restored is not None
    assert (restored.step, restored.damaged) == (4, ())
    _assert_is(restored.state, 4)


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    assert list_saved_steps(tmp_path) == ()
    assert restore_newest(tmp_path, _wanted()) is None


def test_what_a_killed_save_left_is_cleared_away(tmp_path):
    left = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (left / "state").mkdir(parents=True)
    assert restore_newest(tmp_path, _wanted()) is None
    _save(tmp_path, (2,))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]


def test_saving_while_another_save_runs_is_never_skipped(tmp_path):
    _save(tmp_path, range(1, 8))
    assert list_saved_steps(tmp_path) == tuple(range(1, 8))


def test_a_state_may_be_donated_right_after_its_save_started(tmp_path):
    advance = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1.0, tree), donate_argnums=0)
    checkpoints = Checkpoints(tmp_path, 3)
    tree = {"a": jnp.zeros((300, 300))}
    for step in (1, 2, 3):
        tree = advance(tree)
        checkpoints.save(step, tree)
        tree = advance(tree)
    checkpoints.close()
    wanted = abstract(
        jax.eval_shape(lambda: {"a": jnp.zeros((300, 300))}), SingleDeviceSharding(jax.devices()[0])
    )
    restored = restore_newest(tmp_path, wanted)
    assert restored is not None
    np.testing.assert_array_equal(restored.state["a"], np.full((300, 300), 5.0))


def test_a_checkpoint_of_eight_devices_is_read_on_one_and_back(tmp_path):
    replicated = NamedSharding(make_mesh(8), PartitionSpec())
    checkpoints = Checkpoints(tmp_path, 3)
    checkpoints.save(5, jax.device_put(_state(5), replicated))
    checkpoints.close()
    for sharding in (SingleDeviceSharding(jax.devices()[3]), replicated):
        restored = restore_newest(tmp_path, _wanted(sharding))
        assert restored is not None
        assert restored.state.params["head"]["layer1"]["kernel"].sharding == sharding
        _assert_is(restored.state, 5)


def test_a_damaged_newest_checkpoint_is_passed_over_and_named(tmp_path):
    _save(tmp_path, (1, 2, 3))
    _truncate(tmp_path / "checkpoints" / "3")
    restored = restore_newest(tmp_path, _wanted())
    assert restored is not None
    assert (restored.step, [step for step, _ in restored.damaged]) == (2, [3])
    _assert_is(restored.state, 2)


def test_a_damaged_step_is_set_aside_so_that_it_can_be_saved_again(tmp_path):
    _save(tmp_path, (1, 2))
    assert set_aside(tmp_path, 2) == tmp_path / "damaged" / "2"
    _save(tmp_path, (2,))
    assert set_aside(tmp_path, 2) == tmp_path / "damaged" / "2-1"
    assert list_saved_steps(tmp_path) == (1,)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """Two sealed checkpoints, copied by the tests that damage them."""
    workdir = tmp_path_factory.mktemp("sealed")
    checkpoints = Checkpoints(workdir, 5)
    for step in (1, 2):
        checkpoints.save(step, _state(step), metric=1.0 / step, history=b'{"step": 1}\n')
    checkpoints.close()
    return workdir


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(bytes(content))


_DAMAGES = {"truncated": _truncated, "emptied": _emptied, "flipped": _flipped, "gone": Path.unlink}


def _files(workdir):
    folder = workdir / "checkpoints" / "2"
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _assert_never_wrong(workdir):
    """The state of step 2 as it was, or that of step 1 with step 2 named."""
    restored = restore_newest(workdir, _wanted())
    assert restored is not None
    _assert_is(restored.state, restored.step)
    if restored.step == 1:
        ((step, reason),) = restored.damaged
        assert step == 2
        assert reason
        assert "\n" not in reason
    return restored.step


@pytest.mark.parametrize("damage", _DAMAGES)
@pytest.mark.parametrize("name", ["_CHECKPOINT_METADATA", "state/manifest.ocdbt", "manifest.json"])
def test_no_damaged_file_gives_a_wrong_state(sealed, tmp_path, name, damage):
    workdir = shutil.copytree(sealed, tmp_path / "run")
    path = workdir / "checkpoints" / "2" / name
    if path.stat().st_size or damage == "gone":
        _DAMAGES[damage](path)
        step = _assert_never_wrong(workdir)
        # Without its manifest a checkpoint is left to Orbax, which reads it.
        assert step == (2 if (name, damage) == ("manifest.json", "gone") else 1)


@pytest.mark.slow
@pytest.mark.parametrize("damage", _DAMAGES)
def test_every_file_damaged_in_turn_is_passed_over_and_named(sealed, tmp_path, damage):
    names = _files(sealed)
    assert len(names) > 8
    for number, name in enumerate(names):
        workdir = shutil.copytree(sealed, tmp_path / str(number))
        path = workdir / "checkpoints" / "2" / name
        if path.stat().st_size or damage == "gone":
            _DAMAGES[damage](path)
            step = _assert_never_wrong(workdir)
            assert step == (2 if (name, damage) == ("manifest.json", "gone") else 1), name


@pytest.mark.slow
@pytest.mark.parametrize("damage", _DAMAGES)
def test_without_a_manifest_no_damage_gives_a_wrong_state_either(sealed, tmp_path, damage):
    for number, name in enumerate(_files(sealed)):
        workdir = shutil.copytree(sealed, tmp_path / str(number))
        folder = workdir / "checkpoints" / "2"
        (folder / "manifest.json").unlink()
        path = folder / name
        if path.exists() and (path.stat().st_size or damage == "gone"):
            _DAMAGES[damage](path)
            _assert_never_wrong(workdir)


def test_a_manifest_names_what_has_changed(sealed, tmp_path):
    folder = shutil.copytree(sealed, tmp_path / "run") / "checkpoints" / "2"
    assert check_files(folder)
    _flipped(folder / "state" / "_METADATA")
    with pytest.raises(UsageError, match="state/_METADATA has changed since it was written"):
        check_files(folder)
    (folder / "state" / "_METADATA").unlink()
    with pytest.raises(UsageError, match="state/_METADATA is missing"):
        check_files(folder)


def test_a_manifest_that_was_written_over_is_recognized(sealed, tmp_path):
    folder = shutil.copytree(sealed, tmp_path / "run") / "checkpoints" / "2"
    entries = json.loads((folder / "manifest.json").read_text())
    entries["metric"] = 0.0
    (folder / "manifest.json").write_text(json.dumps(entries))
    with pytest.raises(UsageError, match=r"manifest\.json has changed"):
        check_files(folder)
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(UsageError, match=r"manifest\.json is damaged"):
        check_files(folder)


def test_the_lines_of_metrics_are_kept_with_the_state(sealed):
    assert read_saved_history(sealed / "checkpoints" / "2") == b'{"step": 1}\n'
    assert read_saved_history(sealed / "checkpoints" / "9") is None


def _sealed_steps(workdir, metrics, name="loss", keep=2):
    """Folders that look like saved checkpoints, with these metrics."""
    checkpoints = Checkpoints(workdir, keep, metric_name=name)
    for step, metric in enumerate(metrics, start=1):
        folder = workdir / "checkpoints" / str(step)
        folder.mkdir(parents=True)
        seal(folder, Manifest(metric, name), b"")
        checkpoints._remove_old()
    return list_saved_steps(workdir)


def test_the_best_is_kept_beside_the_newest(tmp_path):
    assert _sealed_steps(tmp_path, [3.0, 1.0, 2.0, 5.0, 4.0]) == (2, 4, 5)
    assert best_step(tmp_path) == 2


def test_the_best_accuracy_is_the_highest_and_what_is_not_finite_is_never_best(tmp_path):
    values = [0.3, float("nan"), 0.9, None, 0.5, 0.6]
    assert _sealed_steps(tmp_path, values, name="probe_accuracy") == (3, 5, 6)
    assert best_step(tmp_path) == 3


def test_a_save_that_fails_is_told_at_the_next_or_at_the_end(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ssljax.runs.checkpoint.seal", full)
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(1, _state(1))
    with pytest.raises(SaveFailed, match=r"step 1 could not be written \(No space left on device"):
        checkpoints.close()


def test_what_a_failed_save_left_behind_complains_in_vain(tmp_path, monkeypatch):
    class Forgotten:
        def __init__(self, text):
            self._text = text

        def __del__(self):
            raise RuntimeError(self._text)

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: reported.append(str(found.exc_value)))
    monkeypatch.setattr("ssljax.runs.checkpoint.seal", lambda *given: 1 / 0)
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(1, _state(1))
    with pytest.raises(SaveFailed):
        checkpoints.close()
    Forgotten("Event loop is closed")
    Forgotten("something else")
    assert reported == ["something else"]


def test_while_a_run_saves_only_orbax_is_kept_quiet(tmp_path):
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.WARNING)  # a library may have set another before
    logger.addHandler(handler)
    checkpoints = Checkpoints(tmp_path, 2)
    try:
        checkpoints.save(1, _state(1))
        logger.warning("a reader of data complains")
        record = logging.LogRecord("absl", 40, "/x/orbax/checkpoint/y.py", 1, "pages", None, None)
        logger.handle(record)
    finally:
        checkpoints.close()
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert "a reader of data complains" in lines
    assert "pages" not in lines
    assert not logger.filters


def test_all_damaged_is_one_line_that_names_the_steps(tmp_path):
    _save(tmp_path, (1, 2))
    for step in (1, 2):
        _truncate(tmp_path / "checkpoints" / str(step))
    with pytest.raises(UsageError, match=r"no checkpoint in .* can be read \(steps 1, 2;") as error:
        restore_newest(tmp_path, _wanted())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tree: tree._replace(step=jax.ShapeDtypeStruct((), "float32")),
            r"step is int32\(\)",
        ),
        (
            lambda tree: tree._replace(params={"head": {"kernel": tree.step}}),
            r"params.head.kernel is absent",
        ),
        (lambda tree: tree._replace(params={}), r"wants none of it"),
    ],
)
def test_a_state_of_another_form_is_refused_by_leaf_and_never_cast(tmp_path, change, message):
    _save(tmp_path, (1,))
    with pytest.raises(UsageError, match=message):
        restore_newest(tmp_path, change(_wanted()))
