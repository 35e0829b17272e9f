"""Gradual pruning on tf_keras: the same network, exact counts, nothing leaked."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery.core import seeds
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.models import weights as model_weights
from tflottery.pruning import counts
from tflottery.training import tfmot_pruning
from tflottery.training.tfmot_pruning import PruningTimes
from tflottery.training.trainer import Diverged


def _built(name, shape):
    model = MODELS[name].function(input_shape=shape, num_classes=10)
    drawn = model_weights.initial_weights(model, seeds.init_seed(1))
    return model, drawn


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"), [("lenet", (8, 8, 1)), ("resnet20", (16, 16, 3))]
)
def test_the_network_of_tf_keras_is_the_same(name, shape):
    model, drawn = _built(name, shape)
    generator = np.random.default_rng(0)
    # Batch norm's statistics too are told apart.
    values = {
        path: value + generator.uniform(0, 0.1, value.shape).astype(np.float32)
        for path, value in drawn.items()
    }
    model_weights.assign(model, values)
    legacy, own = tfmot_pruning.legacy_model(model)
    tfmot_pruning._assign(own, values)
    images = generator.normal(size=(3, *shape)).astype(np.float32)
    expected = model(images, training=False).numpy()
    scale = abs(expected).max()
    np.testing.assert_allclose(
        legacy(images, training=False) / scale, expected / scale, atol=1e-5
    )
    assert tfmot_pruning._values(own).keys() == values.keys()


@pytest.mark.slow
def test_a_training_keeps_exact_counts_and_is_the_same_again():
    model, drawn = _built("lenet", (8, 8, 1))
    shapes = {path: value.size for path, value in drawn.items() if "kernel" in path}
    survivors = counts.divided(5_003, shapes)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(40, 4, 8, 8, 1)).astype(np.float32)
    labels = generator.integers(0, 10, (40, 4)).astype(np.int32)
    recipe = Recipe(
        optimizer="adam", learning_rate=1e-3, batch_size=4, training_iterations=40
    )
    told = []

    def train():
        return tfmot_pruning.trained(
            model,
            drawn,
            tf.data.Dataset.from_tensor_slices((images, labels)).repeat(),
            recipe=recipe,
            survivors=survivors,
            times=PruningTimes(0, 30, 2),
            between=told.append,
        )

    (weights, masks), (again, _) = train(), train()
    for path, count in survivors.items():
        assert masks[path].sum() == count
        assert not weights[path][masks[path] == 0].any()
        assert np.count_nonzero(weights[path]) == count
    assert sum(survivors.values()) == 5_003
    for path, value in weights.items():
        assert value.tobytes() == again[path].tobytes()
        assert (value != drawn[path]).any()
    assert told[:40] == [number / 40 for number in range(1, 41)]
    # Nobody else is given the old Keras.
    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert keras.__version__.startswith("3.")


@pytest.mark.slow
def test_a_training_that_diverges_or_is_stopped_says_so():
    model, drawn = _built("lenet", (8, 8, 1))
    images, labels = np.ones((4, 2, 8, 8, 1), np.float32), np.ones((4, 2), np.int32)

    def train(between, **options):
        recipe = Recipe(optimizer="sgd", batch_size=2, training_iterations=4, **options)
        tfmot_pruning.trained(
            model,
            drawn,
            tf.data.Dataset.from_tensor_slices((images, labels)),
            recipe=recipe,
            survivors={"head/kernel": 1000},
            times=PruningTimes(0, 2, 1),
            between=between,
        )

    with pytest.raises(Diverged, match="iteration [12]"):
        train(lambda done: None, learning_rate=1e30, momentum=0.9, weight_decay=0.1)

    def stop(done):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train(stop, learning_rate=0.1)


def test_what_is_not_translated_is_refused():
    images = keras.Input((4, 4, 1), name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    model = keras.Model(images, keras.layers.Softmax(name="odd")(x))
    with pytest.raises(ValueError, match="'odd' is a Softmax.*Known: .*MaskedDense"):
        tfmot_pruning.legacy_model(model)
