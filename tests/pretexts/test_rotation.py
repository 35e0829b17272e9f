"""Rotation: the label is the turn, exactly."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.registry import PRETEXTS
from tflottery.datasets.stream import Stream
from tflottery.pretexts.rotation import quarter_turns, rotate


def random_bits(count):
    stream = Stream(count, count, data_order_seed=1, augmentation_seed=2)
    return stream.batches(0, 1).bits[0]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_labels_match_the_rotation(jit_compile):
    images = np.random.default_rng(0).random((64, 5, 5, 3), dtype=np.float32)
    labels = tf.fill([64], 9)
    step = tf.function(rotate, jit_compile=jit_compile)
    turned, turns = step(images, labels, tf.constant(random_bits(64)))
    assert turned.shape == images.shape and turned.dtype == tf.float32
    assert turns.dtype == tf.int32
    assert set(turns.numpy().tolist()) == {0, 1, 2, 3}
    for image, found, turn in zip(images, turned.numpy(), turns.numpy(), strict=True):
        np.testing.assert_array_equal(found, np.rot90(image, turn))


def test_turns_are_even_and_independent_of_flip_and_crop():
    bits = random_bits(200_000)
    turns = quarter_turns(tf.constant(bits)).numpy()
    window = bits % 2 + 2 * ((bits >> 1) % 81)
    counts = np.zeros((162, 4))
    np.add.at(counts, (window, turns), 1)
    expected = counts.sum(axis=1, keepdims=True) / 4
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    # 486 degrees of freedom: mean 486, standard deviation 31.
    assert 350 < chi_squared < 620


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="4 x 5"):
        rotate(tf.zeros([2, 4, 5, 1]), tf.zeros([2], tf.int32), tf.zeros([2], tf.int32))


def test_registered_with_four_classes():
    assert PRETEXTS["rotation"].function is rotate
    assert PRETEXTS["rotation"]["num_classes"] == 4
