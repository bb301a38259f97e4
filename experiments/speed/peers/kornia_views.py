"""kornia's augmentation of a batch."""
# pyright: reportMissingImports=false

import torch
from kornia.augmentation import (
    ColorJitter,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
)

from experiments.speed.augmentation_tasks import images
from experiments.speed.peers.torch_threads import use_given_threads
from experiments.speed.task import Task


def simclr_recipe() -> torch.nn.Module:
    """SimCLR's recipe for images of 32x32, without blur."""
    return torch.nn.Sequential(
        RandomResizedCrop((32, 32), scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
        RandomHorizontalFlip(p=0.5),
        ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        RandomGrayscale(p=0.2),
    )


def two_views_256() -> Task:
    """Two views of 256 images."""
    use_given_threads()
    stored = torch.from_numpy(images()).permute(0, 3, 1, 2).contiguous()
    recipe = simclr_recipe()

    def call() -> None:
        with torch.no_grad():
            pixels = stored.float() / 255
            recipe(pixels)
            recipe(pixels)

    return Task(call)
