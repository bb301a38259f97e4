"""Compares heads with their predictions and writes `results.json`, figures and the page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.core.progress import experiment_progress
from experiments.core.provenance import describe_run
from experiments.errors import InputError
from experiments.figures.head import HeadSizes, draw_head_distances, draw_head_sizes
from experiments.files import make_folder, write_bytes
from experiments.pages.drawing import Drawn
from experiments.pages.style import escape, figure, heading, paragraph, table, write_page
from experiments.tools.comparison.answer import BARS, Compared, answer, list_criteria
from experiments.tools.comparison.heads import SETTLING_STEPS, compare_source
from experiments.tools.comparison.sources import HeadSource, read_source

RESULTS, REPORT = "results.json", "report.html"


def run_comparison(
    paths: Sequence[Path],
    out: Path,
    *,
    weight_decay: float | None = None,
    loss: str | None = None,
    settle: bool = False,
    views: int = 8,
    seed: int = 0,
) -> tuple[Compared, ...]:
    """Compare heads of runs or files, and write `results.json`, figures and `report.html`.

    Args:
      paths: Run folders of ssljax with a linear head, or npz files with `features` (images, views,
        width), `W1` ... `WL` (out, in) and optionally `weight_decay`; several are seeds.
      out: Folder of the report, created.
      weight_decay: Coefficient X, in place of the sources' own.
      loss: Name of the loss, in place of the sources' own.
      settle: Also train a head on with everything below it frozen.
      views: Views of each image of a run.
      seed: Randomness of views, settling and null hypotheses.

    Returns:
      What was compared, as trained before settled.

    Raises:
      InputError: A source cannot be compared, or they differ; nothing is written.
    """
    if weight_decay is not None and not (np.isfinite(weight_decay) and weight_decay >= 0):
        raise InputError(f"--weight-decay {weight_decay} given; give a finite number >= 0")
    if views < 2:
        raise InputError(f"--views {views} given; a positive pair needs at least 2")
    heads: list[Compared] = []
    total = len(paths) * (2.0 + settle)
    with experiment_progress(total, f"reading {paths[0]}") as advance:
        sources = []
        for path in paths:
            sources.append(
                read_source(path, weight_decay=weight_decay, loss=loss, views=views, seed=seed)
            )
            advance(f"{path.name} is read", 1.0)
        _refuse_different(sources)
        make_folder(out)
        for steps in (0, SETTLING_STEPS) if settle else (0,):
            for source in sources:
                outcome = compare_source(source, seed=seed, settling_steps=steps)
                heads.append(Compared(source, outcome, source.weight_decay, bool(steps)))
                state = "settled and compared" if steps else "compared as trained"
                advance(f"{source.name} {state}", 1.0)
    _write(out, heads)
    return tuple(heads)


def _refuse_different(sources: Sequence[HeadSource]) -> None:
    """Refuse sources that are not seeds of one setting."""
    kinds = {
        "losses": {source.loss for source in sources},
        "weight decays": {source.weight_decay for source in sources},
        "widths of layers": {tuple(w.shape for w in source.weights) for source in sources},
    }
    for what, values in kinds.items():
        if len(values) > 1:
            found = " and ".join(str(value) for value in sorted(values, key=str))
            raise InputError(
                f"the sources have different {what}: {found}; several sources are seeds of one"
                " setting, compare others one by one"
            )


def _write(out: Path, heads: Sequence[Compared]) -> None:
    sentences = answer(heads)
    facts = _assumptions(heads)
    content = {
        "answer": list(sentences),
        "assumptions": dict(facts),
        "heads": [_head_json(head) for head in heads],
        "provenance": dict(describe_run()),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(out / RESULTS, f"{text}\n".encode())
    names = ", ".join(dict.fromkeys(head.source.name for head in heads))
    page = write_page(
        f"Does theory explain the head of {names}?",
        (
            f'<div class="lead">{paragraph(sentences[0])}</div>',
            *map(paragraph, sentences[1:]),
            heading("What is assumed"),
            table((f"<b>{escape(name)}</b>", escape(words)) for name, words in facts),
            heading("Sizes of the modes"),
            figure(_draw_sizes(out / "head_layer_spectrum.png", heads)),
            *_distances(out / "head_distances.png", heads),
            heading("What has to hold"),
            paragraph(
                "From the second moments of the features alone theory predicts which modes of the"
                " head are alive, how large each is, and how every layer weights them. The trained"
                " weights are held against that in the features' own coordinates. All criteria"
                " with a mark have to hold together; the others are shown beside them."
            ),
            *(
                part
                for head in sorted(heads, key=lambda head: not head.is_settled)
                for part in _criteria(head, len(heads) > 1)
            ),
            heading("Where these numbers come from"),
            table((escape(name), escape(words)) for name, words in describe_run()),
        ),
    )
    write_bytes(out / REPORT, page)
    print("\n".join((*sentences, f"numbers: {out / RESULTS}", f"open {out / REPORT}")))


def _assumptions(heads: Sequence[Compared]) -> tuple[tuple[str, str], ...]:
    source, decay = heads[0].source, heads[0].weight_decay
    trained = [head for head in heads if not head.is_settled]
    shares = [head.outcome.mean_share for head in trained]
    images, _, width = source.views.shape
    loss = "whose optimum theory predicts" if source.is_predicted else "layer law only"
    centering = f"as given; their mean holds {100 * np.mean(shares):.2g} % of the second moment"
    if len(heads) > len(trained):
        centering += "; centered for the settled head"
    return (
        ("loss", f"{source.loss}, {loss}"),
        ("weight decay", f"{decay:g}, coefficient X of (X/2) Σ ‖W‖²"),
        ("depth", f"{len(source.weights)} layers, no bias, no nonlinearity"),
        ("rank", f"at most {source.rank} of {width}, the narrowest width"),
        ("images", f"{images} of {source.name}" if len(trained) == 1 else f"{images} each"),
        *source.facts,
        ("centering", centering),
        ("noise", f"alignments below {trained[0].outcome.prediction.floor:.3f} are sampling noise"),
        *((("beware", " ".join(source.doubts)),) if source.doubts else ()),
    )


def _head_json(head: Compared) -> dict[str, Any]:
    outcome, verdict = head.outcome, head.outcome.verdict
    agreement = verdict.agreement
    numbers = {
        "predicted_count": verdict.predicted_count,
        "measured_count": verdict.measured_count,
        "size_error": outcome.size_error,
        "rival_errors": outcome.rival_errors,
        "distances": agreement.distances,
        "best_rival_distances": agreement.best_null,
        "accepted_distances": outcome.accepted_distances,
        "rival_distances": agreement.null_distances,
        "law_distances": agreement.law_distances,
        "exponents": agreement.exponents,
        "balance": verdict.balance,
        "predicted_sizes": outcome.prediction.modes,
        "measured_sizes": outcome.measured_modes,
    }
    return {
        "source": head.source.name,
        "state": _state(head),
        "verdict": head.word,
        "criteria": verdict.criteria,
        **{name: _json_value(value) for name, value in numbers.items()},
    }


def _json_value(value: Any) -> Any:
    """Return a number, an array or a dictionary of them for JSON; what is not finite as null."""
    if isinstance(value, dict):
        return {name: _json_value(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return [_json_value(item) for item in value.tolist()]
    return value if isinstance(value, int) or np.isfinite(value) else None


def _state(head: Compared) -> str:
    return "settled" if head.is_settled else "as trained"


def _last(heads: Sequence[Compared]) -> list[Compared]:
    """Return the settled heads, or those as trained where none is."""
    return [head for head in heads if head.is_settled] or list(heads)


def _draw_sizes(path: Path, heads: Sequence[Compared]) -> Drawn:
    panels = []
    for head in _last(heads):
        states = [one for one in heads if one.source is head.source]
        verdict = head.outcome.verdict
        counts = f"{verdict.predicted_count} modes predicted, {verdict.measured_count} found"
        title = counts if len(_last(heads)) == 1 else f"{head.source.name}\n{counts}"
        prediction = head.outcome.prediction
        decays = head.weight_decay > 0 and len(head.source.weights) > 1
        panels.append(
            HeadSizes(
                title,
                prediction.modes,
                {_state(one): one.outcome.measured_modes for one in states},
                prediction.gap if decays and head.source.is_predicted else 0.0,
            )
        )
    draw_head_sizes(path, panels)
    what = "line: predicted from the moments of the features"
    if not heads[0].source.is_predicted:
        what += " for the spectral loss, which did not train this head"
    names = list(panels[0].measured)
    marks = f"orange circles: measured, {names[-1]}"
    if len(names) > 1:
        marks += f"; gray squares: measured, {names[0]}"
    shaded = " In the shaded gap no mode of a deep head can last." if panels[0].gap else ""
    return Drawn(path, f"Sizes of the modes; {what}; {marks}.{shaded}")


def _distances(path: Path, heads: Sequence[Compared]) -> tuple[str, ...]:
    """Return the figure of distances, where anything is predicted of a layer."""
    chosen = _last(heads)
    predicted = chosen[0].source.is_predicted
    depth = len(chosen[0].source.weights) - (not predicted)
    agreements = [head.outcome.verdict.agreement for head in chosen]
    distances = np.array([a.distances if predicted else a.law_distances for a in agreements])
    if depth < 1 or not np.isfinite(distances).any():
        return ()
    draw_head_distances(
        path,
        [f"layer {layer}" for layer in range(1, depth + 1)],
        distances[:, :depth],
        {
            name.replace("_", " "): np.array([a.null_distances[name] for a in agreements])[
                :, :depth
            ]
            for name in agreements[0].null_distances
        },
        np.array([head.outcome.accepted_distances for head in chosen])[:, :depth],
    )
    what = "from the prediction" if predicted else "from a power of the whole map"
    caption = (
        f"How far the Gram of each layer ({_state(chosen[0])}) is {what} (orange) and from rivals"
        f" that know less (gray). Black bars: what is accepted, {BARS.distance:g} and a fifth of"
        " the nearest rival's distance. Rivals turn the directions (rotation), move weight between"
        " the layers (gauge), make all gains equal (isotropic) or assume another depth."
    )
    return (heading("Layers"), figure(Drawn(path, caption)))


def _criteria(head: Compared, titled: bool) -> tuple[str, ...]:
    words = {True: "✓ holds", False: "✗ does not hold", None: ""}
    rows = (
        (
            f"<b>{escape(row.name)}</b>",
            escape(f"found: {row.found}"),
            escape(row.accepted and f"accepted: {row.accepted}"),
            f'<span class="word">{words[row.holds]}</span>',
        )
        for row in list_criteria(head)
    )
    title = paragraph(f"{head.source.name}, {_state(head)}: {head.word}.")
    return (*((title,) if titled else ()), table(rows))
