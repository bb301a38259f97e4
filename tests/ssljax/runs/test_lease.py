"""One writer for each run folder, on one machine and across machines."""

import json
import threading
import time
from contextlib import ExitStack

import pytest

from ssljax.system.errors import UsageError
from ssljax.runs.lease import OWNER_FILE, FolderTaken, claimed, is_claimed, this_machine

_BEAT = 0.1


def _claim(workdir, **options):
    return claimed(workdir, beat_seconds=_BEAT, **options)


def _sign(workdir, machine, count=3):
    entry = {"machine": machine, "host": "elsewhere", "id": "other", "count": count}
    (workdir / OWNER_FILE).write_text(json.dumps(entry))


def test_a_folder_is_held_once_and_let_go_of(tmp_path):
    with _claim(tmp_path / "run"):
        assert is_claimed(tmp_path / "run")
        with pytest.raises(FolderTaken, match="another process is training in"):
            ExitStack().enter_context(_claim(tmp_path / "run"))
    assert not is_claimed(tmp_path / "run")
    assert not (tmp_path / "run" / OWNER_FILE).exists()
    with _claim(tmp_path / "run"):
        pass


def test_a_dead_writer_of_this_machine_is_taken_over_from_at_once(tmp_path):
    _sign(tmp_path, this_machine())
    start = time.monotonic()
    with _claim(tmp_path):
        assert time.monotonic() - start < 4 * _BEAT


def test_a_silent_writer_of_another_machine_is_taken_over_from_after_watching(tmp_path):
    _sign(tmp_path, "another machine")
    said = []
    start = time.monotonic()
    with _claim(tmp_path, say=said.append):
        assert time.monotonic() - start >= 4 * _BEAT
        assert json.loads((tmp_path / OWNER_FILE).read_text())["machine"] == this_machine()
    assert "elsewhere was training" in said[0]


def test_a_writer_of_another_machine_that_still_counts_is_left_alone(tmp_path):
    _sign(tmp_path, "another machine", count=3)
    writer = threading.Timer(2 * _BEAT, lambda: _sign(tmp_path, "another machine", count=4))
    writer.start()
    with pytest.raises(UsageError, match="host elsewhere is training in"):
        ExitStack().enter_context(_claim(tmp_path))
    writer.join()
    assert json.loads((tmp_path / OWNER_FILE).read_text())["id"] == "other"


def test_a_writer_whose_folder_was_taken_over_ends(tmp_path):
    codes = []
    with _claim(tmp_path, end=codes.append):
        _sign(tmp_path, "another machine")
        deadline = time.monotonic() + 50 * _BEAT
        while not codes and time.monotonic() < deadline:
            time.sleep(_BEAT)
    assert codes == [75]
    assert json.loads((tmp_path / OWNER_FILE).read_text())["id"] == "other"


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path, monkeypatch):
    _sign(tmp_path, "another machine")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with _claim(tmp_path):
        pass


def test_a_damaged_signature_is_no_writer(tmp_path):
    (tmp_path / OWNER_FILE).write_text('{"machine": ')
    with _claim(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        ExitStack().enter_context(_claim(tmp_path / "file" / "run"))
