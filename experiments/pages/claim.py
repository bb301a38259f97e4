"""The page of a claim: what is claimed, how it was tested, what came out."""

from collections.abc import Sequence

from experiments.core.contrasts import Judged
from experiments.core.experiment import Experiment
from experiments.core.measurements import Table
from experiments.core.verdicts import Verdict
from experiments.pages.drawing import Drawn
from experiments.pages.sentences import (
    answer_sentences,
    margin_words,
    seeds_words,
    sentence,
    verdict_details,
    verdict_words,
)
from experiments.pages.style import (
    escape,
    figure,
    heading,
    paragraph,
    table,
    word_class,
    write_page,
)

FROM_TABLES = (
    paragraph("From the tables alone, in seconds:"),
    "<pre><code>python -m experiments judge DIR\npython -m experiments pages DIR</code></pre>",
)
_WORDS_OF_STATUS = {
    "holds": "holds",
    "small": "holds, but smaller than matters",
    "open": "open",
    "excluded": "excluded",
}


def file_name(claim: int) -> str:
    """Return the file of a claim's page."""
    return f"claim-{claim:02d}.html"


def claim_page(
    verdict: Verdict,
    experiment: Experiment,
    dots: Sequence[Drawn],
    panels: Sequence[Drawn],
    measured: Table,
) -> bytes:
    """Return the page of a claim.

    Args:
      verdict: Of the claim.
      experiment: That tests it.
      dots: Figures of its contrasts, that of the primary first.
      panels: Its other figures.
      measured: For what was run.
    """
    claim = verdict.claim
    title = f"{claim.id}. {claim.statement}"
    return write_page(
        title,
        (
            '<p><a href="report.html">All claims</a></p>',
            paragraph(f"{claim.source[0].upper()}{claim.source[1:]}. {claim.where}", "soft"),
            _verdict(verdict),
            heading("How it was tested"),
            paragraph(claim.tested),
            paragraph(experiment.scope, "soft"),
            heading("The effect that decides"),
            contrast_table([verdict.primary]),
            *(figure(drawn) for drawn in dots[:1]),
            *_section("Gates and controls", (*verdict.gates, *verdict.controls)),
            *_section("What else the claim implies", verdict.secondary),
            *_section("Noted, without a word", verdict.noted),
            *(figure(drawn) for drawn in (*dots[1:], *panels)),
            *_literature(experiment),
            *what_ran(verdict.experiment, _networks(verdict), measured),
        ),
    )


def experiment_page(
    name: str,
    experiment: Experiment,
    rows: Sequence[Judged],
    figures: Sequence[Drawn],
    measured: Table,
) -> bytes:
    """Return the page of an experiment's contrasts that belong to no claim."""
    networks = tuple(dict.fromkeys(r.network for row in rows for r in row.contrast.value.rows()))
    return write_page(
        experiment.question,
        (
            '<p><a href="report.html">All claims</a></p>',
            *(paragraph(text) for text in _answers(experiment, rows)),
            paragraph(experiment.scope, "soft"),
            *(figure(drawn) for drawn in figures),
            *_literature(experiment),
            heading("The numbers"),
            contrast_table(rows),
            *what_ran(name, networks, measured),
        ),
    )


def what_ran(
    name: str, networks: Sequence[str], measured: Table, *, judges: bool = True
) -> tuple[str, ...]:
    """Return the sections that say what was run, and how to run it again.

    Args:
      name: Of the command.
      networks: That it reads.
      measured: The table.
      judges: Whether `judge` and `pages` work on its folder.
    """
    runs = [run for (network, _), run in sorted(measured.runs.items()) if network in networks]
    per_network = [
        (
            f"<code>{escape(network)}</code>",
            f"seeds {escape(', '.join(map(str, measured.seeds(network))) or 'none')}",
            _steps(network, measured),
        )
        for network in networks
    ]
    facts = [
        ("commit", sorted({run.commit[:10] for run in runs if run.commit})),
        ("versions", sorted({v for run in runs for v in run.versions.split()})),
        ("device", sorted({run.device for run in runs if run.device})),
        ("date", sorted({run.date[:10] for run in runs if run.date})),
    ]
    tier = measured.tier() or "laptop"
    return (
        heading("What was run"),
        table(per_network),
        *(paragraph(f"{what}: {', '.join(values)}", "soft") for what, values in facts if values),
        heading("How to run it again"),
        f"<pre><code>python -m experiments {escape(name)} --tier {tier} --out DIR</code></pre>",
        *(FROM_TABLES if judges else ()),
    )


def _verdict(verdict: Verdict) -> str:
    details = verdict_details(verdict)
    more = f"<br><small>{escape(details)}</small>" if details else ""
    return (
        f'<p><span class="word {word_class(verdict.word)}">{escape(verdict_words(verdict))}</span>'
        f" {escape(sentence(verdict.primary))}{more}</p>"
    )


def _section(title: str, rows: Sequence[Judged]) -> tuple[str, ...]:
    return (heading(title), contrast_table(rows)) if rows else ()


def contrast_table(rows: Sequence[Judged]) -> str:
    """Return judged contrasts as a table: effect, margin, seeds, status."""
    return table(
        (
            f"{escape(sentence(row))}<br><small>{escape(row.contrast.name)}</small>",
            escape(margin_words(row)),
            escape(seeds_words(row) if row.is_measured else row.reason),
            f'<span class="word">{escape(_WORDS_OF_STATUS.get(row.status, row.status))}</span>'
            + _rivals(row),
        )
        for row in rows
    )


def _rivals(row: Judged) -> str:
    if not row.rivals or len(set(row.rivals)) == 0:
        return ""
    names = ", ".join(dict.fromkeys(name.replace("_", " ") for name in row.rivals))
    return f"<br><small>best rival: {escape(names)}</small>"


def _answers(experiment: Experiment, rows: Sequence[Judged]) -> tuple[str, ...]:
    if not experiment.answers:
        return ()
    together = [row for row in rows if row.contrast.unit == "share"]
    return (
        *(sentence(row) for row in together),
        *answer_sentences(rows, experiment.answers),
    )


def _literature(experiment: Experiment) -> tuple[str, ...]:
    if not experiment.literature:
        return ()
    return (heading("In the literature"), paragraph(experiment.literature))


def _networks(verdict: Verdict) -> tuple[str, ...]:
    rows = (
        verdict.primary,
        *verdict.gates,
        *verdict.controls,
        *verdict.secondary,
        *verdict.noted,
    )
    return tuple(dict.fromkeys(r.network for row in rows for r in row.contrast.value.rows()))


def _steps(network: str, measured: Table) -> str:
    steps = sorted({r.steps for (name, _), r in measured.runs.items() if name == network})
    shown = [f"{count} steps" for count in steps if count]
    return ", ".join(shown)
