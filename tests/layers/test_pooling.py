"""Max pooling by maxima of shifted copies against Keras's own."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers

_RNG = np.random.default_rng(0)
_LAYERS = {
    1: keras.layers.MaxPooling1D,
    2: keras.layers.MaxPooling2D,
    3: keras.layers.MaxPooling3D,
}


def _pair(rank: int, shape: tuple[int, ...], **settings: object) -> list[keras.Model]:
    """Returns two networks of one max pooling, the second deterministic on GPUs."""
    pair = [keras.Sequential([keras.Input(shape), _LAYERS[rank](**settings)])] * 2
    pair[1] = keras.models.clone_model(pair[0])
    layers.make_pooling_deterministic(pair[1])
    return pair


def _gradient(model: keras.Model, inputs: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Returns outputs, and the gradient of a weighted sum of them."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = model(inputs)
        weights = 1 + tf.reshape(tf.range(tf.size(outputs)), outputs.shape)
        total = tf.reduce_sum(outputs * tf.cast(weights, outputs.dtype))
    return outputs.numpy(), tape.gradient(total, inputs).numpy()


@pytest.mark.parametrize(
    ("rank", "shape", "size", "strides", "padding"),
    [
        *((2, (8, 8, 3), *rest) for rest in itertools.product(
            (2, 3), (None, 2), ("valid", "same")
        )),
        (2, (7, 5, 2), (3, 2), (2, 1), "same"),
        (2, (7, 5, 2), (3, 2), (1, 3), "valid"),
        (1, (9, 4), 2, 2, "valid"),
        (3, (4, 5, 4, 2), 2, 2, "same"),
    ],
)  # fmt: skip
def test_outputs_and_gradients_are_those_of_keras(rank, shape, size, strides, padding):
    """Ties included: whole numbers, of which many in a window are equal.

    In three dimensions TensorFlow's kernel gives each of equal inputs the gradient.
    """
    theirs, ours = _pair(rank, shape, pool_size=size, strides=strides, padding=padding)
    numbers = 4 if rank < 3 else 10**6
    inputs = tf.constant(_RNG.integers(0, numbers, (3, *shape)), tf.float32)
    for found, expected in zip(
        _gradient(ours, inputs), _gradient(theirs, inputs), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_negative_inputs_win_over_the_border():
    theirs, ours = _pair(2, (5, 5, 1), pool_size=3, strides=2, padding="same")
    inputs = tf.constant(-1 - _RNG.random((2, 5, 5, 1)), tf.float32)
    np.testing.assert_array_equal(ours(inputs), theirs(inputs))


def test_images_of_any_size_are_pooled_as_before():
    _, ours = _pair(2, (None, None, 1), pool_size=2)
    assert ours(tf.ones((1, 6, 4, 1))).shape == (1, 3, 2, 1)


def test_nested_networks_are_reached_and_layers_of_ones_own_are_not():
    class Mine(keras.layers.MaxPooling2D):
        def call(self, inputs):
            return super().call(inputs) + 1

    inner = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.MaxPooling2D()])
    model = keras.Sequential([keras.Input((4, 4, 1)), Mine(), inner.layers[0]])
    outer = keras.Sequential([keras.Input((4, 4, 1)), inner])
    for network in (model, outer):
        layers.make_pooling_deterministic(network)
    operations = {
        op.type
        for op in tf.function(outer).get_concrete_function(
            tf.TensorSpec((1, 4, 4, 1))
        ).graph.get_operations()
    }  # fmt: skip
    assert "MaxPool" not in operations
    assert float(model(tf.zeros((1, 4, 4, 1)))[0, 0, 0, 0]) == 1
