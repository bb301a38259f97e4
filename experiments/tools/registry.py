"""All experiments by name, in the order they are listed."""

from experiments.core.experiment import Experiment
from experiments.cosentino import heads, strength, tangents, transfer
from experiments.ours import (
    cosine,
    driven,
    forecast,
    invariance,
    ledger,
    probe_layer,
    random_head,
    settled,
)
from experiments.xue import (
    absence,
    coarse,
    composites,
    corruptions,
    groups,
    reweighting,
    weight_decay,
    weighting,
)

EXPERIMENTS: dict[str, Experiment] = {
    "weighting": weighting.EXPERIMENT,
    "weight_decay": weight_decay.EXPERIMENT,
    "absence": absence.EXPERIMENT,
    "composites": composites.EXPERIMENT,
    "coarse": coarse.EXPERIMENT,
    "groups": groups.EXPERIMENT,
    "corruptions": corruptions.EXPERIMENT,
    "reweighting": reweighting.EXPERIMENT,
    "transfer": transfer.EXPERIMENT,
    "strength": strength.EXPERIMENT,
    "tangents": tangents.EXPERIMENT,
    "heads": heads.EXPERIMENT,
    "ledger": ledger.EXPERIMENT,
    "settled": settled.EXPERIMENT,
    "forecast": forecast.EXPERIMENT,
    "cosine": cosine.EXPERIMENT,
    "invariance": invariance.EXPERIMENT,
    "probe_layer": probe_layer.EXPERIMENT,
    "driven": driven.EXPERIMENT,
    "random_head": random_head.EXPERIMENT,
}
