"""LeNet-300-100, a network of dense layers for MNIST (Linear Mode Connectivity).

The output's kernel is pruned too: the densities on the paper's axes say so. The paper
names no initializer. Kaiming normal stays against Glorot normal, which the paper on the
lottery ticket hypothesis before it draws from (Frankle and Carbin, 2019): neither
accuracy nor the distance of copies tells them apart beyond noise (experiments/
linear_mode_connectivity/lenet_options).
"""

from typing import TYPE_CHECKING

from tflottery.core.recipes import PruningRecipe, Recipe, Setting, replaced
from tflottery.core.registry import MODELS
from tflottery.models import limited_supervision

if TYPE_CHECKING:
    import keras

# Of the 60,000 images of MNIST, in 24,000 iterations.
_EPOCHS = 24
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


def _limited_supervision(setting: Setting) -> Recipe:
    """Returns the recipe of variant limited_supervision.

    The network is none of that paper's, but a small one to try its experiments with. As
    there, the last layer is not pruned, random pruning knows neither layers nor k, what
    is reset trains for the whole length, and part of the images is seen for more
    epochs, as many times as on ImageNet.
    """
    recipe = replaced(
        _STANDARD,
        unpruned=("head",),
        random_counts="global",
        random_weights="initial",
        schedule="restarted",
    )
    growth = limited_supervision.growth_of(setting)
    if growth == 1:
        return recipe
    return replaced(recipe, training_iterations=f"{round(growth * _EPOCHS)}ep")


@MODELS.register(
    "lenet",
    recipes={"standard": _STANDARD, "limited_supervision": _limited_supervision},
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
