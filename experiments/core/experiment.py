"""An experiment: claims, the contrasts that decide them, and the panels that show them.

A new experiment is one record of this kind in a file of its own; everything else (training what is
missing, measuring, judging, drawing, writing pages) is the same for all.
"""

import dataclasses
import math

from experiments.core.contrasts import Contrast
from experiments.core.panels import Panel
from experiments.errors import InputError

XUE = "Xue et al. 2024"
COSENTINO = "Cosentino et al. 2022"
OURS = "derived here"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What is claimed, by whom.

    Attributes:
      id: Its number.
      short: A few words that stand for it in a list.
      statement: In a sentence, as the source makes it.
      source: `XUE`, `COSENTINO` or `OURS`.
      where: Where the source says so, and what here stands in for its setting.
      tested: How it is tested here, in two or three sentences.
    """

    id: int
    short: str
    statement: str
    source: str
    where: str
    tested: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that is particular to one experiment.

    Attributes:
      question: What it asks, in a sentence.
      claims: The claims it tests.
      contrasts: What decides them; every claim has exactly one primary. Those of claim 0 belong to
        none and are shown on the experiment's own page.
      panels: Figures, in reading order (drawn where the table has something of them).
      scope: What it can and cannot show.
      answers: What it means that the interval of a row beside (`Contrast.beside`) of claim 0 lies
        above zero, below it, or holds it; empty where nothing is asked of them together.
      literature: Numbers of others that bear on it, with their protocol.
    """

    question: str
    claims: tuple[Claim, ...]
    contrasts: tuple[Contrast, ...]
    panels: tuple[Panel, ...] = ()
    scope: str = ""
    answers: tuple[str, str, str] | tuple[()] = ()
    literature: str = ""

    def __post_init__(self) -> None:
        """Refuse a record that could not be judged.

        Raises:
          InputError: A claim has no primary or several, two contrasts share a name, or a contrast
            needs a gate that there is not.
        """
        for claim in self.claims:
            _check_claim(claim.id, self.contrasts_of(claim.id))
        numbers = {0, *(claim.id for claim in self.claims)}
        for contrast in self.contrasts:
            if contrast.claim not in numbers:
                raise InputError(f"'{contrast.name}' is of claim {contrast.claim}, not among these")

    def contrasts_of(self, claim: int) -> tuple[Contrast, ...]:
        """Return the contrasts of a claim, in the order they are shown."""
        return tuple(contrast for contrast in self.contrasts if contrast.claim == claim)

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that its contrasts and panels read, each once."""
        rows = [row for contrast in self.contrasts for row in contrast.value.rows()]
        rows += [row for panel in self.panels for row in (*panel.rows(), *panel.curves())]
        return tuple(dict.fromkeys(row.network for row in rows))


def _check_claim(claim: int, contrasts: tuple[Contrast, ...]) -> None:
    names = [contrast.name for contrast in contrasts]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"claim {claim} has several contrasts named '{repeated[0]}'")
    primaries = sum(contrast.role == "primary" for contrast in contrasts)
    if primaries != 1:
        raise InputError(f"claim {claim} has {primaries} primary contrasts; it needs one")
    gates = {contrast.name for contrast in contrasts if contrast.role == "gate"}
    for contrast in contrasts:
        if contrast.role == "gate" and contrast.at_least is None:
            raise InputError(f"the gate '{contrast.name}' of claim {claim} has no at_least")
        if contrast.role not in ("gate", "noted") and math.isnan(contrast.smallest_effect):
            raise InputError(
                f"'{contrast.name}' of claim {claim} is in {contrast.unit}; it needs a margin"
            )
        unknown = set(contrast.needs or ()) - gates
        if unknown:
            raise InputError(f"claim {claim} has no gate '{sorted(unknown)[0]}'")
