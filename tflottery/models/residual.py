"""What residual networks are made of, for CIFAR-10 and ImageNet (He et al., 2015).

Shortcuts that change shape are 1x1 convolutions with batch norm ("option B").
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def cifar_stem(images: "keras.KerasTensor", width: int) -> "keras.KerasTensor":
    """Returns maps of the images' size: a 3x3 convolution's."""
    import keras

    x = convolution(images, width, kernel_size=3, name="stem")
    return keras.layers.ReLU(name="stem_relu")(x)


def imagenet_stem(images: "keras.KerasTensor", width: int) -> "keras.KerasTensor":
    """Returns maps of a quarter of the images' size: a 7x7 convolution's, pooled."""
    import keras

    x = convolution(images, width, kernel_size=7, strides=2, name="stem")
    x = keras.layers.ReLU(name="stem_relu")(x)
    # After a ReLU, zeros around the images never exceed what the pool sees.
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_padding")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)


def stages(
    x: "keras.KerasTensor",
    widths: tuple[int, ...],
    *,
    num_blocks: tuple[int, ...],
    block: Callable[..., "keras.KerasTensor"],
) -> "keras.KerasTensor":
    """Returns the outputs of all stages; each but the first halves the maps.

    Args:
      x: the stem's outputs.
      widths: channels of the 3x3 convolutions in each stage.
      num_blocks: residual blocks in each stage.
      block: a function such as `basic_block`.
    """
    for stage, (width, count) in enumerate(zip(widths, num_blocks, strict=True), 1):
        for index in range(1, count + 1):
            strides = 2 if stage > 1 and index == 1 else 1
            prefix = f"stage_{stage}_block_{index}"
            x = block(x, width, strides=strides, prefix=prefix)
    return x


def basic_block(
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


def classifier(
    images: "keras.KerasTensor",
    maps: "keras.KerasTensor",
    *,
    num_classes: int,
    name: str,
) -> "keras.Model":
    """Returns the model from images to logits of the maps' average."""
    import keras

    from tflottery import layers

    x = keras.layers.GlobalAveragePooling2D(name="average")(maps)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name=name)


def convolution(
    inputs: "keras.KerasTensor",
    width: int,
    *,
    kernel_size: int,
    name: str,
    strides: int = 1,
) -> "keras.KerasTensor":
    """Returns the normalized outputs of a convolution without bias."""
    from tflottery import layers

    x = bare_convolution(
        inputs, width, kernel_size=kernel_size, name=name, strides=strides
    )
    return layers.BatchNormalization(name=f"{name}_norm")(x)


def bare_convolution(
    inputs: "keras.KerasTensor",
    width: int,
    *,
    kernel_size: int,
    name: str,
    strides: int = 1,
) -> "keras.KerasTensor":
    """Returns the outputs of a convolution without bias, not normalized."""
    import keras

    from tflottery import layers

    padding = "same"
    if kernel_size > 1 and strides > 1:
        # "same" would pad the far side only, and move the outputs by half a pixel
        # against the shortcut's.
        margin = kernel_size // 2
        inputs = keras.layers.ZeroPadding2D(margin, name=f"{name}_padding")(inputs)
        padding = "valid"
    return layers.MaskedConv2D(
        width, kernel_size, strides=strides, padding=padding, use_bias=False, name=name
    )(inputs)
