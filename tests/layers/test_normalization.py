"""The fused batch norm against Keras's own, in value, gradient and statistics."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers

_RNG = np.random.default_rng(0)
_SHAPE = (8, 5, 5, 3)


def _images() -> np.ndarray:
    return (2 + 3 * _RNG.normal(size=_SHAPE)).astype(np.float32)


def _pair(shape: tuple[int, ...] = _SHAPE, **settings: object) -> tuple:
    """Returns our layer and Keras's, built, with the same random weights."""
    pair = (
        layers.BatchNormalization(name="ours", **settings),
        keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, name="theirs", **settings
        ),
    )
    for layer in pair:
        layer.build(shape)
    values = [_RNG.uniform(0.5, 2, v.shape) for v in pair[0].weights]
    for layer in pair:
        layer.set_weights(values)
    return pair


def _step(
    layer: keras.layers.Layer, images: np.ndarray, *, training: bool, jit: bool = False
) -> list[np.ndarray]:
    """Returns outputs, gradients and the statistics after the step."""

    def function(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=training)
            loss = tf.reduce_sum(outputs * tf.sin(outputs))
        return [outputs, *tape.gradient(loss, [x, *layer.trainable_variables])]

    wrapped: Callable = tf.function(function, jit_compile=True) if jit else function
    results = wrapped(tf.constant(images))
    return [np.asarray(r) for r in [*results, *layer.non_trainable_variables]]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("jit", [True, False])
def test_fused_equals_keras(training: bool, jit: bool):
    ours, theirs = _pair()
    images = _images()
    assert ours._fusable(tf.constant(images))
    for _ in range(2):
        got = _step(ours, images, training=training, jit=jit)
        expected = _step(theirs, images, training=training)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


def test_moving_variance_is_biased_by_hand():
    layer = layers.BatchNormalization(name="bn")
    layer.build((None, 1, 1, 1))
    layer(np.array([1.0, 3.0], "f").reshape(2, 1, 1, 1), training=True)
    assert float(layer.moving_mean[0]) == pytest.approx(0.1 * 2)
    assert float(layer.moving_variance[0]) == pytest.approx(0.9 + 0.1 * 1)


def test_one_value_has_no_variance():
    layer = layers.BatchNormalization(name="bn")
    layer.build((None, 1, 1, 2))
    outputs = layer(np.full((1, 1, 1, 2), 5.0, "f"), training=True)
    np.testing.assert_array_equal(outputs, np.zeros((1, 1, 1, 2)))
    np.testing.assert_allclose(layer.moving_variance, [0.9, 0.9])


def test_other_cases_take_the_keras_form():
    for shape, settings in (
        ((8, 3), {}),
        (_SHAPE, {"axis": 1}),
        (_SHAPE, {"scale": False}),
        (_SHAPE, {"dtype": "float64"}),
    ):
        ours, theirs = _pair(shape, **settings)
        images = _RNG.normal(size=shape).astype(settings.get("dtype", "float32"))
        assert not ours._fusable(tf.constant(images))
        np.testing.assert_array_equal(
            ours(images, training=True), theirs(images, training=True)
        )
        np.testing.assert_array_equal(ours.moving_variance, theirs.moving_variance)


def test_a_frozen_layer_uses_and_keeps_its_statistics():
    ours, theirs = _pair()
    ours.trainable = theirs.trainable = False
    before = ours.moving_mean.numpy().copy()
    images = _images()
    np.testing.assert_allclose(
        ours(images, training=True), theirs(images, training=True), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(ours.moving_mean, before)


def test_fit_save_and_load(tmp_path: pathlib.Path):
    model = keras.Sequential(
        [
            keras.Input(_SHAPE[1:]),
            layers.BatchNormalization(name="bn"),
            keras.layers.Flatten(name="flatten"),
            layers.MaskedDense(2, name="head"),
        ]
    )
    model.compile("sgd", "mse")
    model.fit(_images(), np.ones((8, 2)), batch_size=4, verbose=0)
    assert np.asarray(model.get_layer("bn").moving_mean).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("bn"), layers.BatchNormalization)
    assert loaded.get_layer("bn").momentum == 0.9
    images = _images()
    np.testing.assert_array_equal(loaded.predict(images), model.predict(images))


_MIRRORED = """
import numpy as np, tensorflow as tf, keras
from tflottery import layers

cpu = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, halves)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = layers.BatchNormalization(name="bn")
    layer.build((None, 1, 1, 1))
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(layer.trainable_variables)


def step():
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    x = tf.reshape(tf.constant([[1.0, 3.0], [5.0, 9.0]])[replica], (2, 1, 1, 1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(x, training=True) - 1.0))
    variables = layer.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))


@tf.function
def run():
    for _ in tf.range(2):
        strategy.run(step)


run()
# Means 2 and 7, variances 1 and 4; two steps keep 0.81 and add 0.19.
for variable, expected in (
    (layer.moving_mean, 0.19 * 4.5),
    (layer.moving_variance, 0.81 + 0.19 * 2.5),
):
    values = strategy.experimental_local_results(variable.value)
    assert len(values) == 2
    for value in values:
        np.testing.assert_allclose(value.numpy(), [expected], rtol=1e-5)
assert layer.beta.numpy() > 0
"""


@pytest.mark.slow
def test_mirrored_replicas_share_their_statistics(tmp_path: pathlib.Path):
    # Logical devices have to be set before TensorFlow starts: a process of its own.
    # A file, because AutoGraph reads the source.
    program = tmp_path / "mirrored.py"
    program.write_text(_MIRRORED)
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
