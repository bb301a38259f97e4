r"""What chips have to tell each other in one training step, on paper.

A step on n chips with a global batch of B images (2 B views) sends, per chip:

* gradients: a ring all-reduce of P parameters, 2 (n - 1)/n P s_p bytes;
* normalization: an all-reduce of mean and square of C channels forward, and of two sums backward,
  4 (n - 1)/n 2 C s_p bytes;
* the loss. NT-Xent and SupCon compare every view with every other: embeddings of width d are
  gathered forward, and the gradients of what was gathered are scattered backward, together
  2 (n - 1)/n 2 B d s_e bytes (SupCon: and 2 B labels of 4 bytes forward). The spectral loss, VICReg
  and Barlow Twins need second moments only, whatever the batch: an all-reduce of (d, d) matrices,
  2 (n - 1)/n m d^2 s_e bytes, with m = 1 for the spectral loss (covariance of all views) and for
  Barlow Twins (cross-correlation), m = 2 for VICReg (each view's covariance).

Times follow from a chip's usable link bandwidth; a network that is switched or overlaps with
computation is faster than this. Derived by counting; the constants of the v5e are those of its
public specification.
"""

from typing import NamedTuple

LOSSES = ("nt_xent", "supervised_contrastive", "spectral", "vicreg", "barlow_twins")
_MOMENTS = {"spectral": 1, "barlow_twins": 1, "vicreg": 2}


class Chip(NamedTuple):
    """What a chip computes and sends.

    Attributes:
      peak: Floating-point operations a second.
      utilization: Share of them that training reaches.
      links: Bytes a second that it sends over all its links together.
    """

    peak: float
    utilization: float
    links: float


V5E = Chip(peak=197e12, utilization=0.4, links=4 * 45e9)
"""TPU v5e: 197 TFLOP/s in bfloat16, four links of 45 GB/s each way; 40 % of the peak is assumed."""


class Work(NamedTuple):
    """What one step has to do.

    Attributes:
      batch: Images a step, over all chips.
      flops: Operations of the encoder and the head for one view, forward.
      parameters: Trained numbers.
      channels: Channels of all normalization layers together.
      width: Of the embedding.
      parameter_bytes: Of one parameter or gradient.
      embedding_bytes: Of one number of an embedding.
    """

    batch: int
    flops: float
    parameters: int
    channels: int
    width: int
    parameter_bytes: int = 4
    embedding_bytes: int = 4


class StepBytes(NamedTuple):
    """Bytes that one chip sends in one step, by reason."""

    gradients: float
    normalization: float
    loss: float


class StepSeconds(NamedTuple):
    """Seconds of one step, by what takes them; nothing is assumed to overlap."""

    encoder: float
    logits: float
    gradients: float
    normalization: float
    loss: float

    @property
    def lost(self) -> float:
        """Share of the step that is communication."""
        sent = self.gradients + self.normalization + self.loss
        return sent / (sent + self.encoder + self.logits)


RESNET18_CIFAR = Work(
    batch=512, flops=2 * 0.5558e9, parameters=11_500_000, channels=5_312, width=128
)
"""ResNet-18 with the 3x3 stem on 32x32 images: 0.556 G multiply-adds a view; head 512-512-128."""


def step_bytes(loss: str, work: Work, chips: int) -> StepBytes:
    """Bytes that each chip sends in a step.

    Args:
      loss: One of `LOSSES`.
      work: What the step does.
      chips: How many share it, at least 1.

    Returns:
      Bytes by reason; all 0 on one chip.
    """
    ring = (chips - 1) / chips
    gradients = 2 * ring * work.parameters * work.parameter_bytes
    normalization = 4 * ring * 2 * work.channels * work.parameter_bytes
    if loss in _MOMENTS:
        numbers = _MOMENTS[loss] * work.width**2
        return StepBytes(gradients, normalization, 2 * ring * numbers * work.embedding_bytes)
    gathered = 2 * work.batch * work.width * work.embedding_bytes
    labels = 2 * work.batch * 4 if loss == "supervised_contrastive" else 0
    return StepBytes(gradients, normalization, 2 * ring * gathered + ring * labels)


def step_seconds(loss: str, work: Work, chips: int, chip: Chip = V5E) -> StepSeconds:
    """Seconds of a step on paper.

    Args:
      loss: One of `LOSSES`.
      work: What the step does.
      chips: How many share it.
      chip: What each can do.

    Returns:
      Seconds by reason. Backward costs twice forward; logits are the products of every view with
      every other (NT-Xent, SupCon) or of embeddings with themselves (the others).
    """
    speed = chip.peak * chip.utilization
    views = 2 * work.batch
    pairs = views * views if loss not in _MOMENTS else _MOMENTS[loss] * views * work.width
    sent = step_bytes(loss, work, chips)
    return StepSeconds(
        encoder=3 * views * work.flops / chips / speed,
        logits=3 * 2 * pairs * work.width / chips / speed,
        gradients=sent.gradients / chip.links,
        normalization=sent.normalization / chip.links,
        loss=sent.loss / chip.links,
    )


def gather_crossover(work: Work, batch_per_chip: int, chip: Chip = V5E) -> float:
    """Global batch beyond which NT-Xent's gather takes longer than the encoder.

    With the batch of a chip kept, the gather grows with the number of chips and the encoder's time
    does not: they are equal at n chips with 2 (2 b n d s) / links = 3 (2 b) F / speed, the factor
    (n - 1)/n taken as 1.

    Args:
      work: Widths and operations; its batch is not used.
      batch_per_chip: Images a chip.
      chip: What each can do.

    Returns:
      The batch, in images.
    """
    encoder = 3 * work.flops / (chip.peak * chip.utilization)
    gather = 2 * work.width * work.embedding_bytes / chip.links
    return batch_per_chip * encoder / gather


def logits_crossover(work: Work) -> float:
    """Global batch beyond which NT-Xent's logits take more operations than the encoder.

    4 B^2 d products against 2 B F / 2 multiply-adds: B = F / (4 d), on any number of chips.

    Args:
      work: Widths and operations; its batch is not used.

    Returns:
      The batch, in images.
    """
    return work.flops / (4 * work.width)
