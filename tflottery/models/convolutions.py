"""The convolution that residual networks are made of, for CIFAR-10 and ImageNet."""

from typing import TYPE_CHECKING

from tflottery import layers

if TYPE_CHECKING:
    import keras


def convolution(
    inputs: "keras.KerasTensor",
    width: int,
    *,
    kernel_size: int,
    name: str,
    strides: int = 1,
) -> "keras.KerasTensor":
    """Returns the normalized outputs of a convolution without bias."""
    import keras

    padding = "same"
    if kernel_size > 1 and strides > 1:
        # "same" would pad the far side only, and move the outputs by half a pixel
        # against the shortcut's.
        margin = kernel_size // 2
        inputs = keras.layers.ZeroPadding2D(margin, name=f"{name}_padding")(inputs)
        padding = "valid"
    x = layers.MaskedConv2D(
        width, kernel_size, strides=strides, padding=padding, use_bias=False, name=name
    )(inputs)
    return layers.BatchNormalization(name=f"{name}_norm")(x)
