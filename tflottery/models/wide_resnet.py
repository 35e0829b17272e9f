"""WRN-16-8 for CIFAR-10, as in The Early Phase of Neural Network Training.

The paper's 11.1M parameters are those of a CIFAR-10 ResNet of two blocks a stage whose
widths, the stem's too, are multiplied by eight: `wrn16_8`. `wrn16_8_preactivation` is
the network of that name (Zagoruyko and Komodakis, 2016): 10.96M, a stem of 16 channels,
batch norm and ReLU before each convolution. All kernels are pruned: the densities on
the paper's axes say so.
"""

from typing import TYPE_CHECKING

from tflottery.core.registry import MODELS
from tflottery.models import residual
from tflottery.models.cifar10_recipes import early_phase_recipe

if TYPE_CHECKING:
    import keras

_WIDTHS = (128, 256, 512)
_NUM_BLOCKS = (2, 2, 2)
_PREACTIVATION_STEM_WIDTH = 16

# One more k: its weights are perturbed.
_RECIPES = {
    "early_phase": early_phase_recipe(
        more_iterations=(50,),
        perturbed_iterations=(50, 250),
        num_levels=21,
        studied_density=0.069,
    )
}


@MODELS.register("wrn16_8", recipes=_RECIPES, dataset="cifar10", minimum_image_size=16)
def wrn16_8(*, input_shape: tuple[int, int, int], num_classes: int) -> "keras.Model":
    """Returns a new WRN-16-8 of the paper's form.

    Args:
      input_shape: (height, width, channels) of the images.
      num_classes: how many logits the network has.

    Returns:
      A model from images [batch, *input_shape] float32, normalized, to logits
      [batch, num_classes] float32.
    """
    import keras

    images = keras.Input(input_shape, name="images")
    x = residual.cifar_stem(images, _WIDTHS[0])
    x = residual.stages(x, _WIDTHS, num_blocks=_NUM_BLOCKS, block=residual.basic_block)
    return residual.classifier(images, x, num_classes=num_classes, name="wrn16_8")


@MODELS.register(
    "wrn16_8_preactivation",
    recipes=_RECIPES,
    dataset="cifar10",
    minimum_image_size=16,
)
def wrn16_8_preactivation(
    *, input_shape: tuple[int, int, int], num_classes: int
) -> "keras.Model":
    """Returns a new WRN-16-8 of Zagoruyko's form, without dropout.

    Args:
      input_shape: (height, width, channels) of the images.
      num_classes: how many logits the network has.

    Returns:
      A model from images [batch, *input_shape] float32, normalized, to logits
      [batch, num_classes] float32.
    """
    import keras

    images = keras.Input(input_shape, name="images")
    x = residual.bare_convolution(
        images, _PREACTIVATION_STEM_WIDTH, kernel_size=3, name="stem"
    )
    x = residual.stages(x, _WIDTHS, num_blocks=_NUM_BLOCKS, block=_preactivation_block)
    x = _activation(x, name="last")
    return residual.classifier(
        images, x, num_classes=num_classes, name="wrn16_8_preactivation"
    )


def _preactivation_block(
    inputs: "keras.KerasTensor", width: int, *, strides: int, prefix: str
) -> "keras.KerasTensor":
    """Returns the outputs of one block of two convolutions, not activated.

    A shortcut that changes shape is a 1x1 convolution of the activated inputs.
    """
    import keras

    activated = _activation(inputs, name=f"{prefix}_conv_1")
    x = residual.bare_convolution(
        activated, width, kernel_size=3, strides=strides, name=f"{prefix}_conv_1"
    )
    x = _activation(x, name=f"{prefix}_conv_2")
    x = residual.bare_convolution(x, width, kernel_size=3, name=f"{prefix}_conv_2")
    if strides > 1 or inputs.shape[-1] != width:
        inputs = residual.bare_convolution(
            activated,
            width,
            kernel_size=1,
            strides=strides,
            name=f"{prefix}_shortcut",
        )
    return keras.layers.Add(name=f"{prefix}_add")([x, inputs])


def _activation(inputs: "keras.KerasTensor", *, name: str) -> "keras.KerasTensor":
    """Returns the inputs after batch norm and a ReLU."""
    import keras

    from tflottery import layers

    x = layers.BatchNormalization(name=f"{name}_norm")(inputs)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
