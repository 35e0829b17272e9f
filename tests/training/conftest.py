"""A small convolutional network and the digits, for the tests of the loop."""

import contextlib
import dataclasses

import keras
import pytest

from tflottery import layers
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS, Entry
from tflottery.datasets import source as sources
from tflottery.datasets.stream import Stream
from tflottery.training import trainer as loop
from tflottery.training.trainer import Trainer

_SGD = Recipe(
    optimizer="sgd",
    learning_rate=0.05,
    batch_size=60,
    training_iterations=40,
    momentum=0.9,
    weight_decay=1e-3,
    milestones=(9,),
    warmup=4,
    augmentation="flip_crop",
)
_RECIPES = {
    "lenet_sgd": _SGD,
    "lenet_adam": dataclasses.replace(
        _SGD, optimizer="adam", learning_rate=0.003, momentum=0.0, weight_decay=1e-2
    ),
    "small_conv": dataclasses.replace(_SGD, batch_size=8),
    "resnet20": dataclasses.replace(_SGD, batch_size=8),
}


def small_conv(*, input_shape, num_classes):
    """Two convolutions with batch norm: what the deep networks consist of."""
    images = keras.Input(input_shape, name="images")
    x = layers.MaskedConv2D(4, 3, use_bias=False, name="conv_1")(images)
    x = layers.BatchNormalization(name="norm_1")(x)
    x = keras.layers.ReLU(name="relu_1")(x)
    x = layers.MaskedConv2D(6, 3, use_bias=False, name="conv_2")(x)
    x = layers.BatchNormalization(name="norm_2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name="small_conv")


class Trainers:
    """Trainers on the digits, each compiled once for all tests of the folder."""

    def __init__(self):
        self._kept = {}

    def source(self, model):
        size = 1 if model == "small_conv" else MODELS[model]["minimum_image_size"]
        return sources.load("digits", minimum_image_size=size)

    def stream(self, trainer, *, data_order=0):
        return Stream(
            len(self.source("lenet").train.labels),
            trainer.recipe.batch_size,
            data_order_seed=10 + data_order,
            augmentation_seed=20 + data_order,
        )

    def __call__(self, kind, *, strategy=None, sparse=False, again=0, **changes):
        key = (kind, strategy is None, sparse, again, tuple(sorted(changes.items())))
        # Where loops are graphs, trainers are others.
        key += (loop.compiled_by_xla,)
        if key not in self._kept:
            self._kept[key] = self.make(
                kind, strategy=strategy, sparse=sparse, **changes
            )
        return self._kept[key]

    def make(self, kind, *, strategy, sparse, precision=None, **changes):
        model = kind.removesuffix("_sgd").removesuffix("_adam")
        with _small_conv_registered():
            return Trainer(
                model,
                dataclasses.replace(_RECIPES[kind], **changes),
                self.source(model),
                num_classes=10,
                sparse=sparse,
                strategy=strategy,
                precision=precision,
            )


@pytest.fixture(scope="session")
def trainers():
    return Trainers()


@pytest.fixture
def small_conv_registered():
    with _small_conv_registered():
        yield


@pytest.fixture(scope="session")
def registering_small_conv():
    """Returns a context in which that network is registered."""
    return _small_conv_registered


@contextlib.contextmanager
def _small_conv_registered():
    MODELS.names()
    attributes = MODELS._defaults | {"minimum_image_size": 1}
    with pytest.MonkeyPatch.context() as patch:
        entry = Entry("small_conv", small_conv, attributes)
        patch.setitem(MODELS._entries, "small_conv", entry)
        yield
