"""Images for figures, as a network sees them."""

from collections.abc import Iterator

import numpy as np

from experiments.measure.encoders.groups import GROUPS, groups_of
from experiments.measure.encoders.passes import Passes
from experiments.measure.subject import Curve

EXAMPLES = 4
"""Images of which two views each are shown."""


def show_views(passes: Passes) -> Iterator[Curve]:
    """Yield both views of the first training images, side by side."""
    subject = passes.subject
    views = subject.examples(EXAMPLES)
    yield Curve(subject.key("images"), views.reshape(-1, *views.shape[2:]))


def show_groups(passes: Passes) -> Iterator[Curve]:
    """Yield one test object before both backgrounds and beside both digits."""
    subject = passes.subject
    test = subject.task("object").test
    groups = groups_of(test)
    firsts = [np.flatnonzero(groups == group)[0] for group in GROUPS[: len(GROUPS) // 2]]
    yield Curve(subject.key("images"), test.images[firsts])
