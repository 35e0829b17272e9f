"""What the peers train: the same networks, batches and made-up data for all of them.

Only speed is measured, so images are noise around one template per class: learnable,
and without anything to download. A tenth of the labels is random, because a loss that
vanishes would fill gradients with denormal numbers, which are slow.
No framework is imported here.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

NUM_CLASSES = 10
# Of 255; CIFAR-10's published channel means and deviations, rounded.
PIXEL_MEAN = (125.3, 123.0, 113.9)
PIXEL_DEVIATION = (63.0, 62.1, 66.7)
RANDOM_LABEL_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Task:
    """A network and how it is trained.

    Attributes:
      model: name of the network, a key of `TASKS`.
      num_images: training images held in memory.
      image_shape: (784,) or (height, width, channels).
      batch_size: images per iteration.
      learning_rate: of Adam for lenet, of SGD with momentum 0.9 for the others.
      num_parameters: trainable parameters the network must have, as in the papers.
    """

    model: str
    num_images: int
    image_shape: tuple[int, ...]
    batch_size: int
    learning_rate: float
    num_parameters: int


TASKS = {
    task.model: task
    for task in (
        Task("lenet", 60_000, (784,), 60, 12e-4, 266_610),
        Task("resnet20", 50_000, (32, 32, 3), 128, 0.03, 272_474),
        Task("vgg16", 50_000, (32, 32, 3), 128, 0.03, 14_728_266),
    )
}


def task_of(model: str) -> Task:
    """Returns the task of a network; raises ValueError if there is none."""
    if model not in TASKS:
        raise ValueError(f"unknown model {model!r}, expected one of {sorted(TASKS)}")
    return TASKS[model]


def made_up_images(task: Task, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and labels with a class structure that can be learned.

    Args:
      task: says how many images and of which shape.
      seed: of numpy's generator; the same seed gives the same arrays.

    Returns:
      images: [num_images, *image_shape] uint8 in [0, 254].
      labels: [num_images] int64 in [0, 9].
    """
    generator = np.random.default_rng(seed)
    size = (task.num_images, *task.image_shape)
    templates = generator.integers(128, size=(NUM_CLASSES, *size[1:]), dtype=np.uint8)
    labels = generator.integers(NUM_CLASSES, size=task.num_images)
    images = generator.integers(128, size=size, dtype=np.uint8)
    images += templates[labels]
    is_random = generator.random(task.num_images) < RANDOM_LABEL_SHARE
    random_labels = generator.integers(NUM_CLASSES, size=task.num_images)
    return images, np.where(is_random, random_labels, labels)


def batches(task: Task, *, seed: int) -> Iterator[np.ndarray]:
    """Yields without end which images make up the next batch.

    Every epoch is a permutation of its own; what is left of it after its last whole
    batch is dropped.

    Yields:
      [batch_size] int64 in [0, num_images).
    """
    generator = np.random.default_rng(seed)
    num_batches = task.num_images // task.batch_size
    while True:
        order = generator.permutation(task.num_images)
        whole = order[: num_batches * task.batch_size]
        yield from whole.reshape(num_batches, task.batch_size)


def check_num_parameters(task: Task, num_parameters: int) -> None:
    """Raises ValueError if a network is not the one the papers trained."""
    if num_parameters != task.num_parameters:
        raise ValueError(
            f"{task.model} has {num_parameters:,} trainable parameters, "
            f"expected {task.num_parameters:,}"
        )
