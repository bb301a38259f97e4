"""The page of all claims: the answer in one minute."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.core.contrasts import Judged
from experiments.core.measurements import Table
from experiments.core.verdicts import Verdict, describe_environment
from experiments.pages.claim import file_name
from experiments.pages.sentences import (
    beside,
    counts_line,
    effect_with_interval,
    seeds_words,
    sentence,
    three_sentences,
    verdict_details,
    verdict_words,
    words_lines,
)
from experiments.pages.style import (
    embed,
    escape,
    heading,
    paragraph,
    table,
    word_class,
    write_page,
)

TITLE = "Projection heads: what was claimed, what was found"


def index_page(
    verdicts: Sequence[Verdict],
    thumbnails: Mapping[int, Path],
    measured: Table,
    others: Mapping[str, str],
    tiers: Mapping[str, Sequence[Verdict]],
) -> bytes:
    """Return the page of all claims.

    Args:
      verdicts: In the order of their numbers.
      thumbnails: Of the primaries that have an effect, by claim.
      measured: For tier and provenance.
      others: Questions that belong to no claim, by the file of their page.
      tiers: Verdicts of other tiers, shown beside, by the address of their page.
    """
    environment = describe_environment(measured)
    links = [
        f'<li><a href="{file}">{escape(question)}</a></li>' for file, question in others.items()
    ]
    return write_page(
        TITLE,
        (
            '<div class="lead">',
            *(paragraph(text) for text in three_sentences(verdicts)),
            "</div>",
            paragraph(counts_line(verdicts, measured.tier(), environment), "soft"),
            table(
                (_line(verdict, thumbnails, tiers) for verdict in verdicts),
                ("", "claim", "verdict", "effect [95 % interval]", "beside it", ""),
                "claims",
            ),
            *(
                (heading("Questions beside the claims"), f"<ul>{''.join(links)}</ul>")
                if links
                else ()
            ),
            heading("What the words mean"),
            "<ul>" + "".join(f"<li>{_bold(line)}</li>" for line in words_lines()) + "</ul>",
            *_did_not_hold(verdicts),
        ),
    )


def _line(
    verdict: Verdict, thumbnails: Mapping[int, Path], tiers: Mapping[str, Sequence[Verdict]]
) -> tuple[str, ...]:
    claim, primary = verdict.claim, verdict.primary
    details = verdict_details(verdict)
    more = f"<br><small>{escape(details)}</small>" if details else ""
    effect = (
        f'<a href="{file_name(claim.id)}">{escape(sentence(primary))}</a>'
        f"<br><small>{seeds_words(primary)}</small>"
        if primary.is_measured
        else f'<a href="{file_name(claim.id)}">not measured</a>'
    )
    gray = "gray" if verdict.word == "not testable here" else ""
    picture = thumbnails.get(claim.id)
    return (
        str(claim.id),
        f"{escape(claim.statement)} <small>({escape(claim.source)})</small>",
        f'<span class="word {word_class(verdict.word)}">{escape(verdict_words(verdict))}</span>'
        f"{more}{_elsewhere(claim.id, tiers)}",
        effect,
        escape(beside(verdict)),
        f'<span class="{gray}"><img class="thumbnail" src="{embed(picture)}"'
        f' alt="{escape(effect_with_interval(primary))}"></span>'
        if picture
        else "",
    )


def _elsewhere(claim: int, tiers: Mapping[str, Sequence[Verdict]]) -> str:
    """Return the word of a claim in other tiers."""
    found = [
        (address, verdict)
        for address, verdicts in tiers.items()
        for verdict in verdicts
        if verdict.claim.id == claim and verdict.word != "not run"
    ]
    return "".join(
        f'<br><small><a href="{escape(address)}">{escape(Path(address).parent.name)}</a>:'
        f" {escape(verdict_words(verdict))}</small>"
        for address, verdict in found
    )


def _did_not_hold(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Return the forecasts and implications that were lost, ours and others', by claim."""
    lost = [
        (verdict, row)
        for verdict in verdicts
        for row in (verdict.primary, *verdict.secondary, *verdict.noted)
        if _is_lost(row)
    ]
    if not lost:
        return ()
    items = "".join(
        f"<li>Claim {verdict.claim.id}, {escape(row.contrast.name)}: {escape(sentence(row))}</li>"
        for verdict, row in lost
    )
    return (
        heading("What did not hold"),
        paragraph(
            "Effects of which one that matters is excluded, and noted forecasts that a rival beats."
        ),
        f"<ul>{items}</ul>",
    )


def _is_lost(row: Judged) -> bool:
    if row.status == "excluded":
        return True
    is_forecast = bool(row.rivals)
    return row.contrast.role == "noted" and is_forecast and row.is_measured and row.high < 0


def _bold(text: str) -> str:
    """Return text as HTML, with **words** in bold."""
    parts = escape(text).split("**")
    return "".join(f"<b>{part}</b>" if place % 2 else part for place, part in enumerate(parts))
