"""What is measured on each network: one line a network, so that a new measurement is one entry."""

from experiments.measure.diagonal import measure_diagonal
from experiments.measure.encoders.plan import ENCODERS
from experiments.measure.feature_model import measure_feature_model
from experiments.measure.heads.measure import measure_heads
from experiments.measure.linear.chain import measure_linear_chain
from experiments.measure.subject import Measure

MEASURES: dict[str, tuple[Measure, ...]] = {
    **{network: (measure,) for network, measure in ENCODERS.items()},
    "diagonal": (measure_diagonal,),
    "feature-model": (measure_feature_model,),
    "frozen": (measure_heads,),
    "linear-chain": (measure_linear_chain,),
}
"""Functions of a subject, by network; each yields rows and curves that no other yields."""
