"""Records of figures: what they show of the table.

A panel names rows and values, not numbers, so that text, table and figure cannot disagree. The
dots of a claim need no record: they follow from its contrasts. `drawing` draws all of them.
"""

import dataclasses

from experiments.core.values import Row, Value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a course.

    Attributes:
      name: Written at its end.
      values: What it shows at each level.
      is_null: Drawn in gray: the untrained network, the random head.
      predicted: Drawn without marks.
    """

    name: str
    values: tuple[Value, ...]
    is_null: bool = False
    predicted: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Course:
    """A quantity over levels.

    Attributes:
      name: Of the file.
      claim: It is shown on this claim's page; 0 for the experiment's own.
      title: A sentence: what to look at.
      levels: Numbers, or names.
      lines: What is shown.
      x: Words and unit of the horizontal axis.
      y: Of the vertical axis.
      log_x: Logarithmic horizontal axis.
      log_y: Logarithmic vertical axis.
    """

    name: str
    claim: int
    title: str
    levels: tuple[float, ...] | tuple[str, ...]
    lines: tuple[Line, ...]
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False

    def curves(self) -> tuple[Row, ...]:
        """Return nothing: it reads numbers."""
        return ()

    def rows(self) -> tuple[Row, ...]:
        """Return the rows that it reads."""
        return tuple(row for line in self.lines for value in line.values for row in value.rows())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spectra:
    """Measured spectra, with predictions where there are some.

    Attributes:
      name: Of the file.
      claim: It is shown on this claim's page.
      title: A sentence: what to look at.
      spectra: Name, row of the measured curve, row of the predicted curve or None.
      x: Words of the horizontal axis.
      y: Words and unit of the vertical axis.
    """

    name: str
    claim: int
    title: str
    spectra: tuple[tuple[str, Row, Row | None], ...]
    x: str
    y: str

    def rows(self) -> tuple[Row, ...]:
        """Return nothing: it reads curves."""
        return ()

    def curves(self) -> tuple[Row, ...]:
        """Return the keys of the curves that it reads."""
        return tuple(row for _, *pair in self.spectra for row in pair if row is not None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predicted against measured values.

    Attributes:
      name: Of the file.
      claim: It is shown on this claim's page.
      title: A sentence: what to look at.
      pairs: Name, row of the predicted curve, row of the measured curve.
      what: Words and unit of the quantity.
    """

    name: str
    claim: int
    title: str
    pairs: tuple[tuple[str, Row, Row], ...]
    what: str

    def rows(self) -> tuple[Row, ...]:
        """Return nothing: it reads curves."""
        return ()

    def curves(self) -> tuple[Row, ...]:
        """Return the keys of the curves that it reads."""
        return tuple(row for _, *pair in self.pairs for row in pair)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Map:
    """A quantity over two settings, of the first seed that has it.

    Attributes:
      name: Of the file.
      claim: It is shown on this claim's page.
      title: A sentence: what to look at.
      row: Whose curve holds the values, a row for each setting of `y`.
      x: Words of the horizontal axis, and its settings.
      y: Of the vertical axis.
      what: Words and unit of the quantity.
      boundary: Where a line is drawn.
    """

    name: str
    claim: int
    title: str
    row: Row
    x: tuple[str, tuple[float, ...]]
    y: tuple[str, tuple[float, ...]]
    what: str
    boundary: float | None = None

    def rows(self) -> tuple[Row, ...]:
        """Return nothing: it reads curves."""
        return ()

    def curves(self) -> tuple[Row, ...]:
        """Return the key of the curve that it reads."""
        return (self.row,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images:
    """Images of the data, as a network sees them.

    Attributes:
      name: Of the file.
      claim: It is shown on this claim's page.
      title: A sentence: what to look at.
      kinds: Name of a row of images, and the row whose curve holds them (columns, h, w, 3).
    """

    name: str
    claim: int
    title: str
    kinds: tuple[tuple[str, Row], ...]

    def rows(self) -> tuple[Row, ...]:
        """Return nothing: it reads curves."""
        return ()

    def curves(self) -> tuple[Row, ...]:
        """Return the keys of the curves that it reads."""
        return tuple(row for _, row in self.kinds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Losses:
    """What two heads lose of the layer before them, task by task: a trained one and a null.

    Attributes:
      name: Of the file.
      claim: It is shown on this claim's page; 0 for the experiment's own.
      title: A sentence: what to look at.
      tasks: Name, loss behind the null, loss behind the trained head, in points.
      null: Name of the null.
    """

    name: str
    claim: int
    title: str
    tasks: tuple[tuple[str, Value, Value], ...]
    null: str

    def curves(self) -> tuple[Row, ...]:
        """Return nothing: it reads numbers."""
        return ()

    def rows(self) -> tuple[Row, ...]:
        """Return the rows that it reads."""
        return tuple(row for _, *pair in self.tasks for value in pair for row in value.rows())


Panel = Losses | Course | Spectra | Prediction | Map | Images
