"""Tiny networks on eight dots, whose errors can be counted by hand."""

import json

import keras
import numpy as np
import pytest
from etils import epath

from tflottery import layers
from tflottery.components.component import Component, Context
from tflottery.components.metadata import inspect
from tflottery.components.runs import MASK_FILE, Initialization, Run, State
from tflottery.core.recipes import Recipe, Setting
from tflottery.core.registry import DATASETS, MODELS
from tflottery.datasets.arrays import RawSource
from tflottery.training import checkpoints, evaluation


def _constant(*, input_shape, num_classes):
    """Answers by its bias alone if its kernel is zero."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


def _threshold(*, input_shape, num_classes):
    """Class 0 for pixels brighter than batch norm's mean, with logits (x, -x)."""
    images = keras.Input(input_shape, name="images")
    x = layers.BatchNormalization(name="norm")(images)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


def _dots(*, data_dir, minimum_image_size, working_dir):
    """Five bright training images and three dark ones; bright is class 0.

    One bright training image of eight has the wrong label; of four test images, two
    bright and two dark, none has.
    """
    train = np.array([255, 255, 255, 255, 255, 0, 0, 0], np.uint8)
    test = np.array([255, 0, 255, 0], np.uint8)
    return RawSource(
        version="1",
        train_images=train.reshape(8, 1, 1, 1),
        train_labels=np.array([1, 0, 0, 0, 0, 1, 1, 1], np.int32),
        test_images=test.reshape(4, 1, 1, 1),
        test_labels=np.array([0, 1, 0, 1], np.int32),
        num_classes=2,
        normalized=False,
    )


class Trial:
    """Executes components on given weights, as an executor would."""

    def __init__(self, folder, runtime):
        self.output = epath.Path(folder) / "output"
        self.runtime = runtime
        self.remembered = []
        self._folder = epath.Path(folder)

    def facts(self, model):
        return inspect(model, Setting("dots"), self.runtime)

    def run(self, model):
        facts = self.facts(model)
        recipe = Recipe(
            optimizer="sgd", learning_rate=0.1, batch_size=4, training_iterations=9
        )
        return Run(facts.network, facts.data, recipe, Initialization(1), None, 2, 3, 4)

    def state(self, model, iteration=9):
        return State(self.run(model), iteration)

    def execute(
        self,
        component: Component,
        *,
        masks=None,
        remembered=None,
        stop_after=None,
        **weights,
    ):
        """Executes a component on weights and masks, by the name of the input."""
        masks = masks or {}
        inputs = {name: self._folder / name for name in {*weights, *masks}}
        for name, values in weights.items():
            checkpoints.write(inputs[name], values)
        for name, values in masks.items():
            inputs[name].mkdir(exist_ok=True)
            checkpoints.write_arrays(inputs[name] / MASK_FILE, values)
        assert inputs.keys() == component.inputs.keys()
        self.output.mkdir(exist_ok=True)
        self.remembered = []

        def remember(value, share):
            self.remembered.append((json.loads(json.dumps(value)), share))
            if len(self.remembered) == stop_after:
                raise InterruptedError

        component.execute(
            Context(inputs, self.output, self.runtime, remembered, remember)
        )


@pytest.fixture
def trial(tmp_path, register, runtime):
    own = {"recipes": {}, "dataset": "dots", "minimum_image_size": 1}
    register(MODELS, "constant", _constant, **own)
    register(MODELS, "threshold", _threshold, **own)
    register(DATASETS, "dots", _dots, adapt_recipe=lambda recipe: recipe, version=1)
    return Trial(tmp_path, runtime)


@pytest.fixture
def blocks_of_five(trial, monkeypatch):
    """Has five images measured at a time: 5 and 3 of training, 4 of test."""
    for sizes in ("DENSE_SIZES", "CONVOLUTIONAL_SIZES"):
        monkeypatch.setattr(evaluation, sizes, (5, 5))
    # A runtime keeps its evaluators, and they their sizes.
    monkeypatch.setattr(trial.runtime, "_evaluators", {})
