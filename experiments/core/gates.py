"""The gate that most claims share: has the network learned the task that the claim is about?"""

from experiments.core.contrasts import Contrast
from experiments.core.values import Row, points


def learned(
    claim: int, network: str, task: str, says: str, *, name: str = "", at_least: float = 3.0
) -> Contrast:
    """Return the gate on what training gains at the feature, over the network at its own step 0.

    Args:
      claim: Number of the claim.
      network: The network.
      task: What a probe reads.
      says: A sentence with `{}` where the gain goes.
      name: Of the gate; `learned(TASK)` by default.
      at_least: Points that the lower end of the gain's interval must reach.
    """

    def accuracy(variant: str) -> Row:
        return Row(network, "accuracy", "feature", task, variant)

    return Contrast(
        claim=claim,
        name=name or f"learned({task})",
        role="gate",
        at_least=at_least,
        value=points(accuracy("trained")) - points(accuracy("untrained")),
        says=says,
    )
