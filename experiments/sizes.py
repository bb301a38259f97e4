"""How large the trainings of each scale are."""

from dataclasses import dataclass

from ssljax.config.config import EncoderConfig

SIDE = 16


@dataclass(frozen=True)
class Size:
    """How large the trainings of a scale are.

    Attributes:
      seeds: Random seeds of every training.
      encoder: The network before the head.
      num_train: Images trained on.
      num_test: Images tested on.
      side: Height and width.
      batch_size: Images a step.
      num_steps: Steps.
      linear_steps: Steps where the head is linear.
      ledger_steps: Steps of the trainings by plain descent, whose step is small.
      precision: Of the computation.
    """

    seeds: tuple[int, ...]
    encoder: EncoderConfig
    num_train: int
    num_test: int
    side: int
    batch_size: int
    num_steps: int
    linear_steps: int
    ledger_steps: int
    precision: str = "float32"


SIZES = {
    "smoke": Size(
        seeds=(0, 1),
        encoder=EncoderConfig(kind="mlp", widths=(32, 16), norm="none", feature_activation=True),
        num_train=512,
        num_test=256,
        side=SIDE,
        batch_size=64,
        num_steps=20,
        linear_steps=20,
        ledger_steps=40,
    ),
    "laptop": Size(
        seeds=(0, 1, 2),
        encoder=EncoderConfig(width=16, stage_sizes=(1, 1, 1)),
        num_train=10_000,
        num_test=2_000,
        side=SIDE,
        batch_size=128,
        num_steps=300,
        linear_steps=600,
        ledger_steps=1000,
    ),
    "paper": Size(
        seeds=(0, 1, 2),
        encoder=EncoderConfig(depth=18, width=64),
        num_train=50_000,
        num_test=10_000,
        side=32,
        batch_size=512,
        num_steps=19_400,
        linear_steps=19_400,
        ledger_steps=5000,
        precision="bfloat16",
    ),
}
