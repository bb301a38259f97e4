"""How large a tier makes every training, and how many seeds it has."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """One tier.

    Attributes:
      seeds: Random seeds of every training.
      side: Height and width of the images.
      width: Channels of the first stage; the feature is four times as wide.
      stage_sizes: Blocks in each stage.
      steps: Factor on the steps of the table.
      most_steps: No training has more; 0 for no limit.
      batch_size: No training has larger batches; 0 for no limit.
      num_train: Training images; groups and probes take their own share.
      num_test: Test images.
      probe_labels: Labels that probes are fitted on.
      judged: Whether its tables may be judged; smoke tests the machinery and prints no word.
    """

    seeds: tuple[int, ...]
    side: int = 16
    width: int = 16
    stage_sizes: tuple[int, ...] = (1, 1, 1)
    steps: float = 1.0
    most_steps: int = 0
    batch_size: int = 0
    num_train: int = 50_000
    num_test: int = 10_000
    probe_labels: int = 50_000
    judged: bool = True


SIZES = {
    "smoke": Size(
        seeds=(0, 1, 2),
        width=4,
        most_steps=6,
        batch_size=16,
        num_train=256,
        num_test=200,
        probe_labels=256,
        judged=False,
    ),
    "laptop": Size(seeds=(0, 1, 2, 3, 4), probe_labels=10_000),
    "workstation": Size(seeds=(0, 1, 2, 3, 4), side=32, width=32, steps=5.0),
    "paper": Size(seeds=(0, 1, 2, 3, 4), side=32, width=64, stage_sizes=(2, 2, 2, 2), steps=20.0),
}
