"""MNIST: 60,000 and 10,000 images of 28 x 28 x 1, kept in plain [0, 1].

The papers do not say how they are scaled. Standardized images bring LeNet's copies as
near to each other as the paper's and cost accuracy that the paper has (experiments/
linear_mode_connectivity/lenet_options): [0, 1] stays.
"""

import dataclasses
import functools
import pathlib

from tflottery.core.recipes import Recipe
from tflottery.core.registry import DATASETS
from tflottery.datasets import tfds_source
from tflottery.datasets.arrays import RawSource

_EDITION = functools.partial(tfds_source.edition, "mnist")


def adapted(recipe: Recipe) -> Recipe:
    """Returns the recipe as it is: the papers' MNIST has no augmentation."""
    return recipe


@DATASETS.register("mnist", adapt_recipe=adapted, version=_EDITION, keeps_size=True)
def mnist(
    *, data_dir: str | None, minimum_image_size: int, working_dir: pathlib.Path
) -> RawSource:
    """Returns MNIST from tensorflow-datasets.

    Args:
      data_dir: folder of prepared tensorflow-datasets; None is their default.
      minimum_image_size: not used; images keep their size.
      working_dir: where they are read to.
    """
    raw = tfds_source.read("mnist", data_dir=data_dir, working_dir=working_dir)
    return dataclasses.replace(raw, normalized=False)
