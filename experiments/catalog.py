"""The experiments there are, in the order `all` runs them: quick ones and shared networks first."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One experiment; its code is `run` of the module of the same name.

    Attributes:
      question: What it asks.
      minutes: Roughly, at laptop scale on two cores, where nothing is cached.
    """

    question: str
    minutes: float


EXPERIMENTS = {
    "quickstart": Entry("predict, train, measure and compare on handwritten digits", 3.0),
    "phase": Entry("which layer wins, over augmentation retention and feature strength", 1.0),
    "coarse": Entry(
        "what networks trained on coarse classes know of fine ones (claims 5, 8)", 15.0
    ),
    "ledger": Entry(
        "whether the imbalance of a linear head follows its exact account (claim 14)", 20.0
    ),
    "settled": Entry(
        "what weight decay makes of a linear head, layer by layer (claims 15, 16)", 12.0
    ),
    "forecast": Entry(
        "when a linear head learns which mode, told by moments before it trains (claim 17)", 4.0
    ),
    "cosine": Entry("which losses let weight decay balance a linear head (claim 18)", 15.0),
    "weighting": Entry(
        "whether linear layers weight features more unequally layer by layer (claim 1)", 6.0
    ),
    "corruptions": Entry("which layer keeps its accuracy on corrupted images (claim 7)", 20.0),
    "weight_decay": Entry(
        "whether weight decay shrinks the lead of the layer before the head (claim 2)", 25.0
    ),
    "absence": Entry("what a nonlinear head loses and the layer before it keeps (claim 3)", 18.0),
    "composites": Entry("digits on natural images, before and after the head (claim 4)", 12.0),
    "reweighting": Entry(
        "whether a fixed reweighting head does what a trained one does (claim 8)", 15.0
    ),
    "groups": Entry("which layer serves groups that shortcuts mislead (claim 6)", 15.0),
    "strength": Entry(
        "what stronger augmentation does to encoder and head (claims 9, 10, 11, 19)", 25.0
    ),
    "heads": Entry("what width and depth of the head do to the encoder (claim 13)", 25.0),
    "probe_layer": Entry("which layer to probe, from moments alone (claim 20)", 15.0),
    "tangents": Entry("whether the head keeps the data's tangent plane (claim 12)", 25.0),
}
