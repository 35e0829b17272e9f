"""VGGs for CIFAR-10 (after Liu et al., 2019).

Convolutions with bias and batch norm, four 2x2 max pools, a global average and one
dense layer: the papers' counts need the bias, and their axes say that the last layer is
not pruned. Linear Mode Connectivity trains VGG-16; the other depths use its recipes.
The Early Phase of Neural Network Training trains VGG-13; Finding Winning Tickets with
Limited (or No) Supervision trains VGG-19, and counts zeros in the other depths.
"""

import functools
from typing import TYPE_CHECKING

from tflottery.core.recipes import Recipes
from tflottery.core.registry import MODELS
from tflottery.models import limited_supervision
from tflottery.models.cifar10_recipes import cifar10_recipes, early_phase_recipe

if TYPE_CHECKING:
    import keras

_WIDTHS = (64, 128, 256, 512, 512)


def vgg(
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    name: str,
    num_convolutions: tuple[int, int, int, int, int],
) -> "keras.Model":
    """Returns a new VGG.

    Args:
      input_shape: (height, width, channels) of the images.
      num_classes: how many logits the network has.
      name: the model's name.
      num_convolutions: how many each of the five stages has; a max pool lies between.

    Returns:
      A model from images [batch, *input_shape] float32, normalized, to logits
      [batch, num_classes] float32.
    """
    import keras

    from tflottery import layers

    images = x = keras.Input(input_shape, name="images")
    index = 0
    for stage, (width, count) in enumerate(zip(_WIDTHS, num_convolutions, strict=True)):
        if stage:
            x = keras.layers.MaxPooling2D(2, name=f"pool_{stage}")(x)
        for _ in range(count):
            index += 1
            conv = layers.MaskedConv2D(width, 3, padding="same", name=f"conv_{index}")
            norm = layers.BatchNormalization(name=f"conv_{index}_norm")
            x = keras.layers.ReLU(name=f"conv_{index}_relu")(norm(conv(x)))
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name=name)


_RECIPES = cifar10_recipes(
    warmup_learning_rate=0.1,
    rewind_iterations=(0, 25, 50, 100, 250, 500, 1000, 2000, 5000, 10_000),
    num_levels=24,
    studied_densities=(0.015, 0.055, 0.015),
    unpruned=("head",),
)
# More k: the legend of The Early Phase's Figure A2, which goes to 1000.
_EARLY_PHASE = early_phase_recipe(
    batch_size=64,
    more_iterations=(10, 50),
    perturbed_iterations=(250, 500),
    num_levels=24,
    studied_density=0.008,
    unpruned=("head",),
)


def _register(name: str, *num_convolutions: int, recipes: Recipes = _RECIPES) -> None:
    """Registers the network of that many convolutions in each stage."""
    function = functools.partial(vgg, name=name, num_convolutions=num_convolutions)
    MODELS.register(
        name,
        recipes={**recipes, **limited_supervision.recipes_of(name)},
        dataset="cifar10",
        minimum_image_size=16,
    )(function)


_register("vgg11", 1, 1, 2, 2, 2)
_register("vgg13", 2, 2, 2, 2, 2, recipes={**_RECIPES, "early_phase": _EARLY_PHASE})
_register("vgg16", 2, 2, 3, 3, 3)
_register("vgg19", 2, 2, 4, 4, 4)
