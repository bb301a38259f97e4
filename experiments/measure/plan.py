"""What is measured on each network: one line a network, so that a new measurement is one entry."""

from experiments.measure.diagonal import measure_diagonal
from experiments.measure.encoders.plan import ENCODERS
from experiments.measure.feature_model import measure_feature_model
from experiments.measure.heads.measure import measure_heads
from experiments.measure.joint.driven import (
    measure_driven,
    measure_operators,
    measure_window_lengths,
)
from experiments.measure.joint.equilibrium import measure_equilibrium
from experiments.measure.joint.ledger import measure_ledger
from experiments.measure.joint.spectrum import measure_spectrum
from experiments.measure.linear.chain import measure_linear_chain
from experiments.measure.subject import Measure

MEASURES: dict[str, tuple[Measure, ...]] = {
    **{network: (measure,) for network, measure in ENCODERS.items()},
    "diagonal": (measure_diagonal,),
    "feature-model": (measure_feature_model,),
    "frozen": (measure_heads,),
    "linear-chain": (measure_linear_chain,),
    "joint-spectral": (measure_ledger, measure_driven, measure_spectrum),
    "joint-cosine": (measure_ledger, measure_equilibrium),
    "driven-gn": (measure_driven, measure_window_lengths),
    "driven-one": (measure_driven,),
    "driven-three": (measure_driven,),
    "driven-bn": (measure_operators,),
}
"""Functions of a subject, by network; each yields rows and curves that no other yields."""
