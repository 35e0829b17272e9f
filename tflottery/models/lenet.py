"""LeNet-300-100, a network of dense layers for MNIST (Linear Mode Connectivity).

The output's kernel is pruned too: the densities on the paper's axes say so. The paper
names no initializer. Kaiming normal stays against Glorot normal, which the paper on the
lottery ticket hypothesis before it draws from (Frankle and Carbin, 2019): neither
accuracy nor the distance of copies tells them apart beyond noise (experiments/
linear_mode_connectivity/lenet_options).
"""

from typing import TYPE_CHECKING

from tflottery.core.recipes import PruningRecipe, Recipe, replaced
from tflottery.core.registry import MODELS

if TYPE_CHECKING:
    import keras

_STANDARD = Recipe(
    optimizer="adam",
    learning_rate=12e-4,
    batch_size=60,
    training_iterations=24_000,
    pruning=PruningRecipe(
        rewind_iterations=(0, 25, 50, 100, 250, 500, 1000, 2000),
        # Appendix D's axis goes on to 10,000.
        dense_iterations=(0, 25, 50, 100, 250, 500, 1000, 2000, 5000, 10_000),
        num_levels=24,
        studied_density=0.035,
    ),
)


# No network of that paper: a small one to try its experiments with. As there, the last
# layer is not pruned, random pruning knows neither layers nor k, and what is reset
# trains for the whole length.
_LIMITED_SUPERVISION = replaced(
    _STANDARD,
    unpruned=("head",),
    random_counts="global",
    random_weights="initial",
    schedule="restarted",
)


@MODELS.register(
    "lenet",
    recipes={"standard": _STANDARD, "limited_supervision": _LIMITED_SUPERVISION},
    dataset="mnist",
    minimum_image_size=1,
)
def lenet(*, input_shape: tuple[int, int, int], num_classes: int) -> "keras.Model":
    """Returns a new LeNet-300-100.

    Args:
      input_shape: (height, width, channels) of the images.
      num_classes: how many logits the network has.

    Returns:
      A model from images [batch, *input_shape] float32, normalized, to logits
      [batch, num_classes] float32.
    """
    import keras

    from tflottery import layers

    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    x = layers.MaskedDense(300, activation="relu", name="dense_1")(x)
    x = layers.MaskedDense(100, activation="relu", name="dense_2")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name="lenet")
