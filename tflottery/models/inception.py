"""Inception-v3 with its auxiliary head (Szegedy et al., 2016), for ImageNet.

Linear Mode Connectivity trains it. Kernels and widths are those of the network that the
authors published in TensorFlow, which the parameter count confirms: the fourth
convolution of the stem is 1x1 and a max pool follows the fifth, where the paper's
Table 1 reads otherwise. Batch norm has gamma and beta and the settings of the other
networks here; Linear Mode Connectivity names neither dropout nor label smoothing, and
there is none. It does not say what is pruned: all kernels are, those of both heads too.
"""

from typing import TYPE_CHECKING

from tflottery.core.recipes import PruningRecipe, Recipe
from tflottery.core.registry import MODELS

if TYPE_CHECKING:
    import keras

# (channels, height, width) of a convolution's kernel.
_Kernel = tuple[int, int, int]
# Convolutions that follow each other.
_Branch = tuple[_Kernel, ...]

# The branches of the blocks, but for those that begin with a pool. Names give the size
# of the maps for images of 299 x 299.

_ON_35: tuple[_Branch, ...] = (
    ((64, 1, 1),),
    ((48, 1, 1), (64, 5, 5)),
    ((64, 1, 1), (96, 3, 3), (96, 3, 3)),
)
_FROM_35_TO_17: tuple[_Branch, ...] = (
    ((384, 3, 3),),
    ((64, 1, 1), (96, 3, 3), (96, 3, 3)),
)
_FROM_17_TO_8: tuple[_Branch, ...] = (
    ((192, 1, 1), (320, 3, 3)),
    ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)),
)
# The second and third end in a row and a column beside each other (`fans`).
_ON_8: tuple[_Branch, ...] = (
    ((320, 1, 1),),
    ((384, 1, 1),),
    ((448, 1, 1), (384, 3, 3)),
)

# From 299 x 299 images the auxiliary head gets 17 x 17 maps.
_PUBLISHED_AUXILIARY_SIZE = 17

# Linear Mode Connectivity, Table 1. Momentum and weight decay are not in it: those of
# The Early Phase of Neural Network Training; nor is batch norm's first scale, for which
# see `core.initializers`. The grid of k follows the legend of one figure, which is hard
# to read.
_STANDARD = Recipe(
    optimizer="sgd",
    learning_rate=0.03,
    batch_size=1024,
    training_iterations="171ep",
    momentum=0.9,
    weight_decay=1e-4,
    final_learning_rate=0.005,
    batch_norm_scale="uniform",
    pruning=PruningRecipe(
        rewind_iterations=(0, "1ep", "2ep", "3ep", "4ep", "6ep"),
        # One pruning to exactly the studied density, which is not on the axis of 0.7^n.
        pruning_fraction=0.7,
        one_shot=True,
        num_levels=1,
        studied_density=0.3,
    ),
)


@MODELS.register(
    "inception_v3",
    recipes={"standard": _STANDARD},
    dataset="imagenet2012",
    minimum_image_size=75,
    image_size=299,
)
def inception_v3(
    *, input_shape: tuple[int, int, int], num_classes: int
) -> "keras.Model":
    """Returns a new Inception-v3.

    Args:
      input_shape: (height, width, channels) of the images; published: (299, 299, 3).
      num_classes: how many logits each head has.

    Returns:
      A model from images [batch, *input_shape] float32, normalized, to a list [logits,
      auxiliary logits], each [batch, num_classes] float32.
    """
    import keras

    from tflottery import layers

    images = keras.Input(input_shape, name="images")
    x = _stem(images)
    for index, pooled in enumerate((32, 64, 64), start=1):
        x = _mixed(x, *_ON_35, pooled=pooled, name=f"mixed_{index}")
    x = _reduction(x, *_FROM_35_TO_17, name="mixed_4")
    for index, width in enumerate((128, 160, 160, 192), start=5):
        x = _mixed(x, *_on_17(width), pooled=192, name=f"mixed_{index}")
    auxiliary = _auxiliary_logits(x, num_classes)
    x = _reduction(x, *_FROM_17_TO_8, name="mixed_9")
    for index in (10, 11):
        x = _mixed(x, *_ON_8, pooled=192, fans=(1, 2), name=f"mixed_{index}")
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, [logits, auxiliary], name="inception_v3")


def _on_17(width: int) -> tuple[_Branch, ...]:
    """Returns the branches of a block on 17 x 17 maps, `width` channels inside."""
    return (
        ((192, 1, 1),),
        ((width, 1, 1), (width, 1, 7), (192, 7, 1)),
        (
            *((width, 1, 1), (width, 7, 1), (width, 1, 7)),
            *((width, 7, 1), (192, 1, 7)),
        ),
    )


def _stem(images: "keras.KerasTensor") -> "keras.KerasTensor":
    """Returns maps of 192 channels and an eighth of the images' size."""
    import keras

    x = _convolution(images, (32, 3, 3), strides=2, padding="valid", name="stem_1")
    x = _convolution(x, (32, 3, 3), padding="valid", name="stem_2")
    x = _convolution(x, (64, 3, 3), name="stem_3")
    x = keras.layers.MaxPooling2D(3, strides=2, name="stem_pool_1")(x)
    x = _convolution(x, (80, 1, 1), name="stem_4")
    x = _convolution(x, (192, 3, 3), padding="valid", name="stem_5")
    return keras.layers.MaxPooling2D(3, strides=2, name="stem_pool_2")(x)


def _mixed(
    inputs: "keras.KerasTensor",
    *branches: _Branch,
    pooled: int,
    name: str,
    fans: tuple[int, ...] = (),
) -> "keras.KerasTensor":
    """Returns the concatenated branches and an average pool of `pooled` channels.

    Args:
      inputs: what every branch begins with.
      branches: their kernels.
      pooled: channels of the convolution after the pool.
      name: prefix of the layers' names.
      fans: indices of the branches that end in a 1x3 and a 3x1 convolution, beside
        each other.
    """
    import keras

    outputs = []
    for index, kernels in enumerate(branches):
        prefix = f"{name}_branch_{index + 1}"
        x = _chain(inputs, kernels, name=prefix)
        if index in fans:
            width = x.shape[-1]
            outputs.append(_convolution(x, (width, 1, 3), name=f"{prefix}_row"))
            x = _convolution(x, (width, 3, 1), name=f"{prefix}_column")
        outputs.append(x)
    x = keras.layers.AveragePooling2D(
        3, strides=1, padding="same", name=f"{name}_pool"
    )(inputs)
    outputs.append(_convolution(x, (pooled, 1, 1), name=f"{name}_pooled"))
    return keras.layers.Concatenate(name=f"{name}_concat")(outputs)


def _reduction(
    inputs: "keras.KerasTensor", *branches: _Branch, name: str
) -> "keras.KerasTensor":
    """Returns the concatenated branches and a max pool, of half the inputs' size."""
    import keras

    outputs = []
    for index, (*kernels, last) in enumerate(branches, start=1):
        prefix = f"{name}_branch_{index}"
        x = _chain(inputs, kernels, name=prefix)
        x = _convolution(
            x, last, strides=2, padding="valid", name=f"{prefix}_reduction"
        )
        outputs.append(x)
    outputs.append(keras.layers.MaxPooling2D(3, strides=2, name=f"{name}_pool")(inputs))
    return keras.layers.Concatenate(name=f"{name}_concat")(outputs)


def _auxiliary_logits(
    inputs: "keras.KerasTensor", num_classes: int
) -> "keras.KerasTensor":
    """Returns the logits of the auxiliary head.

    Smaller maps than the published ones are padded, so that the head has the same
    parameters on images of every size.
    """
    import keras

    from tflottery import layers

    small = min(inputs.shape[1:3]) < _PUBLISHED_AUXILIARY_SIZE
    padding = "same" if small else "valid"
    x = keras.layers.AveragePooling2D(
        5, strides=3, padding=padding, name="auxiliary_pool"
    )(inputs)
    x = _convolution(x, (128, 1, 1), name="auxiliary_conv_1")
    x = _convolution(x, (768, 5, 5), padding=padding, name="auxiliary_conv_2")
    x = keras.layers.GlobalAveragePooling2D(name="auxiliary_average")(x)
    return layers.MaskedDense(num_classes, name="auxiliary_head")(x)


def _chain(
    x: "keras.KerasTensor", kernels: _Branch, *, name: str
) -> "keras.KerasTensor":
    """Returns the outputs of convolutions that follow each other."""
    for index, kernel in enumerate(kernels, start=1):
        x = _convolution(x, kernel, name=f"{name}_conv_{index}")
    return x


def _convolution(
    inputs: "keras.KerasTensor",
    kernel: _Kernel,
    *,
    name: str,
    strides: int = 1,
    padding: str = "same",
) -> "keras.KerasTensor":
    """Returns the outputs of a convolution without bias, batch norm and a ReLU."""
    import keras

    from tflottery import layers

    channels, *size = kernel
    x = layers.MaskedConv2D(
        channels,
        tuple(size),
        strides=strides,
        padding=padding,
        use_bias=False,
        name=name,
    )(inputs)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
