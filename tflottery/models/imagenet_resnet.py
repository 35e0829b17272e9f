"""Bottleneck ResNets for ImageNet (He et al., 2015), as in Linear Mode Connectivity.

The paper leaves two things open; both are as in its authors' later public code
(open_lth), which reaches the paper's 76.1%. A stage's stride is in the 3x3 convolution
of its first block, not in the 1x1 before it (which changes no count). All kernels are
pruned, projections and the head too, as in the paper's CIFAR-10 ResNets. Shortcuts that
change shape are 1x1 convolutions with batch norm.
"""

import functools
from typing import TYPE_CHECKING

from tflottery import layers
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.models.convolutions import convolution

if TYPE_CHECKING:
    import keras

_STEM_WIDTH = 64
_WIDTHS = (64, 128, 256, 512)
# Channels of a block's outputs, per channel of its 3x3 convolution.
_EXPANSION = 4

# Linear Mode Connectivity, Table 1. Momentum, weight decay and the warmup's shape are
# not in it: those of The Early Phase of Neural Network Training, and a linear rise. The
# grid of k joins those of the figures of dense and of sparse networks.
_STANDARD = Recipe(
    optimizer="sgd",
    learning_rate=0.4,
    batch_size=1024,
    training_iterations="90ep",
    momentum=0.9,
    weight_decay=1e-4,
    milestones=("30ep", "60ep", "80ep"),
    decay_factor=0.1,
    warmup="5ep",
    rewind_iterations=tuple(
        f"{epochs}ep" for epochs in (0, 2, 4, 6, 8, 10, 12, 16, 18, 20)
    ),
    # One pruning to exactly the studied density, which is not on the axis of 0.7^n.
    pruning_fraction=0.7,
    one_shot=True,
    num_levels=1,
    studied_density=0.3,
)


def resnet(
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    name: str,
    num_blocks: tuple[int, int, int, int],
) -> "keras.Model":
    """Returns a new network of 3 * sum(num_blocks) + 2 layers.

    Args:
      input_shape: (height, width, channels) of the images.
      num_classes: how many logits the network has.
      name: the model's name.
      num_blocks: residual blocks in each of the four stages.

    Returns:
      A model from images [batch, *input_shape] float32, normalized, to logits
      [batch, num_classes] float32.
    """
    import keras

    images = keras.Input(input_shape, name="images")
    x = convolution(images, _STEM_WIDTH, kernel_size=7, strides=2, name="stem")
    x = keras.layers.ReLU(name="stem_relu")(x)
    # After a ReLU, zeros around the images never exceed what the pool sees.
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_padding")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    for stage, (width, count) in enumerate(zip(_WIDTHS, num_blocks, strict=True), 1):
        for block in range(1, count + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            prefix = f"stage_{stage}_block_{block}"
            x = _block(x, width, strides=strides, prefix=prefix)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name=name)


def _block(
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


def _register(name: str, *num_blocks: int) -> None:
    """Registers the network of that many blocks in each stage."""
    function = functools.partial(resnet, name=name, num_blocks=num_blocks)
    MODELS.register(
        name,
        recipes={"standard": _STANDARD},
        dataset="imagenet2012",
        minimum_image_size=32,
    )(function)


_register("resnet50", 3, 4, 6, 3)
