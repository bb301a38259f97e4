"""Which parts are measured on which encoder: one entry a network."""

from experiments.measure.encoders.accuracies import read_at_one_scale, read_eighths, read_task
from experiments.measure.encoders.corruptions import read_corruptions
from experiments.measure.encoders.examples import show_groups, show_views
from experiments.measure.encoders.geometry import measure_defect, measure_rank
from experiments.measure.encoders.groups import read_groups, read_shortcuts
from experiments.measure.encoders.losses import measure_held_out_loss
from experiments.measure.encoders.passes import (
    EMBEDDING,
    EVERYWHERE,
    FEATURE,
    RANDOM,
    UNTRAINED,
    UNTRAINED_EMBEDDING,
    join_parts,
)
from experiments.measure.encoders.predictions import compare_with_moments
from experiments.measure.encoders.properties import read_properties
from experiments.measure.encoders.tangents import (
    compare_planes,
    compare_tangents,
    measure_slope_rank,
)
from experiments.measure.subject import Measure

_TRANSFER = (read_task("cifar10"), read_task("fine"), read_task("mnist"))
_ENCODER = (FEATURE, UNTRAINED)
_HEAD = (FEATURE, EMBEDDING, RANDOM)
_DIGITS = (read_task("digit"), show_views)

ENCODERS: dict[str, Measure] = {
    "base": join_parts(
        *_TRANSFER,
        read_corruptions(*_HEAD, equal_clean=True),
        measure_defect(*EVERYWHERE),
        measure_rank(*EVERYWHERE),
        compare_with_moments,
        compare_planes,
        compare_tangents,
    ),
    "weak": join_parts(
        *_TRANSFER,
        measure_defect(*EVERYWHERE, UNTRAINED_EMBEDDING),
        measure_rank(*EVERYWHERE),
        measure_held_out_loss,
        read_properties(FEATURE, EMBEDDING),
        compare_with_moments,
    ),
    "strong": join_parts(
        *_TRANSFER,
        measure_defect(*EVERYWHERE, UNTRAINED_EMBEDDING),
        measure_rank(*EVERYWHERE),
        measure_held_out_loss,
        read_properties(*_HEAD),
        compare_with_moments,
        compare_planes,
    ),
    "none": join_parts(read_corruptions(FEATURE), measure_defect(*_ENCODER), measure_rank(FEATURE)),
    "narrow": join_parts(
        read_task("cifar10", _ENCODER), measure_defect(*_ENCODER), measure_slope_rank()
    ),
    "wide": join_parts(read_task("cifar10", _ENCODER), measure_defect(*_ENCODER)),
    "deep": join_parts(measure_defect(*_ENCODER)),
    "digits-full": join_parts(*_DIGITS),
    "digits-dropped": join_parts(*_DIGITS),
    "digits-faint": join_parts(*_DIGITS),
    "digits-split": join_parts(read_task("digit", _HEAD), read_task("background", _ENCODER)),
    "coarse-contrastive": join_parts(
        read_task("fine", _HEAD),
        read_task("coarse", (*_HEAD, UNTRAINED)),
        read_at_one_scale("fine"),
    ),
    "coarse-none": join_parts(read_at_one_scale("fine")),
    "coarse-fixed": join_parts(
        read_task("fine", (FEATURE, EMBEDDING)), read_at_one_scale("fine"), read_eighths("fine")
    ),
    "coarse-entropy": join_parts(read_task("fine", _HEAD), read_task("coarse", _ENCODER)),
    "parity-contrastive": join_parts(read_task("mnist", _HEAD), read_task("parity", _HEAD)),
    "groups-contrastive": join_parts(
        read_groups(*_HEAD, UNTRAINED), read_shortcuts, read_task("object", _HEAD), show_groups
    ),
    "groups-entropy": join_parts(
        read_groups(*_HEAD, UNTRAINED), read_shortcuts, read_task("object", _HEAD)
    ),
    "groups-none": join_parts(read_groups(FEATURE)),
}
"""By network; parts of one network yield different rows and curves."""
