"""ResNets for CIFAR-10 (He et al., 2015, section 4.2), as in Linear Mode Connectivity.

Shortcuts that change shape are 1x1 convolutions with batch norm ("option B"), which the
papers' parameter counts need. All kernels are pruned: projections and the head too.
"""

import functools
from typing import TYPE_CHECKING

from tflottery import layers
from tflottery.core.registry import MODELS
from tflottery.models.convolutions import convolution
from tflottery.models.recipes import cifar10_recipes

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
    x = convolution(images, _WIDTHS[0], kernel_size=3, name="stem")
    x = keras.layers.ReLU(name="stem_relu")(x)
    for stage, width in enumerate(_WIDTHS, start=1):
        for block in range(1, num_blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            prefix = f"stage_{stage}_block_{block}"
            x = _block(x, width, strides=strides, prefix=prefix)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name=name)


def _block(
    inputs: "keras.KerasTensor", width: int, *, strides: int, prefix: str
) -> "keras.KerasTensor":
    """Returns the outputs of one residual block of two convolutions."""
    import keras

    x = convolution(
        inputs, width, kernel_size=3, strides=strides, name=f"{prefix}_conv_1"
    )
    x = keras.layers.ReLU(name=f"{prefix}_relu_1")(x)
    x = convolution(x, width, kernel_size=3, name=f"{prefix}_conv_2")
    if strides > 1 or inputs.shape[-1] != width:
        inputs = convolution(
            inputs, width, kernel_size=1, strides=strides, name=f"{prefix}_shortcut"
        )
    x = keras.layers.Add(name=f"{prefix}_add")([x, inputs])
    return keras.layers.ReLU(name=f"{prefix}_relu_2")(x)


_RECIPES = cifar10_recipes(
    warmup_learning_rate=0.03,
    rewind_iterations=(0, 100, 250, 500, 1000, 2000, 5000, 10_000),
    num_levels=14,
    studied_densities=(0.168, 0.086, 0.069),
)


def _register(name: str, *, num_blocks: int) -> None:
    """Registers the network of that many blocks in a stage."""
    function = functools.partial(resnet, name=name, num_blocks=num_blocks)
    MODELS.register(name, recipes=_RECIPES, dataset="cifar10", minimum_image_size=16)(
        function
    )


_register("resnet20", num_blocks=3)
_register("resnet56", num_blocks=9)
