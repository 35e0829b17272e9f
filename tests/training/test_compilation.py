"""Every network's training and evaluation go through XLA, in static shapes.

GPUs and TPUs compile the loops that a CPU runs as plain graphs for convolutions.
"""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.datasets import feeds
from tflottery.datasets.arrays import Source, Split
from tflottery.training import distribution, evaluation, trainer
from tflottery.training.evaluation import Evaluator
from tflottery.training.trainer import Trainer

# Of each kind the smallest: without convolutions, and with them.
_FAST = ("lenet", "small_conv")
_DENSE = ("lenet", "lenet_batch_norm")
# Larger networks of operations that others have too.
_LIKE_OTHERS = ("resnet50", "resnet50_cifar_stem")
_models = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in _FAST else pytest.mark.slow)
        for name in (*MODELS.names(), "small_conv")
        if name not in _LIKE_OTHERS
    ],
)
pytestmark = pytest.mark.usefixtures("small_conv_registered")
_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    batch_size=2,
    training_iterations=10,
    momentum=0.9,
    weight_decay=1e-4,
    milestones=(5,),
    warmup=2,
    augmentation="flip_crop",
)


@pytest.fixture
def compiled_everywhere(monkeypatch):
    """As on a machine with a GPU."""
    monkeypatch.setattr(distribution, "has_gpu", lambda: True)


def _source(name):
    size = 8 if name == "small_conv" else MODELS[name]["minimum_image_size"]
    shape = (8, 8, 1) if name in _DENSE else (size, size, 3)
    images = np.random.default_rng(0).integers(0, 256, (12, *shape), dtype=np.uint8)
    split = Split(images, np.arange(12, dtype=np.int32) % 10)
    mean, std = (0.5,) * shape[-1], (0.25,) * shape[-1]
    return Source("noise", "1", "0", split, split, 10, mean, std)


def _program(function, *arguments):
    """Returns the text of the XLA program that a tf.function compiles to.

    Making it fails where an operation is unknown to XLA or a shape is not static.
    """
    text = function.experimental_get_compiler_ir(*arguments)(stage="hlo")
    # A bound of a dynamic dimension is written <=n, an unknown one ?.
    assert not re.search(r"\[[^]]*(<=|\?)", text)
    return text


def _training_program(built, *, batch_size):
    buffer = tf.zeros((feeds.ROOM, batch_size), tf.int32)
    return _program(built._advance, (buffer, buffer), tf.constant(3))


@_models
def test_training_compiles(name, compiled_everywhere):
    built = Trainer(name, _RECIPE, _source(name), num_classes=10, sparse=True)
    text = _training_program(built, batch_size=2)
    assert "while" in text
    assert ("convolution" in text) == (name not in _DENSE)
    # The gradient of max pooling, which XLA refuses for GPUs under determinism.
    assert "select-and-scatter" not in text


def test_training_with_adam_and_a_pretext_compiles(compiled_everywhere):
    recipe = dataclasses.replace(_RECIPE, optimizer="adam", momentum=0.0)
    source = _source("lenet")
    built = Trainer("lenet", recipe, source, num_classes=4, pretext="rotation")
    assert "while" in _training_program(built, batch_size=2)


@_models
def test_evaluation_compiles(name, compiled_everywhere):
    built = Evaluator(name, _source(name), num_classes=10)
    indices = tf.zeros((4, 2), tf.int32)
    text = _program(
        built._counters["test"],
        (indices, indices),
        tf.ones((4, 2)),
        tf.constant(3, tf.int32),
    )
    assert "while" in text


def test_counts_of_a_compiled_network_are_those_of_its_graph(trainers, monkeypatch):
    source = trainers.source("small_conv")
    weights = trainers("small_conv").initial_weights(1)
    found = []
    for compiled in (False, True):
        monkeypatch.setattr(evaluation, "compiled_by_xla", lambda model, c=compiled: c)
        evaluator = Evaluator("small_conv", source, num_classes=10)
        evaluator.assign(weights)
        found.append(evaluator.measure("test", np.arange(360, dtype=np.int32)))
    assert found[0].num_misclassified == found[1].num_misclassified
    np.testing.assert_allclose(found[0].loss, found[1].loss, rtol=1e-5)


def test_on_a_cpu_only_networks_without_convolutions_are_compiled():
    for name in _FAST:
        model = MODELS[name].function(
            input_shape=_source(name).image_shape, num_classes=10
        )
        assert trainer.compiled_by_xla(model) == (name in _DENSE)
