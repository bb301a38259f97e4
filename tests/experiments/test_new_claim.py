"""A claim that is in no table: one record, judged and drawn like the others."""

import numpy as np
import pytest

from experiments.core.contrasts import Contrast
from experiments.core.experiment import OURS, Claim, Experiment
from experiments.core.measurements import write_table
from experiments.core.panels import Course, Line
from experiments.core.values import Row, log
from experiments.pages.publish import write_pages
from tests.experiments.core.synthetic import plain_table

HEADS = ("base", "deep")
RANKS = {head: Row(head, "erank", "feature", "cifar10") for head in HEADS}

FLATTER = Experiment(
    question="Does a deeper head make the feature's spectrum flatter?",
    claims=(
        Claim(
            22,
            "a deeper head flattens the feature",
            "A deeper head makes the feature's layer spectrum flatter.",
            OURS,
            "A guess.",
            "The effective rank of the feature is compared under heads of one and three hidden"
            " layers.",
        ),
    ),
    contrasts=(
        Contrast(
            claim=22,
            name="effective rank, deep over base",
            role="primary",
            unit="times",
            value=log(RANKS["deep"]) - log(RANKS["base"]),
            says="The feature's effective rank is {} as large under the deep head.",
        ),
    ),
    panels=(
        Course(
            name="flatter",
            claim=22,
            title="Effective rank of the feature.",
            levels=HEADS,
            lines=(Line(name="trained", values=tuple(RANKS.values())),),
            x="head",
            y="effective rank",
        ),
    ),
)


@pytest.mark.parametrize(
    ("factor", "word"), [(1.5, "reproduced"), (1.0, "contradicted"), (0.7, "contradicted")]
)
def test_a_claim_from_scratch(factor, word, tmp_path):
    noise = np.exp(0.02 * np.random.default_rng(0).normal(size=(2, 5)))
    rows = {
        ("base", "erank", "trained", "feature", "cifar10"): 20 * noise[0],
        ("deep", "erank", "trained", "feature", "cifar10"): 20 * factor * noise[1],
    }
    write_table(plain_table(rows), tmp_path)
    (verdict,) = write_pages({"flatter": FLATTER}, tmp_path)
    assert verdict.word == word
    assert verdict.primary.shown(verdict.primary.effect) == pytest.approx(factor, rel=0.05)
    assert (tmp_path / "figures" / "flatter.png").is_file()
    assert FLATTER.claims[0].statement in (tmp_path / "claim-22.html").read_text()
