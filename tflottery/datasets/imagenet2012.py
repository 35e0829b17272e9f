"""ImageNet (ILSVRC 2012): 1,281,167 and 50,000 photographs of many sizes.

They are of 1,000 classes.

Its test labels are kept secret: what is called test error is that of the 50,000
validation images, as in the papers. Which part of an image is seen in training, and
measured, is said in `crops`.
"""

import dataclasses
import functools
import pathlib

from tflottery.core.recipes import RESIZED_CROP, Recipe
from tflottery.core.registry import DATASETS
from tflottery.datasets import tfds_source
from tflottery.datasets.arrays import RawSource

_EDITION = functools.partial(tfds_source.edition, "imagenet2012")


def adapted(recipe: Recipe) -> Recipe:
    """Returns the recipe with the augmentation that goes with ImageNet."""
    return dataclasses.replace(recipe, augmentation=RESIZED_CROP)


@DATASETS.register(
    "imagenet2012", adapt_recipe=adapted, version=_EDITION, keeps_size=True
)
def imagenet2012(
    *, data_dir: str | None, minimum_image_size: int, working_dir: pathlib.Path
) -> RawSource:
    """Returns where the images of ImageNet are, as tensorflow-datasets prepared them.

    Args:
      data_dir: folder of prepared tensorflow-datasets; None is their default.
      minimum_image_size: not used; what is shown of an image is made as large as asked.
      working_dir: where it is written to.
    """
    return tfds_source.read("imagenet2012", data_dir=data_dir, working_dir=working_dir)
