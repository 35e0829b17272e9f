"""AlexNet (Krizhevsky et al., 2012), for ImageNet and for small images.

Finding Winning Tickets with Limited (or No) Supervision trains it, and says nothing of
its form, dropout or normalization. `alexnet` is the one tower that the paper's
framework ships (Krizhevsky, 2014): five convolutions, then two hidden dense layers with
dropout before each, and no normalization. `alexnet_grouped` is the network of 2012,
whose channels lay on two GPUs: the second, fourth and fifth convolution are in two
groups, and two convolutions are wider and one narrower. Its response normalization,
which has no weights, is left out.

From ImageNet's 224 x 224 pixels the dense layers get 6 x 6 maps, and others from images
of other sizes. Smaller images than the least have no pixel left after the pools:
`alexnet_cifar_stem`, for CIFAR-10, has a first convolution of 5x5 at every pixel and
else what `alexnet` has. The paper has no such network. As in the others, most weights
are in the dense layers, which the paper takes for the reason why AlexNet's tickets
depend on the task that finds them.
"""

import functools
from typing import TYPE_CHECKING

from tflottery.core.registry import MODELS
from tflottery.models import limited_supervision

if TYPE_CHECKING:
    import keras

_NUM_UNITS = 4096
_DROPOUT_RATE = 0.5


def alexnet(
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    name: str,
    widths: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256),
    groups: tuple[int, int, int, int, int] = (1, 1, 1, 1, 1),
    cifar_stem: bool = False,
) -> "keras.Model":
    """Returns a new AlexNet.

    Args:
      input_shape: (height, width, channels) of the images.
      num_classes: how many logits the network has.
      name: the model's name.
      widths: channels of the five convolutions.
      groups: into which their channels are divided.
      cifar_stem: whether the first convolution leaves the images' size as it is.

    Returns:
      A model from images [batch, *input_shape] float32, normalized, to logits
      [batch, num_classes] float32.
    """
    import keras

    from tflottery import layers

    images = x = keras.Input(input_shape, name="images")
    stem = {"kernel_size": 5, "padding": "same"}
    if not cifar_stem:
        x = keras.layers.ZeroPadding2D(2, name="conv_1_padding")(x)
        stem = {"kernel_size": 11, "strides": 4}
    kernels = (stem, {"kernel_size": 5, "padding": "same"})
    kernels += ({"kernel_size": 3, "padding": "same"},) * 3
    for index, options in enumerate(kernels, start=1):
        x = layers.MaskedConv2D(
            widths[index - 1],
            groups=groups[index - 1],
            activation="relu",
            name=f"conv_{index}",
            **options,
        )(x)
        if index in (1, 2, 5):
            x = keras.layers.MaxPooling2D(3, strides=2, name=f"pool_{index}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for index in (1, 2):
        x = layers.Dropout(_DROPOUT_RATE, name=f"dropout_{index}")(x)
        x = layers.MaskedDense(_NUM_UNITS, activation="relu", name=f"dense_{index}")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name=name)


def _register(
    name: str, *, dataset: str, minimum_image_size: int, **options: object
) -> None:
    """Registers the network that these options of `alexnet` make."""
    MODELS.register(
        name,
        recipes=limited_supervision.recipes_of("alexnet"),
        dataset=dataset,
        minimum_image_size=minimum_image_size,
    )(functools.partial(alexnet, name=name, **options))


# The least of which the last pool leaves a pixel.
_register("alexnet", dataset="imagenet2012", minimum_image_size=63)
_register(
    "alexnet_grouped",
    dataset="imagenet2012",
    minimum_image_size=63,
    widths=(96, 256, 384, 384, 256),
    groups=(1, 2, 1, 2, 2),
)
_register(
    "alexnet_cifar_stem", dataset="cifar10", minimum_image_size=16, cifar_stem=True
)
