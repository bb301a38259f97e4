"""The same networks in PyTorch, channels last, eager: what most trainers run on a CPU."""
# pyright: reportMissingImports=false

import torch
from torch import nn
from torch.nn import functional

from experiments.speed.peers.torch_threads import use_given_threads
from experiments.speed.task import Task


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        return functional.relu(self.shortcut(x) + self.branch(x))


class ResNet(nn.Module):
    """A residual encoder with the stem of CIFAR, and an MLP head.

    Args:
      width: Channels of the first stage.
      stages: Blocks in each.
      head: Widths of the head's two layers.
    """

    def __init__(self, width: int, stages: tuple[int, ...], head: tuple[int, int]):
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
        for stage, blocks in enumerate(stages):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layers.append(_Block(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.encoder = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(channels, head[0]), nn.ReLU(), nn.Linear(head[0], head[1])
        )

    def forward(self, x):
        """Embeddings of images."""
        return self.head(self.encoder(x).mean(dim=(2, 3)))


def nt_xent(embeddings: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    """NT-Xent of embeddings whose rows 2i and 2i + 1 are the views of image i."""
    rows = functional.normalize(embeddings)
    logits = rows @ rows.T / temperature
    logits.fill_diagonal_(float("-inf"))
    partner = torch.arange(len(rows), device=rows.device) ^ 1
    return functional.cross_entropy(logits, partner)


def _step(model: ResNet, optimizer: torch.optim.Optimizer, views: int) -> Task:
    use_given_threads()
    images = torch.randn(views, 3, 32, 32).to(memory_format=torch.channels_last)
    model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def call() -> None:
        optimizer.zero_grad()
        nt_xent(model(images)).backward()
        optimizer.step()

    return Task(call, check=float(sum(parameter.numel() for parameter in model.parameters())))


def resnet_w16() -> Task:
    """A training step: width 16, a block a stage, 256 views, SGD with momentum."""
    model = ResNet(16, (1, 1, 1, 1), (128, 128))
    return _step(model, torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9), 256)


def resnet18() -> Task:
    """A training step: ResNet-18, 8 pairs, AdamW."""
    model = ResNet(64, (2, 2, 2, 2), (2048, 256))
    return _step(model, torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4), 16)
