"""What a contrast computes: arithmetic on rows of the table, written as it would be in a paper.

`points(row_f) - points(row_e)` is the lead of the feature in points; `log(defect_weak) -
log(defect_strong)` a factor. An expression is evaluated for one seed at a time, on the rows' values
and, side by side, on their values with each block of test images left out.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from experiments.errors import InputError

Numbers = Float[np.ndarray, " replicates"]
Read = Callable[["Row"], Numbers]


class UndefinedError(InputError):
    """A logarithm, a ratio or a share that the measured numbers do not define."""


class Value:
    """An expression over rows; `+`, `-`, `*` and `/` combine expressions and numbers."""

    def evaluate(self, read: Read) -> Numbers:
        """Return the number (and its replicates) from those of the rows.

        Args:
          read: Gives a row's number and replicates, in one array.

        Raises:
          UndefinedError: A logarithm or a share is not defined there.
        """
        raise NotImplementedError

    def rows(self) -> tuple["Row", ...]:
        """Return the rows that the expression reads, in reading order, each once."""
        raise NotImplementedError

    def __add__(self, other: "Value | float | int") -> "Value":
        return Combined("+", self, as_value(other))

    def __sub__(self, other: "Value | float | int") -> "Value":
        return Combined("-", self, as_value(other))

    def __rsub__(self, other: float | int) -> "Value":
        return Combined("-", as_value(other), self)

    def __mul__(self, other: "Value | float | int") -> "Value":
        return Combined("*", self, as_value(other))

    def __rmul__(self, other: float | int) -> "Value":
        return Combined("*", as_value(other), self)

    def __truediv__(self, other: "Value | float | int") -> "Value":
        return Combined("/", self, as_value(other))


@dataclasses.dataclass(frozen=True)
class Row(Value):
    """One row of the table for each seed; the fields are the columns of its key."""

    network: str
    quantity: str
    layer: str = ""
    task: str = ""
    variant: str = "trained"
    level: str = ""

    def evaluate(self, read: Read) -> Numbers:
        """Return what `read` gives."""
        return read(self)

    def rows(self) -> tuple["Row", ...]:
        """Return the row itself."""
        return (self,)

    def describe(self) -> str:
        """Return the key without the seed, as words."""
        words = (self.network, self.variant, self.layer, self.task, self.quantity, self.level)
        return ", ".join(word for word in words if word)


@dataclasses.dataclass(frozen=True)
class Number(Value):
    """A constant."""

    number: float

    def evaluate(self, read: Read) -> Numbers:
        """Return the constant."""
        return np.array([self.number])

    def rows(self) -> tuple[Row, ...]:
        """Return nothing."""
        return ()


@dataclasses.dataclass(frozen=True)
class Combined(Value):
    """Two expressions and the operation between them."""

    operation: str
    left: Value
    right: Value

    def evaluate(self, read: Read) -> Numbers:
        """Return the operation's result."""
        left, right = self.left.evaluate(read), self.right.evaluate(read)
        if self.operation == "+":
            return left + right
        if self.operation == "-":
            return left - right
        if self.operation == "*":
            return left * right
        if np.any(right == 0):
            raise UndefinedError(f"a division by zero in {_names(self.right)}")
        return left / right

    def rows(self) -> tuple[Row, ...]:
        """Return the rows of both sides."""
        return _unique(self.left, self.right)


@dataclasses.dataclass(frozen=True)
class Log(Value):
    """The natural logarithm of a positive quantity."""

    inside: Value

    def evaluate(self, read: Read) -> Numbers:
        """Return the logarithm."""
        values = self.inside.evaluate(read)
        if np.any(values <= 0):
            raise UndefinedError(
                f"no logarithm of {float(values.min()):g} in {_names(self.inside)}; the quantity"
                " should be positive"
            )
        return np.log(values)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows inside."""
        return self.inside.rows()


@dataclasses.dataclass(frozen=True)
class Mean(Value):
    """The mean of several expressions: of levels, groups, losses or properties."""

    parts: tuple[Value, ...]

    def evaluate(self, read: Read) -> Numbers:
        """Return the mean."""
        return np.mean(np.broadcast_arrays(*(part.evaluate(read) for part in self.parts)), axis=0)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows of all parts."""
        return _unique(*self.parts)


@dataclasses.dataclass(frozen=True)
class ShareLost(Value):
    """The share of what a layer reads above chance that the next layer no longer reads.

    1 − (after − chance) / (before − chance); refused where `before` reads less than 5 points above
    chance, because the share is then mostly noise.
    """

    before: Value
    after: Value
    chance: float

    def evaluate(self, read: Read) -> Numbers:
        """Return the share."""
        before, after = self.before.evaluate(read), self.after.evaluate(read)
        if before[0] - self.chance < 0.05:
            raise UndefinedError(
                f"{_names(self.before)} is {100 * float(before[0] - self.chance):.1f} points"
                " above chance; a share lost needs 5"
            )
        return 1 - (after - self.chance) / (before - self.chance)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows of both layers."""
        return _unique(self.before, self.after)


@dataclasses.dataclass(frozen=True)
class Best(Value):
    """The smallest of the errors of named rivals, in each seed on its own.

    The one minimum that a statistic may take: it makes the rival as strong as it can be.
    """

    rivals: tuple[tuple[str, Value], ...]

    def evaluate(self, read: Read) -> Numbers:
        """Return the smallest error."""
        return np.min([error.evaluate(read) for _, error in self.rivals], axis=0)

    def name(self, read: Read) -> str:
        """Return the name of the best rival."""
        return min(self.rivals, key=lambda rival: float(rival[1].evaluate(read)[0]))[0]

    def rows(self) -> tuple[Row, ...]:
        """Return the rows of all rivals."""
        return _unique(*(error for _, error in self.rivals))


@dataclasses.dataclass(frozen=True)
class Largest(Value):
    """The largest of several errors: an identity has to hold in all of them."""

    parts: tuple[Value, ...]

    def evaluate(self, read: Read) -> Numbers:
        """Return the largest error."""
        return np.max(np.broadcast_arrays(*(part.evaluate(read) for part in self.parts)), axis=0)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows of all parts."""
        return _unique(*self.parts)


@dataclasses.dataclass(frozen=True)
class Smallest(Value):
    """The row, in each seed, whose validation score is lowest: the worst group, fixed beforehand.

    Attributes:
      scores: Validation scores that choose.
      values: What is read once chosen, in the same order.
    """

    scores: tuple[Value, ...]
    values: tuple[Value, ...]

    def evaluate(self, read: Read) -> Numbers:
        """Return the value that the scores choose."""
        scores = [float(score.evaluate(read)[0]) for score in self.scores]
        return self.values[int(np.argmin(scores))].evaluate(read)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows of scores and values."""
        return _unique(*self.scores, *self.values)


def as_value(other: Value | float | int) -> Value:
    """Return a number as an expression; expressions are returned as they are."""
    return other if isinstance(other, Value) else Number(float(other))


def points(value: Value) -> Value:
    """Return a fraction in points."""
    return 100.0 * value


def log(value: Value) -> Value:
    """Return the natural logarithm of a positive quantity."""
    return Log(value)


def mean(*values: Value) -> Value:
    """Return the mean of several expressions."""
    return Mean(values)


def share_lost(before: Value, after: Value, chance: float) -> Value:
    """Return the share of what is read above chance that is lost between two layers."""
    return ShareLost(before, after, chance)


def forecast(prediction: Value, **rivals: Value) -> Value:
    """Return how many times the best rival is as wrong as the prediction, as a logarithm.

    Args:
      prediction: Error of the prediction.
      rivals: Errors of the rivals, by name.
    """
    return Log(Best(tuple(rivals.items()))) - Log(prediction)


def best_of(value: Value) -> Best | None:
    """Return the rivals inside an expression, or None where there are none."""
    if isinstance(value, Best):
        return value
    if isinstance(value, Combined):
        return best_of(value.left) or best_of(value.right)
    return best_of(value.inside) if isinstance(value, Log) else None


def _unique(*values: Value) -> tuple[Row, ...]:
    return tuple(dict.fromkeys(row for value in values for row in value.rows()))


def _names(value: Value) -> str:
    return " / ".join(row.describe() for row in value.rows()[:3])
