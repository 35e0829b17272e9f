"""Dropout: which units are dropped, how often, and what is left of the others."""

import keras
import numpy as np
import pytest

from tflottery import layers


def _drop(rate, *, shape=(200, 100), **options):
    layer = layers.Dropout(rate, seed=1, **options)
    return layer, np.asarray(layer(np.ones(shape, np.float32), training=True))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_the_fraction_dropped_and_the_mean_stays(rate):
    layer, outputs = _drop(rate)
    assert set(np.unique(outputs)) == {0, np.float32(1 / (1 - rate))}
    dropped = (outputs == 0).mean()
    # Four standard deviations of 20,000 draws.
    assert abs(dropped - rate) < 4 * (rate * (1 - rate) / outputs.size) ** 0.5
    again = np.asarray(layer(np.ones(outputs.shape, np.float32), training=True))
    # The next pass drops units that have nothing to do with those before.
    both = ((outputs == 0) & (again == 0)).mean()
    assert abs(both - rate**2) < 5 * (rate**2 / outputs.size) ** 0.5


def test_rows_and_columns_are_dropped_independently():
    _, outputs = _drop(0.5)
    kept = 2 * (outputs != 0) - 1.0
    for axis in (0, 1):
        neighbours = (kept * np.roll(kept, 1, axis)).mean()
        assert abs(neighbours) < 5 / outputs.size**0.5


def test_nothing_is_dropped_outside_training_nor_at_rate_zero():
    images = np.random.default_rng(0).random((4, 5), np.float32)
    np.testing.assert_array_equal(layers.Dropout(0.5)(images), images)
    np.testing.assert_array_equal(layers.Dropout(0.0)(images, training=True), images)
    assert not np.asarray(layers.Dropout(1.0)(images, training=True)).any()


def test_a_noise_shape_drops_together():
    _, outputs = _drop(0.5, shape=(6, 4, 50), noise_shape=(None, 1, None))
    assert (outputs == outputs[:, :1]).all()
    assert 0 < (outputs == 0).mean() < 1


def test_gradients_are_those_of_what_was_kept():
    import tensorflow as tf

    inputs = tf.ones((3, 40))
    layer = layers.Dropout(0.5, seed=1)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


def test_a_saved_model_keeps_it(tmp_path):
    inputs = keras.Input((4,), name="inputs")
    model = keras.Model(inputs, layers.Dropout(0.25, name="drop")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").get_layer("drop")
    assert type(loaded) is layers.Dropout and loaded.rate == 0.25


def test_it_computes_in_the_dtype_of_its_policy():
    layer = layers.Dropout(0.5, dtype="mixed_bfloat16")
    outputs = layer(np.ones((2, 50), np.float32), training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert set(np.unique(np.asarray(outputs, np.float32))) == {0, 2}
