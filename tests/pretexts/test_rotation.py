"""Rotation: the label is the turn, exactly."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.registry import PRETEXTS
from tflottery.datasets.stream import Stream
from tflottery.pretexts.rotation import quarter_turns


def random_bits(count):
    stream = Stream(count, count, data_order_seed=1, augmentation_seed=2)
    return stream.batches(0, 1).bits[0]


@pytest.mark.parametrize("form", [None, "xla"])
def test_labels_match_the_rotation(form, ask):
    inputs = ask.inputs((5, 5, 3), count=64)
    inputs["bits"] = tf.constant(random_bits(64))
    turned, turns = ask("rotation", inputs, form=form)
    assert set(turns.tolist()) == {0, 1, 2, 3}
    # Results of earlier versions rest on these.
    assert turns[:8].tolist() == [1, 2, 2, 2, 1, 3, 1, 1]
    rows = zip(inputs["images"].numpy(), turned, turns, strict=True)
    for image, found, turn in rows:
        np.testing.assert_array_equal(found, np.rot90(image, turn))
        np.testing.assert_array_equal(np.rot90(found, -turn), image)


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


def test_only_the_bits_decide(ask):
    inputs = ask.inputs((5, 5, 1))
    expected, turns = ask("rotation", inputs)
    changed = {"labels": inputs["labels"] + 1, "indices": inputs["indices"] + 1}
    found, again = ask("rotation", inputs | changed, seed=9, num_classes=3)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(again, turns)


def test_images_that_are_not_square_are_refused(ask):
    with pytest.raises(ValueError, match="4 x 5.*rotation needs square"):
        ask("rotation", ask.inputs((4, 5, 1)))


def test_registered_with_four_classes():
    assert PRETEXTS["rotation"]["num_outputs"] == 4
    assert PRETEXTS["rotation"]["version"] == 1
