"""lightly's NT-Xent."""
# pyright: reportMissingImports=false

import torch
from lightly.loss import NTXentLoss

from experiments.speed.loss_tasks import TEMPERATURE, embeddings
from experiments.speed.peers.torch_threads import use_given_threads
from experiments.speed.task import Task


def nt_xent_512() -> Task:
    """The loss of 512 pairs of width 128, and its gradient."""
    use_given_threads()
    views = [torch.from_numpy(view).requires_grad_() for view in embeddings(512)]
    loss = NTXentLoss(temperature=TEMPERATURE)

    def call() -> None:
        torch.autograd.grad(loss(*views), views)

    return Task(call, check=float(loss(*views)))
