"""AlexNet: its layers, and that its dropout resumes bit for bit."""

import numpy as np
import pytest

from tflottery import layers
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.datasets.arrays import Source, Split
from tflottery.datasets.stream import Stream
from tflottery.training.generators import Generators
from tflottery.training.trainer import Trainer

_NAMES = ("alexnet", "alexnet_cifar_stem", "alexnet_grouped")
_RECIPE = Recipe(
    optimizer="sgd", learning_rate=0.01, batch_size=4, training_iterations=3
)


def _sizes(name):
    """Returns what a form is built with, as in test_networks.py."""
    size = MODELS[name]["minimum_image_size"]
    num_classes = 10 if name == "alexnet_cifar_stem" else 1000
    return {"input_shape": (size, size, 3), "num_classes": num_classes}


def _images(model, count=2):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, *model.input_shape[1:])).astype(np.float32)


@pytest.mark.parametrize("name", _NAMES)
def test_dropout_comes_before_the_hidden_dense_layers(name, shaped):
    model = shaped(name, **_sizes(name))
    found = [layer.name for layer in model.layers][-6:]
    assert found[0] == "flatten"
    assert found[1:] == ["dropout_1", "dense_1", "dropout_2", "dense_2", "head"]
    for index in (1, 2):
        dropout = model.get_layer(f"dropout_{index}")
        assert type(dropout) is layers.Dropout and dropout.rate == 0.5
        assert model.get_layer(f"dense_{index}").input is dropout.output
    assert len(Generators(model)) == 2


def test_maps_of_the_forms(shaped):
    # By layer, as dense layers of large images take long to build.
    for name, images, sizes in (
        ("alexnet", 224, [55, 27, 13, 13, 13, 6]),
        ("alexnet_cifar_stem", 32, [32, 15, 7, 7, 7, 3]),
    ):
        model, shape = shaped(name, **_sizes(name)), (None, images, images, 3)
        found = []
        for layer in model.layers[1:]:
            if layer.name == "flatten":
                break
            shape = layer.compute_output_shape(shape)
            if layer.name.startswith("conv") and "padding" not in layer.name:
                found.append(shape[1])
        assert [*found, shape[1]] == sizes


def test_groups_see_their_half_of_the_channels(shaped):
    model = shaped("alexnet_grouped", **_sizes("alexnet_grouped"))
    assert [model.get_layer(f"conv_{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    layer = model.get_layer("conv_4")
    kernel = np.random.default_rng(0).normal(size=layer.kernel.shape)
    maps = np.ones((1, 3, 3, 384), np.float32)
    other = maps.copy()
    # Of the first group.
    other[..., :192] += 1
    before = layer.kernel.numpy().copy()
    layer.kernel.assign(np.abs(kernel))
    changed = np.asarray(layer(maps) != layer(other)).any((0, 1, 2))
    layer.kernel.assign(before)
    assert changed.tolist() == [True] * 192 + [False] * 192


@pytest.mark.slow
def test_units_dropped_are_a_function_of_seed_and_iteration():
    name = "alexnet_cifar_stem"
    model = MODELS[name].function(**_sizes(name))
    generators = Generators(model)
    images, found = _images(model), []
    for seed, iteration in ((1, 0), (1, 1), (2, 0), (1, 0)):
        generators.reseed(seed)
        generators.set(iteration)
        found.append(np.asarray(model(images, training=True)).tobytes())
    assert found[0] == found[3]
    assert len(set(found)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet_cifar_stem", "alexnet_grouped"])
def test_resumed_in_another_trainer_equals_unbroken(name):
    size = MODELS[name]["minimum_image_size"]
    images = np.random.default_rng(0).integers(0, 256, (12, size, size, 3), np.uint8)
    split = Split(images, np.arange(12, dtype=np.int32) % 10)
    source = Source("noise", "1", "0", split, split, 10, (0.5,) * 3, (0.25,) * 3)
    trainers = [Trainer(name, _RECIPE, source, num_classes=10) for _ in range(2)]
    found = []
    for cuts in ([3], [1, 3]):
        weights, slots, first = trainers[0].initial_weights(1), None, 0
        for trainer, cut in zip(trainers, cuts, strict=False):
            trainer.restore(
                weights, masks={}, slots=slots, iteration=first, first_iteration=0
            )
            stream = Stream(12, 4, data_order_seed=1, augmentation_seed=2)
            trainer.train(stream, cut, dropout_seed=5)
            (weights, slots), first = trainer.state(), cut
        found.append({path: value.tobytes() for path, value in weights.items()})
    assert found[0] == found[1]
