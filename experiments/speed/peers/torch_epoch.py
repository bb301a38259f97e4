"""An epoch of SimCLR in PyTorch on a GPU: compiled, channels last, bfloat16, kornia's views."""
# pyright: reportMissingImports=false

import torch

from experiments.speed.gpu_tasks import BATCH, IMAGES, stored_images
from experiments.speed.peers.kornia_views import simclr_recipe
from experiments.speed.peers.torch_resnet import ResNet, nt_xent
from experiments.speed.task import Task


def epoch() -> Task:
    """ResNet-18 on images of CIFAR's shape, all augmentation on the device."""
    device = torch.device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = True
    images = torch.from_numpy(stored_images()).to(device).permute(0, 3, 1, 2).contiguous()
    model = ResNet(64, (2, 2, 2, 2), (2048, 128)).to(device)
    model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    network = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    recipe = simclr_recipe().to(device)

    def call() -> None:
        order = torch.randperm(IMAGES, device=device)
        for start in range(0, IMAGES - BATCH + 1, BATCH):
            pixels = images[order[start : start + BATCH]].float() / 255
            views = torch.stack([recipe(pixels), recipe(pixels)], dim=1).flatten(0, 1)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16):
                embeddings = network(views.contiguous(memory_format=torch.channels_last))
            nt_xent(embeddings.float()).backward()
            optimizer.step()
        torch.cuda.synchronize()

    return Task(call)
