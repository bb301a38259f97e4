"""Claim 13, with rules fixed before the runs shown: shares between heads, trends, the depth law."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.head_shapes import HeadShape, ShapeOutcome
from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, monotone_row, spread_of
from ssljax.system.arrays import Float
from theory.layers.depth_share import encoder_defect

ABSTRACT = "Cosentino et al. 2022, abstract (version 2)"
SHARE = "depth share of balanced linear networks, derived"
WIDTH_BOUND = "width bound on the slope of a ReLU head, derived"
SHARE_TOLERANCE = 0.25
LAW_TOLERANCE = 0.25
LEAST_GAIN = 0.05
RANK_TOLERANCE = 0.15
PERMUTATIONS = 4000


def shape_rows(outcome: ShapeOutcome, label: str) -> tuple[Row, ...]:
    """Everything the claim says of the encoder.

    Args:
      outcome: The heads, among them none, a linear one, and some of one hidden layer.
      label: Which data, for the claims' text.

    Returns:
      Rows of claim 13.
    """
    defects = outcome.probe_defects[..., 0]
    suppression = outcome.probe_defects[..., 1] / defects
    information = outcome.information[..., 0]
    wide = _ordered(outcome, lambda shape: shape.depth == 2, lambda shape: shape.narrowest)
    deep = _same_width(outcome)
    without = [index for index, shape in enumerate(outcome.shapes) if shape.depth == 0]
    heads = [index for index, shape in enumerate(outcome.shapes) if shape.depth]
    gains = np.min(information[:, heads] - information[:, without], axis=1)
    trained = outcome.local_ranks[:, [index for index in deep if outcome.shapes[index].depth]]

    def trend(what: str, source: str, values: np.ndarray) -> Row:
        places = np.arange(values.shape[1], dtype=float)
        taus = [kendall(places, row) for row in values]
        return monotone_row(13, f"{label}: {what} (Kendall's tau)", source, taus)

    return (
        *(
            _share_row(f"{label}: {what}", values[:, heads])
            for what, values in (
                ("invariance defect of the feature", defects),
                ("effective rank of the feature", outcome.ranks[..., 0]),
                ("augmentation parameters read from the feature (R²)", information),
                ("class accuracy of the feature", outcome.accuracies[..., 0]),
            )
        ),
        trend(
            "the wider the head's hidden layer, the more invariant the feature",
            ABSTRACT,
            -defects[:, wide],
        ),
        trend(
            "the wider the head's hidden layer, the less the head suppresses (R rises)",
            ABSTRACT,
            suppression[:, wide],
        ),
        trend(
            f"the deeper the head ({_names(outcome, deep)}), the less invariant the feature",
            SHARE,
            defects[:, deep],
        ),
        _law_row(outcome, [index for index in deep if outcome.shapes[index].depth], label),
        bound_row(
            13,
            f"{label}: every head leaves more of the augmentation parameters in the feature than"
            f" none does (smallest gain of R², at least {LEAST_GAIN:g})",
            SHARE,
            LEAST_GAIN,
            gains,
            null=LEAST_GAIN,
        ),
        _initial_row(outcome, label),
        trend(
            "the deeper the head, the lower the effective rank of its slope", WIDTH_BOUND, -trained
        ),
    )


def between_share(values: Float[np.ndarray, "seeds groups"]) -> float:
    """Share of the variance that lies between groups: 1 where seeds agree, 0 where groups do.

    Example:
      >>> between_share(np.array([[0.0, 1.0], [0.0, 1.0]]))
      1.0
    """
    total = np.sum((values - np.mean(values)) ** 2)
    between = len(values) * np.sum((np.mean(values, axis=0) - np.mean(values)) ** 2)
    return float(between / total) if total > 0 else 0.0


def shuffled_share(values: Float[np.ndarray, "seeds groups"], quantile: float = 0.95) -> float:
    """The share that shuffling which network had which head reaches, at a quantile.

    Args:
      values: One measurement for each seed and head.
      quantile: Of the shuffles.

    Returns:
      The share.
    """
    generator = np.random.default_rng(0)
    flat = values.ravel()
    shuffles = [
        between_share(generator.permutation(flat).reshape(values.shape))
        for _ in range(PERMUTATIONS)
    ]
    return float(np.quantile(shuffles, quantile))


def law_defects(
    shapes: tuple[HeadShape, ...],
    encoder_layers: int,
    input_defects: Float[np.ndarray, " seeds"],
    embedding_defects: Float[np.ndarray, "seeds heads"],
) -> Float[np.ndarray, "seeds heads"]:
    """The feature's defect between that of the pixels and that of the embedding, by depth alone.

    All of augmentation is one direction here and everything else another: the odds of the defect
    are the squared gain of the one over that of the other, and the encoder's share of the gain's
    logarithm is its share of the layers.

    Args:
      shapes: The heads.
      encoder_layers: Layers of weights in the encoder.
      input_defects: Of the pixels, in (0, 1).
      embedding_defects: Of each embedding, in (0, 1).

    Returns:
      Predicted defects of the feature.
    """
    odds = input_defects / (1 - input_defects)
    after = embedding_defects / (1 - embedding_defects)
    with jax.enable_x64(True):
        return np.array(
            [
                [
                    float(
                        encoder_defect(
                            jnp.array([1.0, np.sqrt(after[seed, head] / odds[seed])]),
                            jnp.array([0.0, odds[seed]]),
                            jnp.array([1.0, odds[seed]]),
                            encoder_layers,
                            shape.depth,
                        )
                    )
                    for head, shape in enumerate(shapes)
                ]
                for seed in range(len(odds))
            ]
        )


def _ordered(outcome: ShapeOutcome, keep, key) -> list[int]:
    chosen = [index for index, shape in enumerate(outcome.shapes) if keep(shape)]
    return sorted(chosen, key=lambda index: key(outcome.shapes[index]))


def _same_width(outcome: ShapeOutcome) -> list[int]:
    """Heads by depth: none, linear, then those whose hidden layers have the deepest one's width."""
    deepest = max(outcome.shapes, key=lambda shape: shape.depth)
    return _ordered(
        outcome,
        lambda shape: shape.depth < 2 or shape.narrowest == deepest.narrowest,
        lambda shape: shape.depth,
    )


def _names(outcome: ShapeOutcome, chosen: list[int]) -> str:
    return ", ".join(outcome.shapes[index].name for index in chosen)


def _share_row(what: str, values: np.ndarray) -> Row:
    share = between_share(values)
    without = [between_share(np.delete(values, seed, axis=0)) for seed in range(len(values))]
    return Row(
        id=13,
        claim=f"{what} depends on the head's width and depth (share of variance between heads;"
        " null: heads shuffled, 95th percentile)",
        source=ABSTRACT,
        predicted=1.0,
        measured=share,
        error=1.0 - share,
        null=1.0 - shuffled_share(values),
        tolerance=SHARE_TOLERANCE,
        spread=spread_of(without),
    )


def _law_row(outcome: ShapeOutcome, chosen: list[int], label: str) -> Row:
    shapes = tuple(outcome.shapes[index] for index in chosen)
    measured = outcome.training_defects[:, chosen, 0]
    embedding = outcome.training_defects[:, chosen, 1]
    predicted = law_defects(shapes, outcome.encoder_depth, outcome.input_defects, embedding)

    def error(guess: np.ndarray) -> np.ndarray:
        return np.mean(np.abs(np.log(guess / measured)), axis=1)

    nulls = (embedding, np.broadcast_to(outcome.input_defects[:, None], measured.shape))
    return error_row(
        13,
        f"{label}: defect of the feature from those of pixels and embedding and the numbers of"
        f" layers, {outcome.encoder_depth} before the head and"
        f" {', '.join(str(shape.depth) for shape in shapes)} in it (mean log error; nulls: the"
        " encoder, or the head, does all)",
        SHARE,
        error(predicted),
        float(min(np.min(error(null)) for null in nulls)),
        LAW_TOLERANCE,
    )


def _initial_row(outcome: ShapeOutcome, label: str) -> Row:
    hidden = [index for index, shape in enumerate(outcome.shapes) if shape.narrowest]
    halves = np.array([outcome.shapes[index].narrowest / 2 for index in hidden])
    shares = np.max(outcome.initial_ranks[:, hidden] / halves[None], axis=1)
    excess = np.maximum(shares - 1.0, 0.0)
    return Row(
        id=13,
        claim=f"{label}: before training the rank of the head's slope is at most half its"
        " narrowest hidden width (largest rank over that half; null: all units active)",
        source=WIDTH_BOUND,
        predicted=1.0,
        measured=float(np.mean(shares)),
        error=float(np.mean(excess)),
        null=1.0,
        tolerance=RANK_TOLERANCE,
        spread=spread_of(excess),
    )
