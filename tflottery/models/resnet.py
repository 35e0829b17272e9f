"""ResNets for CIFAR-10 (He et al., 2015, section 4.2).

Linear Mode Connectivity and The Early Phase of Neural Network Training use them.
Shortcuts that change shape are 1x1 convolutions with batch norm ("option B"), which the
papers' parameter counts need. All kernels are pruned: projections and the head too.
Finding Winning Tickets does not have them; with its variant, which leaves out the head,
they are small networks to try its experiments with.
"""

import functools
from typing import TYPE_CHECKING

from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.models import limited_supervision, residual
from tflottery.models.cifar10_recipes import cifar10_recipes, early_phase_recipe

if TYPE_CHECKING:
    import keras

_WIDTHS = (16, 32, 64)


def resnet(
    *, input_shape: tuple[int, int, int], num_classes: int, name: str, num_blocks: int
) -> "keras.Model":
    """Returns a new network of 6 * num_blocks + 2 layers.

    Args:
      input_shape: (height, width, channels) of the images.
      num_classes: how many logits the network has.
      name: the model's name.
      num_blocks: residual blocks in each of the three stages.

    Returns:
      A model from images [batch, *input_shape] float32, normalized, to logits
      [batch, num_classes] float32.
    """
    import keras

    images = keras.Input(input_shape, name="images")
    x = residual.cifar_stem(images, _WIDTHS[0])
    x = residual.stages(
        x, _WIDTHS, num_blocks=(num_blocks,) * 3, block=residual.basic_block
    )
    return residual.classifier(images, x, num_classes=num_classes, name=name)


_RECIPES = cifar10_recipes(
    warmup_learning_rate=0.03,
    rewind_iterations=(0, 100, 250, 500, 1000, 2000, 5000, 10_000),
    num_levels=14,
    studied_densities=(0.168, 0.086, 0.069),
)


def _register(name: str, *, num_blocks: int, early_phase: Recipe) -> None:
    """Registers the network of that many blocks in a stage."""
    function = functools.partial(resnet, name=name, num_blocks=num_blocks)
    MODELS.register(
        name,
        recipes={
            **_RECIPES,
            "early_phase": early_phase,
            **limited_supervision.recipes_of(name),
        },
        dataset="cifar10",
        minimum_image_size=16,
    )(function)


# The k whose weights are perturbed are those that the text of The Early Phase names for
# ResNet-20, and those in the legends of ResNet-56's figures.
_register(
    "resnet20",
    num_blocks=3,
    early_phase=early_phase_recipe(
        perturbed_iterations=(500, 2000),
        num_levels=14,
        studied_density=0.168,
    ),
)
_register(
    "resnet56",
    num_blocks=9,
    early_phase=early_phase_recipe(
        perturbed_iterations=(500, 2000),
        num_levels=18,
        studied_density=0.168,
    ),
)
