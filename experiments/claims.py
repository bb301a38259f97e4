"""The claims this project tests: what each says, who says it, which experiment answers."""

from typing import NamedTuple

XUE = "Xue et al. 2024"
COSENTINO = "Cosentino et al. 2022"
OURS = "derived here"


class Claim(NamedTuple):
    """One claim.

    Attributes:
      statement: In a sentence.
      source: Whose it is.
      experiment: The experiment that answers it, by its name on the command line.
    """

    statement: str
    source: str
    experiment: str


CLAIMS = {
    1: Claim(
        "Linear layers weight features more and more unequally towards the output.",
        XUE,
        "weighting",
    ),
    2: Claim(
        "Weight decay shrinks the advantage of the layer before the head.", XUE, "weight_decay"
    ),
    3: Claim(
        "After a nonlinear head features are absent that are present before it.", XUE, "absence"
    ),
    4: Claim(
        "The layer before the head keeps weak and disrupted digits on natural images.",
        XUE,
        "composites",
    ),
    5: Claim(
        "Trained on coarse classes, fine ones are told apart before the head, not after it.",
        XUE,
        "coarse",
    ),
    6: Claim(
        "Under a shift of groups the layer before the head is the more robust.", XUE, "groups"
    ),
    7: Claim("So it is on corrupted images.", XUE, "corruptions"),
    8: Claim("A fixed reweighting head does what a trained one does.", XUE, "reweighting"),
    9: Claim(
        "The head generalizes worse than the encoder, more so the stronger the augmentation.",
        COSENTINO,
        "strength",
    ),
    10: Claim("The head, rather than the encoder, becomes invariant.", COSENTINO, "strength"),
    11: Claim("It does so by losing dimensions.", COSENTINO, "strength"),
    12: Claim(
        "The directions it keeps are a noisy estimate of the data's tangent plane.",
        COSENTINO,
        "tangents",
    ),
    13: Claim("Width and depth of the head change the encoder.", COSENTINO, "heads"),
    14: Claim("Imbalance of adjacent layers follows an exact ledger under SGD.", OURS, "ledger"),
    15: Claim("Hidden layers of a linear head are powers of the whole map.", OURS, "settled"),
    16: Claim(
        "Moments and weight decay alone give the head's spectrum, and its gap.", OURS, "settled"
    ),
    17: Claim(
        "Moments taken before training forecast when each mode is learned and how large it gets.",
        OURS,
        "forecast",
    ),
    18: Claim("A cosine loss keeps imbalance where an unnormalized one loses it.", OURS, "cosine"),
    19: Claim(
        "Statistics of the encoder give rank and invariance of the embedding.", OURS, "strength"
    ),
    20: Claim("Moments say which layer to probe.", OURS, "probe_layer"),
}
