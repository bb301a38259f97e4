"""Sinks: what is in the file of events, and what Weights & Biases is given."""

import struct
import sys
import types

import pytest

from ssljax.runs.sinks import open_sink
from ssljax.system.errors import UsageError

proto = pytest.importorskip("tensorboardX.proto.event_pb2", reason="tensorboardX is not installed")


def _events(path):
    """Events of a file: length, checksum, message, checksum, and so on."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        yield proto.Event.FromString(data[at + 12 : at + 12 + length])
        at += length + 16


def test_numbers_of_each_step_follow_a_mark_that_hides_an_earlier_attempt(tmp_path):
    with open_sink("tensorboard", tmp_path, 4, {}) as write:
        assert write is not None
        for step in (5, 6):
            write(step, {"loss": 1.5 * step, "count": 2})
    (path,) = (tmp_path / "events").iterdir()
    version, start, *steps = _events(path)
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (5, proto.SessionLog.START)
    assert [event.step for event in steps] == [5, 6]
    values = {value.tag: value.simple_value for value in steps[1].summary.value}
    assert values == {"loss": 9.0, "count": 2.0}


def test_a_disk_that_fails_is_an_error_of_the_caller(tmp_path, monkeypatch):
    from tensorboardX.event_file_writer import EventsWriter

    def full(self, event):
        raise OSError(28, "No space left on device")

    with open_sink("tensorboard", tmp_path, 0, {}) as write:
        assert write is not None
        monkeypatch.setattr(EventsWriter, "write_event", full)
        for step in range(1, 30):
            with pytest.raises(OSError, match="No space left"):
                write(step, {"loss": 1.0})


def test_weights_and_biases_is_given_every_step_and_sends_nothing(tmp_path, monkeypatch):
    told = []

    class Run:
        def log(self, values, step):
            told.append((step, values))

        def finish(self):
            told.append("finished")

    def init(**options):
        told.append(options)
        return Run()

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    with open_sink("wandb", tmp_path / "run", 0, {"seed": 3}) as write:
        assert write is not None
        write(1, {"loss": 2.0})
    options, first, last = told
    assert options["mode"] == "offline"
    assert options["name"] == "run"
    assert options["config"] == {"seed": 3}
    assert (first, last) == ((1, {"loss": 2.0}), "finished")


def test_weights_and_biases_itself_writes_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with open_sink("wandb", tmp_path, 0, {"seed": 3}) as write:
        assert write is not None
        write(1, {"loss": 2.0})
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_without_weights_and_biases_its_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with (
        pytest.raises(UsageError, match="wandb is not installed"),
        open_sink("wandb", tmp_path, 0, {}),
    ):
        pass
