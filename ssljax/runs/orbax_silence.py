"""What Orbax says while it fails, in pages, kept from the user, who gets one line."""

import contextlib
import gc
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Orbax reports a failure in pages, and again for its forgotten background tasks.

    It leaves its event loop at the first array that fails; the arrays still in flight then find it
    closed, and each prints a traceback from a thread of TensorStore.
    """
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    report = sys.unraisablehook

    def report_others(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    sys.unraisablehook = report_others
    try:
        yield
    except BaseException:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # coroutines that nobody awaited
            gc.collect()
        raise
    finally:
        sys.unraisablehook = report
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
