"""CIFAR-10: 50,000 and 10,000 images of 32 x 32 x 3, flipped and cropped in training.

The papers name normalization, random flips and random crops by up to four pixels.
"""

import dataclasses
import functools
import pathlib

from tflottery.core.recipes import Recipe
from tflottery.core.registry import DATASETS
from tflottery.datasets import tfds_source
from tflottery.datasets.arrays import RawSource

_EDITION = functools.partial(tfds_source.edition, "cifar10")


def adapted(recipe: Recipe) -> Recipe:
    """Returns the recipe with the augmentation that goes with CIFAR-10."""
    return dataclasses.replace(recipe, augmentation="flip_crop")


@DATASETS.register("cifar10", adapt_recipe=adapted, version=_EDITION, keeps_size=True)
def cifar10(
    *, data_dir: str | None, minimum_image_size: int, working_dir: pathlib.Path
) -> RawSource:
    """Returns CIFAR-10 from tensorflow-datasets.

    Args:
      data_dir: folder of prepared tensorflow-datasets; None is their default.
      minimum_image_size: not used; images keep their size.
      working_dir: where they are read to.
    """
    return tfds_source.read("cifar10", data_dir=data_dir, working_dir=working_dir)
