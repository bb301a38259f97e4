"""Pages: complete in one file, the same bytes twice, and true to the verdicts."""

import dataclasses
import html.parser
import json
import re

import numpy as np
import pytest

from experiments.core.contrasts import Contrast, judge_contrast
from experiments.core.measurements import make_table, write_table
from experiments.core.values import Row, log, points
from experiments.core.verdicts import write_verdicts
from experiments.errors import InputError
from experiments.pages import sentences
from experiments.pages.publish import write_pages
from experiments.pages.readme import END, START, insert_table, readme_table, update_readme
from experiments.tools.registry import EXPERIMENTS
from tests.experiments.core.synthetic import plain_table, whole_table

SHOWN = {
    name: EXPERIMENTS[name]
    for name in ("absence", "composites", "strength", "ledger", "settled", "driven", "random_head")
}
CLAIMS = sum(len(experiment.claims) for experiment in SHOWN.values())
NOT_RUN = ("diagonal",)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    write_table(whole_table(SHOWN, seeds=3, images=400, without=NOT_RUN), folder)
    return folder, write_pages(SHOWN, folder)


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        del tag
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_pages_fetch_nothing_and_link_to_what_is_there(pages):
    folder, _ = pages
    for path in folder.glob("*.html"):
        links = Links()
        links.feed(path.read_text())
        assert links.found
        for link in links.found:
            assert link.startswith("data:image/png;base64,") or (folder / link).is_file(), link


def test_every_claim_has_a_line_and_a_page(pages):
    folder, verdicts = pages
    index = (folder / "report.html").read_text()
    assert len(verdicts) == CLAIMS
    for verdict in verdicts:
        assert verdict.claim.statement.replace("'", "&#x27;") in index.replace("'", "&#x27;")
        page = (folder / f"claim-{verdict.claim.id:02d}.html").read_text()
        assert verdict.claim.tested in page
        assert f">{sentences.verdict_words(verdict)}</span>" in page
        for row in (*verdict.secondary, *verdict.noted, *verdict.gates, *verdict.controls):
            assert row.contrast.name in page
    assert (folder / "random_head.html").is_file()
    assert "not measured" in index  # claim 3


def test_the_same_tables_give_the_same_bytes(pages, tmp_path):
    folder, _ = pages
    for name in ("measurements.csv", "runs.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    few = {name: EXPERIMENTS[name] for name in ("strength", "ledger")}
    write_pages(few, tmp_path)
    # Of the two, only the page of an identity does not depend on which other claims are judged.
    assert (tmp_path / "claim-14.html").read_bytes() == (folder / "claim-14.html").read_bytes()
    for path in tmp_path.glob("figures/claim-*.png"):
        assert path.read_bytes() == (folder / "figures" / path.name).read_bytes()


def test_words_are_never_broken_inside_and_nothing_is_wider_than_a_phone(pages):
    text = (pages[0] / "report.html").read_text()
    style = text[: text.index("</style>")]
    assert "break-all" not in style
    assert "anywhere" not in style
    assert "overflow-x" not in style
    visible = re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.S)
    # At 16 px a character is at most about 11 px wide, and 390 px leave room for 32 of them.
    assert max(map(len, re.split(r"[\s/−-]", visible))) <= 32


def test_sentences_carry_effects():
    rows = {
        ("a", "accuracy", "trained"): [0.514, 0.521, 0.517],
        ("b", "defect", "trained"): np.exp([0.3, 0.34, 0.38]),
    }
    table = plain_table(rows)

    def judged(value, says, **settings):
        contrast = Contrast(claim=1, name="x", role="noted", value=value, says=says, **settings)
        return judge_contrast(contrast, table)

    lead = judged(points(Row("a", "accuracy")) - 50.0, "The layer is {} better.")
    assert (
        sentences.sentence(lead) == "The layer is +1.7 [+0.9,\N{NO-BREAK SPACE}+2.6] points better."
    )
    factor = judged(log(Row("b", "defect")), "It is {} smaller.", unit="times")
    assert sentences.sentence(factor) == "It is 1.40 [1.27,\N{NO-BREAK SPACE}1.55] times smaller."


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.7333, 0.861, 2.606), ["1.7", "0.9", "2.6"]),
        ((-0.01, -0.252, 0.232), ["-0.01", "-0.25", "0.23"]),
        ((14.2, 9.3, 21.4), ["14", "9", "21"]),
        ((12345.0, 9000.0, 15000.0), ["12000", "9000", "15000"]),
        ((0.5, 0.5, 0.5), ["0.5", "0.5", "0.5"]),
        ((3.1e-6, 1.2e-6, 5.0e-6), ["3.1e-06", "1.2e-06", "5e-06"]),
    ],
)
def test_numbers_have_the_digits_their_interval_deserves(values, expected):
    assert sentences._numbers(values) == expected


def test_the_readme_has_the_words_of_verdicts_json(pages, tmp_path):
    folder, verdicts = pages
    write_verdicts(SHOWN, folder)
    content = json.loads((folder / "verdicts.json").read_text())
    table = readme_table(verdicts, whole_table({}), "experiments/results/laptop")
    lines = [line for line in table.splitlines() if re.match(r"\| \d", line)]
    assert len(lines) == CLAIMS
    for line, claim in zip(lines, content["claims"], strict=True):
        assert line.startswith(f"| {claim['id']} | {claim['claim']}")
        assert f"**{claim['verdict']}" in line
        assert len(re.findall(r"(?<!\\)\|", line)) == 7
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{START}\nold\n{END}\n\nRest\n")
    assert update_readme(readme, table)
    assert not update_readme(readme, table)
    assert readme.read_text().startswith("# Title")
    assert readme.read_text().endswith("\n\nRest\n")
    with pytest.raises(InputError, match="no lines"):
        insert_table("nothing", table)


def test_tiers_are_shown_side_by_side(pages, tmp_path):
    few = {"ledger": EXPERIMENTS["ledger"]}
    for tier in ("laptop", "workstation"):
        table = whole_table(few, seeds=3, images=200)
        runs = [dataclasses.replace(run, tier=tier) for run in table.runs.values()]
        write_table(make_table(table.rows.values(), runs), tmp_path / "results" / tier)
    write_pages(few, tmp_path / "results" / "laptop")
    index = (tmp_path / "results" / "laptop" / "report.html").read_text()
    assert '<a href="../workstation/report.html">workstation</a>: reproduced' in index
    # Elsewhere nothing is looked for beside a folder.
    assert "../" not in (pages[0] / "report.html").read_text()


def test_a_question_beside_the_claims_is_answered_in_words_from_its_rows(tmp_path):
    """Training costs 8 points of parity and 0 of the rest, where a random head costs 4."""
    shown = {"random_head": EXPERIMENTS["random_head"]}
    table = whole_table(shown, seeds=3, images=400)
    rows = []
    for row in table.rows.values():
        is_after = row.layer == "embedding"
        lost = 0.04 * is_after
        if row.task == "parity" and is_after and row.variant == "trained":
            lost += 0.08
        value = 0.8 - lost + 0.002 * row.seed * (row.variant == "random_head")
        rows.append(row._replace(value=value, blocks=""))
    write_table(make_table(rows, list(table.runs.values()), {}), tmp_path)
    write_pages(shown, tmp_path)
    page = (tmp_path / "random_head.html").read_text()
    assert "loses more than a random one in 1 of 16: parity, its own." in page
    assert "cannot be told apart in 15 of 16" in page
    # One task of sixteen loses 12 points, the others 4, of which random heads lose all but .2.
    assert "Over all tasks together, +0.16" in page
