"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8, no network needed.

Every fifth example is a test example. A model that needs larger images gets 32 x 32 x 3
ones: each pixel four times in both directions, the same in all three channels.

No paper trains on them. Recipes are cut to a length that suits 1,437 training images,
and Adam's learning rate is raised so far that a dense network is unstable at
initialization and stable soon after, as the papers' larger ones are.
"""

import pathlib

import numpy as np

from tflottery.core import recipes
from tflottery.core.recipes import Recipe
from tflottery.core.registry import DATASETS
from tflottery.datasets.arrays import RawSource

VERSION = 1
TEST_EVERY = 5
TRAINING_ITERATIONS = 600
ADAM_FACTOR = 25
REWIND_ITERATIONS = (0, 10, 25, 50, 100)
_UPSCALING = 4
_BRIGHTEST = 16


def adapted(recipe: Recipe) -> Recipe:
    """Returns the recipe of the digits.

    Args:
      recipe: resolved; its milestones and warmup scale with the training.
    """
    recipe = recipes.with_length(recipe, TRAINING_ITERATIONS)
    if recipe.optimizer != "adam":
        return recipe
    return recipes.replaced(
        recipe,
        learning_rate=ADAM_FACTOR * recipe.learning_rate,
        rewind_iterations=REWIND_ITERATIONS,
        dense_iterations=(),
    )


@DATASETS.register("digits", adapt_recipe=adapted, version=VERSION)
def digits(
    *, data_dir: str | None, minimum_image_size: int, working_dir: pathlib.Path
) -> RawSource:
    """Returns the digits, in the form that suits the smallest image allowed.

    Args:
      data_dir: not used; the images come with scikit-learn.
      minimum_image_size: up to 8, images are [8, 8, 1]; above, [32, 32, 3].
      working_dir: not used; nothing is written on the way.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # Brightness is a whole number in [0, 16]; 255 // 16 would leave white at 240.
    images = np.rint(bunch.images * (255 / _BRIGHTEST)).astype(np.uint8)[..., None]
    version = f"{VERSION}-8x8x1"
    if minimum_image_size > images.shape[1]:
        images = images.repeat(_UPSCALING, axis=1).repeat(_UPSCALING, axis=2)
        images = images.repeat(3, axis=3)
        version = f"{VERSION}-32x32x3"
    labels = bunch.target.astype(np.int32)
    is_test = np.arange(len(labels)) % TEST_EVERY == 0
    return RawSource(
        version=version,
        train_images=images[~is_test],
        train_labels=labels[~is_test],
        test_images=images[is_test],
        test_labels=labels[is_test],
        num_classes=10,
        normalized=False,
    )
