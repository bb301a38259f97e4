"""torchvision's augmentation, an image at a time, as its users' data loaders run it."""
# pyright: reportMissingImports=false

from PIL import Image
from torchvision import transforms

from experiments.speed.augmentation_tasks import images
from experiments.speed.peers.torch_threads import use_given_threads
from experiments.speed.task import Task


def two_views_256() -> Task:
    """Two views of 256 images, from Pillow images to tensors."""
    use_given_threads()
    stored = [Image.fromarray(image) for image in images()]
    recipe = transforms.Compose(
        [
            transforms.RandomResizedCrop(32, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.ToTensor(),
        ]
    )

    def call() -> None:
        for image in stored:
            recipe(image)
            recipe(image)

    return Task(call)
