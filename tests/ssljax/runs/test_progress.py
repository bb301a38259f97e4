"""Counting: two things counted one after the other under one name."""

from ssljax.system import progress


def test_a_second_count_under_one_name_starts_again(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_COUNT_SECONDS", 0.0)
    now = iter(range(100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))
    with progress.open_counter("reading", 1) as report:
        assert report is not None
        for total in (20, 50):
            for done in (10, 10, 20):  # equal counts once divided by zero
                report(done, total)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["reading: 20/20, 0 s left", "reading: 20/50, 3 s left"]
