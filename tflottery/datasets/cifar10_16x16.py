"""CIFAR-10 averaged to 16 x 16 x 3: small enough for a network of dense layers.

Each pixel is the mean of four. Images are flipped and moved by up to two pixels, as far
for their size as the papers' four. No paper trains on them: with `lenet_batch_norm`
they show within an hour of a laptop what the papers' networks show in months.
"""

import dataclasses
import functools
import pathlib

import numpy as np

from tflottery.core.recipes import Recipe
from tflottery.core.registry import DATASETS
from tflottery.datasets import tfds_source
from tflottery.datasets.arrays import RawSource

_EDITION = functools.partial(tfds_source.edition, "cifar10")
_FACTOR = 2


def adapted(recipe: Recipe) -> Recipe:
    """Returns the recipe with the augmentation that goes with small images."""
    return dataclasses.replace(recipe, augmentation="flip_crop_2")


@DATASETS.register(
    "cifar10_16x16", adapt_recipe=adapted, version=_EDITION, keeps_size=True
)
def cifar10_16x16(
    *, data_dir: str | None, minimum_image_size: int, working_dir: pathlib.Path
) -> RawSource:
    """Returns CIFAR-10 from tensorflow-datasets, at half its size.

    Args:
      data_dir: folder of prepared tensorflow-datasets; None is their default.
      minimum_image_size: not used; images keep their size.
      working_dir: where CIFAR-10 is read to.
    """
    raw = tfds_source.read("cifar10", data_dir=data_dir, working_dir=working_dir)
    return dataclasses.replace(
        raw,
        version=f"{raw.version}-16x16",
        train_images=averaged(raw.train_images),
        test_images=averaged(raw.test_images),
    )


def averaged(images: np.ndarray) -> np.ndarray:
    """Returns images of half the size, each pixel the mean of four, halves up.

    Args:
      images: [examples, height, width, channels] uint8, of even height and width.
    """
    examples, height, width, channels = images.shape
    tiles = images.reshape(
        examples, height // _FACTOR, _FACTOR, width // _FACTOR, _FACTOR, channels
    )
    sums = tiles.sum(axis=(2, 4), dtype=np.uint16)
    return ((sums + _FACTOR**2 // 2) // _FACTOR**2).astype(np.uint8)
