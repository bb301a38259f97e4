"""A run that does not move warns, then ends."""

import time

import pytest

from ssljax.system.interruption import EXIT_STUCK, Watchdog


class _Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def _never(code: int) -> None:
    pytest.fail(f"ended with {code}")


def test_silence_is_warned_of_halfway_and_ended_with_a_code_of_its_own(capsys):
    clock, codes = _Clock(), []
    watchdog = Watchdog(60.0, end=codes.append, clock=clock)
    watchdog.finished(7)
    clock.now += 29
    watchdog.check()
    assert capsys.readouterr().err == ""
    clock.now += 2
    watchdog.check()
    watchdog.check()
    assert capsys.readouterr().err.count("has been running for 31 s; ending after 60 s") == 1
    clock.now += 30
    watchdog.check()
    assert codes == [EXIT_STUCK]
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "what follows step 7 has been running for 61 s: a host is lost" in line


def test_a_pause_is_no_silence():
    clock = _Clock()
    watchdog = Watchdog(60, end=_never, clock=clock)
    watchdog.finished(1)
    with watchdog.paused():
        clock.now += 1000
        watchdog.check()
    clock.now += 20
    watchdog.check()


def test_the_first_step_has_time_to_compile(capsys):
    clock, codes = _Clock(), []
    watchdog = Watchdog(5, end=codes.append, clock=clock)
    clock.now += 899
    watchdog.check()
    assert codes == []
    clock.now += 1
    watchdog.check()
    assert codes == [EXIT_STUCK]
    assert "the first step, which compiles, has been running for 900 s" in capsys.readouterr().err


def test_a_finished_step_starts_the_count_again(capsys):
    clock, codes = _Clock(), []
    watchdog = Watchdog(60.0, end=codes.append, clock=clock)
    for step in range(5):
        clock.now += 40
        watchdog.finished(step)
        watchdog.check()
    assert codes == []
    clock.now += 61
    watchdog.check()
    assert "what follows step 4" in capsys.readouterr().err


def test_the_thread_ends_a_stuck_run_and_stops_with_a_finished_one():
    codes = []
    with Watchdog(0.1, end=codes.append) as watchdog:
        watchdog.finished(1)
        deadline = time.monotonic() + 10
        while not codes and time.monotonic() < deadline:
            time.sleep(0.01)
    assert codes[0] == EXIT_STUCK
    with Watchdog(0.1, end=_never) as watchdog:
        watchdog.finished(1)
    time.sleep(0.2)


def test_zero_never_ends():
    with Watchdog(0, end=_never):
        time.sleep(0.05)
