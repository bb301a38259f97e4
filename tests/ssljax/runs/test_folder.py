"""One writer for each run folder, and file systems without locks."""

import errno
import fcntl
import json
from contextlib import ExitStack

import pytest

from ssljax.runs.folder import OWNER_FILE, FolderTaken, hold_folder, is_held
from ssljax.system.errors import UsageError


def test_a_folder_is_held_once_and_let_go_of(tmp_path):
    workdir = tmp_path / "run"
    assert not is_held(workdir)
    with hold_folder(workdir):
        assert is_held(workdir)
        with pytest.raises(FolderTaken, match=r"another process \(process \d+ on .*\) is training"):
            ExitStack().enter_context(hold_folder(workdir))
        assert is_held(workdir)  # the refused one did not let go of it
    assert not is_held(workdir)
    assert not (workdir / OWNER_FILE).exists()
    with hold_folder(workdir):
        pass


def test_what_a_killed_writer_left_is_written_over(tmp_path):
    (tmp_path / OWNER_FILE).write_text('{"host": ')
    (tmp_path / ".lock").touch()
    assert not is_held(tmp_path)
    with hold_folder(tmp_path):
        assert "pid" in json.loads((tmp_path / OWNER_FILE).read_text())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        ExitStack().enter_context(hold_folder(tmp_path / "file" / "run"))


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_without_locks_a_run_says_so_trains_when_told_to_and_never_looks_running(
    tmp_path, monkeypatch, capsys, number
):
    def flock(file, operation):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UsageError, match=r"without locks \(no locks here\).* or --force"):
        ExitStack().enter_context(hold_folder(tmp_path))
    with hold_folder(tmp_path, force=True):
        assert not is_held(tmp_path)
    assert "see to it that only one run writes" in capsys.readouterr().err


def test_a_look_asks_for_no_more_than_a_file_opened_for_reading_may_have(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(fcntl, "flock", lambda file, operation: asked.append(operation))
    (tmp_path / ".lock").touch()
    assert not is_held(tmp_path)
    assert asked == [fcntl.LOCK_SH | fcntl.LOCK_NB]  # NFS refuses an exclusive lock there
