from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from ssljax.checkpoint import (
    Checkpoints,
    abstract,
    restore_newest,
    saved_steps,
    set_aside,
)
from ssljax.errors import UsageError
from ssljax.mesh import make_mesh

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
    assert saved_steps(tmp_path) == (3, 4)
    restored = restore_newest(tmp_path, _wanted())
    assert restored is not None
    assert (restored.step, restored.damaged) == (4, ())
    _assert_is(restored.state, 4)


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    assert saved_steps(tmp_path) == ()
    assert restore_newest(tmp_path, _wanted()) is None


def test_what_a_killed_save_left_is_cleared_away(tmp_path):
    left = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (left / "state").mkdir(parents=True)
    assert restore_newest(tmp_path, _wanted()) is None
    _save(tmp_path, (2,))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]


def test_saving_while_another_save_runs_is_never_skipped(tmp_path):
    _save(tmp_path, range(1, 8))
    assert saved_steps(tmp_path) == tuple(range(1, 8))


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
    assert saved_steps(tmp_path) == (1,)


@pytest.mark.parametrize(
    "name", ["_CHECKPOINT_METADATA", "state/_METADATA", "state/manifest.ocdbt"]
)
def test_no_damaged_file_gives_a_wrong_state(tmp_path, name):
    _save(tmp_path, (1,))
    path = tmp_path / "checkpoints" / "1" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(bytes(content))
    message = ""
    try:
        restored = restore_newest(tmp_path, _wanted())
    except UsageError as error:
        message = str(error)
    else:
        assert restored is not None
        _assert_is(restored.state, 1)
    assert "\n" not in message
    assert not message or message.startswith("no checkpoint in")


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
