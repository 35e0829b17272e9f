"""LeNet-300-100, a network of dense layers for MNIST (Linear Mode Connectivity).

`lenet_batch_norm` is none of the papers': with batch norm and a high learning rate, on
small images of CIFAR-10, a network of this size shows what theirs show, and LeNet on
MNIST does not. Its dense copies end in different valleys unless they part late, its
tickets need rewinding, and whether they are stable and whether they match go together
(experiments/laptop_setting).

The output's kernel is pruned too: the densities on the paper's axes say so. The paper
names no initializer. Kaiming normal stays against Glorot normal, which the paper on the
lottery ticket hypothesis before it draws from (Frankle and Carbin, 2019): neither
accuracy nor the distance of copies tells them apart beyond noise (experiments/
linear_mode_connectivity/lenet_options).
"""

import functools
from typing import TYPE_CHECKING

from tflottery.core.recipes import PruningRecipe, Recipe, Setting, replaced
from tflottery.core.registry import MODELS
from tflottery.models import limited_supervision

if TYPE_CHECKING:
    import keras

# Training images.
_MNIST, _CIFAR10 = 60_000, 50_000
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
_LAPTOP = Recipe(
    optimizer="sgd",
    learning_rate=0.3,
    momentum=0.9,
    weight_decay=1e-4,
    batch_size=128,
    training_iterations=8000,
    milestones=(4000, 6000),
    pruning=PruningRecipe(
        rewind_iterations=(0, 250, 500, 1000, 2000),
        dense_iterations=(0, 100, 250, 500, 1000, 1500, 2000),
        perturbed_iterations=(1000,),
        pruning_fraction=0.5,
        num_levels=6,
        studied_density=0.03125,
    ),
)


def _limited_supervision(standard: Recipe, num_images: int, setting: Setting) -> Recipe:
    """Returns the recipe of variant limited_supervision.

    The networks are none of that paper's, but small ones to try its experiments with.
    As there, the last layer is not pruned, random pruning knows neither layers nor k,
    what is reset trains for the whole length, part of the images is seen for more
    epochs, as many times as on ImageNet, and images are augmented as CIFAR-10's.

    Args:
      standard: the recipe on all images and labels, in iterations.
      num_images: of the data set that it is for.
      setting: what is learned.
    """
    recipe = replaced(
        standard,
        augmentation=limited_supervision.augmentation_of(setting),
        unpruned=("head",),
        random_counts="global",
        random_weights="initial",
        schedule="restarted",
    )
    growth = limited_supervision.growth_of(setting)
    if growth == 1:
        return recipe
    epochs = standard.training_iterations * standard.batch_size / num_images
    drops = (
        iteration / standard.training_iterations for iteration in standard.milestones
    )
    return replaced(
        recipe,
        training_iterations=f"{round(growth * epochs)}ep",
        milestones=tuple(f"{round(growth * epochs * drop)}ep" for drop in drops),
    )


def _laptop_limited_supervision(setting: Setting) -> Recipe:
    """Returns the recipe of variant limited_supervision in the laptop setting.

    Tickets are reset to one k. Training on 1% of the images ends before it, and is
    reset to as large a part of itself as in the paper's Table 1: 30% of its 228 epochs.
    """
    k = "68ep" if limited_supervision.sees_few(setting) else 1000
    return _limited_supervision(
        replaced(_LAPTOP, rewind_iterations=(k,)), _CIFAR10, setting
    )


@MODELS.register(
    "lenet",
    recipes={
        "standard": _STANDARD,
        "limited_supervision": functools.partial(
            _limited_supervision, _STANDARD, _MNIST
        ),
    },
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


@MODELS.register(
    "lenet_batch_norm",
    recipes={
        "laptop": _LAPTOP,
        "limited_supervision": _laptop_limited_supervision,
    },
    dataset="cifar10_16x16",
    minimum_image_size=1,
)
def lenet_batch_norm(
    *, input_shape: tuple[int, int, int], num_classes: int
) -> "keras.Model":
    """Returns a new LeNet-300-100 with batch norm before each activation.

    Args and returned model are as those of `lenet`.
    """
    import keras

    from tflottery import layers

    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    for index, width in enumerate((300, 100), start=1):
        x = layers.MaskedDense(width, use_bias=False, name=f"dense_{index}")(x)
        x = layers.BatchNormalization(name=f"norm_{index}")(x)
        x = keras.layers.Activation("relu", name=f"relu_{index}")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name="lenet_batch_norm")
