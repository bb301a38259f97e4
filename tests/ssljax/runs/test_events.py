"""TensorBoard events: what is in the file, and that a full disk is an error, not a hang."""

import struct

import pytest

from ssljax.runs.events import EventFile

proto = pytest.importorskip("tensorboardX.proto.event_pb2", reason="tensorboardX is not installed")


def _events(path):
    """Events of a file: length, checksum, message, checksum, and so on."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        yield proto.Event.FromString(data[at + 12 : at + 12 + length])
        at += length + 16


def test_numbers_of_each_step_follow_a_mark_that_hides_an_earlier_attempt(tmp_path):
    events = EventFile(tmp_path / "events", 4)
    for step in (5, 6):
        events.write(step, {"loss": 1.5 * step, "count": 2})
    events.close()
    (path,) = (tmp_path / "events").iterdir()
    version, start, *steps = _events(path)
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (5, proto.SessionLog.START)
    assert [event.step for event in steps] == [5, 6]
    values = {value.tag: value.simple_value for value in steps[1].summary.value}
    assert values == {"loss": 9.0, "count": 2.0}


def test_a_disk_that_fails_is_an_error_of_the_caller(tmp_path, monkeypatch):
    events = EventFile(tmp_path / "events", 0)

    def full(event):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(events._writer, "write_event", full)
    for step in range(1, 30):
        with pytest.raises(OSError, match="No space left"):
            events.write(step, {"loss": 1.0})
    events.close()
