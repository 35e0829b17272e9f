"""ResNets of ImageNet's design (He et al., 2015).

ResNet-50, of bottlenecks, is Linear Mode Connectivity's. The paper leaves two things
open; both are as in its authors' later public code (open_lth), which reaches the
paper's 76.1%. A stage's stride is in the 3x3 convolution of its first block, not in the
1x1 before it (which changes no count). All kernels are pruned, projections and the head
too, as in the paper's CIFAR-10 ResNets. Shortcuts that change shape are 1x1
convolutions with batch norm.

ResNet-18, of basic blocks, is The Early Phase of Neural Network Training's, on
CIFAR-10. Its stem on these images is not described: ImageNet's is taken, as 86.8% are
few for so many weights. The last stage then has maps of one pixel, so that most of its
weights meet zeros alone and only decay, which fits that the paper's weights shrink from
the start. `resnet18_cifar_stem` has the stem of CIFAR-10's networks. All kernels are
pruned: the densities on the paper's axes say so.

Finding Winning Tickets with Limited (or No) Supervision has both networks on either
data set and does not describe them: `resnet50_cifar_stem` is the like of
`resnet18_cifar_stem`. Heads are not pruned there.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from tflottery.core.recipes import PruningRecipe, Recipe, Recipes
from tflottery.core.registry import MODELS
from tflottery.models import limited_supervision, residual
from tflottery.models.cifar10_recipes import early_phase_recipe
from tflottery.models.residual import convolution

if TYPE_CHECKING:
    import keras

_WIDTHS = (64, 128, 256, 512)
# Channels of a block's outputs, per channel of its 3x3 convolution.
_EXPANSION = 4

# Linear Mode Connectivity, Table 1. Momentum, weight decay and the warmup's shape are
# not in it: those of The Early Phase of Neural Network Training, and a linear rise;
# nor is batch norm's first scale, for which see `core.initializers`. Sparse networks
# are rewound to other k than dense ones are copied at, of which 18 is named in the
# text.
_RESNET50 = Recipe(
    optimizer="sgd",
    learning_rate=0.4,
    batch_size=1024,
    training_iterations="90ep",
    momentum=0.9,
    weight_decay=1e-4,
    milestones=("30ep", "60ep", "80ep"),
    decay_factor=0.1,
    warmup="5ep",
    batch_norm_scale="uniform",
    pruning=PruningRecipe(
        rewind_iterations=tuple(f"{epochs}ep" for epochs in range(0, 13, 2)),
        dense_iterations=tuple(f"{epochs}ep" for epochs in (0, 4, 8, 12, 16, 18, 20)),
        # One pruning to exactly the studied density, which is not on the axis of 0.7^n.
        pruning_fraction=0.7,
        one_shot=True,
        num_levels=1,
        studied_density=0.3,
    ),
)
_RESNET18 = early_phase_recipe(
    perturbed_iterations=(500, 2000),
    num_levels=24,
    studied_density=0.035,
)


def resnet(
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    name: str,
    num_blocks: tuple[int, int, int, int],
    block: Callable[..., "keras.KerasTensor"],
    stem: Callable[..., "keras.KerasTensor"] = residual.imagenet_stem,
) -> "keras.Model":
    """Returns a new network.

    Args:
      input_shape: (height, width, channels) of the images.
      num_classes: how many logits the network has.
      name: the model's name.
      num_blocks: residual blocks in each of the four stages.
      block: `bottleneck` or `residual.basic_block`.
      stem: `residual.imagenet_stem` or `residual.cifar_stem`.

    Returns:
      A model from images [batch, *input_shape] float32, normalized, to logits
      [batch, num_classes] float32.
    """
    import keras

    images = keras.Input(input_shape, name="images")
    x = stem(images, _WIDTHS[0])
    x = residual.stages(x, _WIDTHS, num_blocks=num_blocks, block=block)
    return residual.classifier(images, x, num_classes=num_classes, name=name)


def bottleneck(
    inputs: "keras.KerasTensor", width: int, *, strides: int, prefix: str
) -> "keras.KerasTensor":
    """Returns the outputs of one bottleneck: convolutions 1x1, 3x3, 1x1."""
    import keras

    x = convolution(inputs, width, kernel_size=1, name=f"{prefix}_conv_1")
    x = keras.layers.ReLU(name=f"{prefix}_relu_1")(x)
    x = convolution(x, width, kernel_size=3, strides=strides, name=f"{prefix}_conv_2")
    x = keras.layers.ReLU(name=f"{prefix}_relu_2")(x)
    wide = _EXPANSION * width
    x = convolution(x, wide, kernel_size=1, name=f"{prefix}_conv_3")
    if strides > 1 or inputs.shape[-1] != wide:
        inputs = convolution(
            inputs, wide, kernel_size=1, strides=strides, name=f"{prefix}_shortcut"
        )
    x = keras.layers.Add(name=f"{prefix}_add")([x, inputs])
    return keras.layers.ReLU(name=f"{prefix}_relu_3")(x)


# Residual blocks in each stage, and their kind.
_BLOCKS = {
    "resnet18": ((2, 2, 2, 2), residual.basic_block),
    "resnet50": ((3, 4, 6, 3), bottleneck),
}


def _register(
    name: str,
    *,
    recipes: Recipes,
    dataset: str = "cifar10",
    stem: Callable[..., "keras.KerasTensor"] = residual.imagenet_stem,
) -> None:
    """Registers a ResNet-18 or ResNet-50 with that stem."""
    network = name.removesuffix("_cifar_stem")
    num_blocks, block = _BLOCKS[network]
    function = functools.partial(
        resnet, name=name, num_blocks=num_blocks, block=block, stem=stem
    )
    MODELS.register(
        name,
        recipes={**recipes, **limited_supervision.recipes_of(network)},
        dataset=dataset,
        # At the smallest size every stage still halves the maps of the one before.
        minimum_image_size=32 if stem is residual.imagenet_stem else 16,
    )(function)


_EARLY_PHASE = {"early_phase": _RESNET18}
_register("resnet18", recipes=_EARLY_PHASE)
_register("resnet18_cifar_stem", recipes=_EARLY_PHASE, stem=residual.cifar_stem)
_register("resnet50", recipes={"standard": _RESNET50}, dataset="imagenet2012")
_register("resnet50_cifar_stem", recipes={}, stem=residual.cifar_stem)
