"""Files: read back as written, bad ones refused in one line, nothing executed or half-written."""

import os
import pickle

import numpy as np
import pytest

from theory.linalg.errors import InputError
from theory.moments import files


class _Executed:
    """Unpickling this leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (os.mkdir, (self.trace,))


def _write(path, **changes):
    arrays = {"covariance": np.eye(3), "cross_covariance": 0.5 * np.eye(3), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_moments_are_read_with_every_optional_field(tmp_path):
    path = _write(
        tmp_path / "m.npz",
        mean=np.ones(3),
        images=np.int64(10),
        views=np.int64(2),
        half_covariance=np.stack([np.eye(3)] * 2),
        half_cross_covariance=np.zeros((2, 3, 3)),
        note=np.array("kept by whoever wrote it"),
    )
    moments = files.read_moments(path)
    np.testing.assert_array_equal(moments.cross_covariance, 0.5 * np.eye(3))
    assert (moments.images, moments.views) == (10, 2)
    assert moments.half_covariance.shape == (2, 3, 3)


def test_float32_moments_are_read_as_float64(tmp_path):
    path = _write(tmp_path / "m.npz", covariance=np.eye(3, dtype=np.float32))
    assert files.read_moments(path).covariance.dtype == np.float64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cross_covariance": None}, "lacks cross_covariance, it holds covariance"),
        ({"covariance": np.eye(3) * 1j}, "complex128, wanted real numbers"),
        ({"mean": np.array(["a", "b", "c"])}, "mean in .* is of type <U1"),
    ],
)
def test_wrong_keys_and_types_are_refused_in_one_line(tmp_path, changes, message):
    path = _write(tmp_path / "m.npz", **changes)
    with pytest.raises(InputError, match=message) as caught:
        files.read_moments(path)
    assert "\n" not in str(caught.value)


def test_pickled_objects_are_refused_and_never_executed(tmp_path):
    trace = tmp_path / "trace"
    payload = np.array([_Executed(str(trace))], dtype=object)
    np.savez(tmp_path / "m.npz", covariance=payload, cross_covariance=np.eye(1))
    with pytest.raises(InputError, match="pickled objects"):
        files.read_moments(tmp_path / "m.npz")
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(_Executed(str(trace))))
    with pytest.raises(InputError, match="not an npz file"):
        files.read_moments(tmp_path / "bare.npz")
    assert not trace.exists()


def test_truncated_or_foreign_files_are_refused(tmp_path):
    whole = _write(tmp_path / "whole.npz", covariance=np.eye(200)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray(whole)
    damaged[5000:5100] = bytes(range(100))
    (tmp_path / "damaged.npz").write_bytes(damaged)
    np.save(tmp_path / "array.npy", np.eye(2))
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("cut.npz", "damaged.npz", "array.npy", "empty.npz", "absent.npz", "."):
        with pytest.raises(InputError) as caught:
            files.read_moments(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_what_is_written_is_read_back_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "folder" / "out.npz"
    files.write_arrays(path, gram=np.eye(2), loss=np.array(-1.0))
    arrays = files.read_arrays(path)
    np.testing.assert_array_equal(arrays["gram"], np.eye(2))
    assert arrays["loss"].shape == ()
    assert os.listdir(path.parent) == ["out.npz"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "out.npz"
    files.write_arrays(path, gram=np.eye(2))
    before = path.read_bytes()

    def full_disk(stream, **_):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(InputError, match="No space left"):
        files.write_arrays(path, gram=np.ones((2, 2)))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.npz"]


def test_paths_that_cannot_be_written_are_refused_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="existing folder"):
        files.check_writable(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        files.check_writable(tmp_path / "file" / "out.npz")


def test_layers_are_read_in_order_and_gaps_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", W2=np.ones((1, 2)), W1=np.ones((2, 3)))
    assert [w.shape for w in files.read_layers(tmp_path / "w.npz")] == [(2, 3), (1, 2)]
    np.savez(tmp_path / "gap.npz", W1=np.ones((2, 3)), W3=np.ones((1, 2)))
    with pytest.raises(InputError, match="W1, W2"):
        files.read_layers(tmp_path / "gap.npz")
    np.savez(tmp_path / "nan.npz", W1=np.full((2, 3), np.nan))
    with pytest.raises(InputError, match="finite"):
        files.read_layers(tmp_path / "nan.npz")
