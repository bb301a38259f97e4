"""Claim 12: the projector keeps a noisy estimate of the data's tangent plane."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import COSENTINO, Claim, Experiment
from experiments.core.gates import learned
from experiments.core.names import level
from experiments.core.values import Row, Value

DIRECTIONS = 12


def _overlap(plane: str, variant: str = "trained", network: str = "base", **settings: str) -> Row:
    return Row(network, "overlap", "embedding", "cifar10", variant, level(plane=plane, **settings))


def _share_of_ceiling(network: str) -> Value:
    """Overlap with the data's plane: 0 for a random head, 1 for an estimate without noise."""
    at_random = _overlap("data", "random_head", network)
    ceiling = Row(network, "ceiling", "embedding", "cifar10", level=level(plane="data"))
    return (_overlap("data", network=network) - at_random) / (ceiling - at_random)


EXPERIMENT = Experiment(
    question="Which directions of the feature does the projector keep?",
    claims=(
        Claim(
            12,
            "the projector keeps the data's tangent plane",
            "The space that the projector keeps is a noisy estimate of the data's tangent plane in"
            " the encoder.",
            COSENTINO,
            "Abstract.",
            f"At each test image the {DIRECTIONS} directions that the head's derivative keeps best"
            " are compared with the plane of nearest images in the feature. The overlap is put on a"
            " scale from a random head (0) to the agreement of two halves of the data (1).",
        ),
    ),
    contrasts=(
        Contrast(
            claim=12,
            name="overlap with the data's plane",
            role="primary",
            unit="share",
            value=_share_of_ceiling("base"),
            says="The directions kept reach {} of the way from a random head to the data's plane.",
        ),
        learned(12, "base", "cifar10", "Training gains {} on CIFAR-10."),
        Contrast(
            claim=12,
            name="sampled tangents are exact ones",
            role="control",
            instrument=True,
            unit="share",
            value=Row("base", "tangent_agreement", "feature", "cifar10", level=level(strength=0.03))
            - 0.9,
            says="Tangents sampled at strength 0.03 overlap with exact ones by {} more than 0.9.",
        ),
        Contrast(
            claim=12,
            name="beside the augmentation's tangent",
            role="secondary",
            unit="share",
            value=_overlap("data") - _overlap("augmentation"),
            says="The directions kept overlap {} more with the data's plane than with the"
            " augmentation's"
            " tangent.",
        ),
        Contrast(
            claim=12,
            name="beside planes at other images",
            role="secondary",
            unit="share",
            value=_overlap("data") - _overlap("data", at="other"),
            says="The directions kept overlap {} more with the data's plane at the same image"
            " than at"
            " other images.",
            beside=True,
        ),
        Contrast(
            claim=12,
            name="at strong augmentation",
            role="noted",
            unit="share",
            value=_share_of_ceiling("strong"),
            says="At strong augmentation the directions kept reach {} of the way.",
        ),
    ),
    scope="One network on CIFAR-10 at 16 pixels; planes of fixed dimension.",
)
