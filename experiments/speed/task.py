"""What a contender does: made once in a process of its own, then called round by round."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Task(NamedTuple):
    """Work to be timed.

    Attributes:
      call: Does the work and waits for its end. A number that it returns is taken as the cost, in
        place of the time.
      units: The cost of a call is that of so many units.
      check: A number that all contenders of a benchmark must agree on, to 1e-4: a loss, or the
        number of parameters; None where there is none.
    """

    call: Callable[[], float | None]
    units: float = 1.0
    check: float | None = None


def finished(function: Callable[[], Any]) -> Callable[[], None]:
    """A call that waits until JAX has computed what `function` returns, and drops it."""

    def call() -> None:
        import jax  # noqa: PLC0415  (most peers need no JAX in their process)

        jax.block_until_ready(function())

    return call
