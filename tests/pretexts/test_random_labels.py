"""Random labels: fixed for an example, and otherwise like drawn ones."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.registry import PRETEXTS
from tflottery.datasets import pipeline
from tflottery.datasets import source as sources
from tflottery.datasets.stream import Stream

NUM_EXAMPLES = 50_000


def drawn(*, seed=0, num_classes=10, count=NUM_EXAMPLES):
    """The labels of the first examples."""
    nothing = tf.zeros([count], tf.int32)
    _, labels = PRETEXTS["random_labels"].function(
        tf.zeros([count, 1, 1, 1]),
        nothing,
        bits=nothing,
        indices=tf.range(count),
        seed=seed,
        num_classes=num_classes,
    )
    return labels.numpy()


def chance_agreement(one, two):
    """By how many standard deviations two rows agree more often than by chance."""
    return (np.mean(one == two) - 0.1) / np.sqrt(0.1 * 0.9 / len(one))


def test_known_values():
    """A change of them changes every training on them: raise the version then."""
    assert drawn(count=12).tolist() == [2, 5, 5, 9, 4, 6, 9, 2, 0, 4, 2, 3]
    assert drawn(count=12, seed=1).tolist() == [9, 7, 4, 3, 5, 9, 8, 3, 2, 2, 6, 9]


@pytest.mark.parametrize("num_classes", [2, 3, 10, 1000])
def test_about_uniform(num_classes):
    counts = np.bincount(drawn(num_classes=num_classes), minlength=num_classes)
    assert len(counts) == num_classes
    expected = NUM_EXAMPLES / num_classes
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    freedom = num_classes - 1
    assert abs(chi_squared - freedom) < 4 * np.sqrt(2 * freedom)


def test_seeds_share_nothing():
    rows = [drawn(seed=seed) for seed in (0, 1, 2, 2**32, 2**62 + 1)]
    for first, one in enumerate(rows):
        for two in rows[:first]:
            assert abs(chance_agreement(one, two)) < 4


def test_neighbours_share_nothing():
    labels = drawn()
    for distance in (1, 2, 10, 16, 128, 256, 1024):
        assert abs(chance_agreement(labels[distance:], labels[:-distance])) < 4


def test_true_labels_are_met_by_chance_only():
    """Of data sorted by class, and of data whose classes come in turn."""
    index = np.arange(NUM_EXAMPLES)
    assert abs(chance_agreement(drawn(), index % 10)) < 4
    assert abs(chance_agreement(drawn(), index * 10 // NUM_EXAMPLES)) < 4


def test_images_stay_and_neither_labels_nor_bits_matter(ask):
    inputs = ask.inputs((8, 8, 1))
    images, labels = ask("random_labels", inputs)
    np.testing.assert_array_equal(images, inputs["images"])
    changed = {"labels": inputs["labels"] * 0, "bits": inputs["bits"] * 0}
    _, again = ask("random_labels", inputs | changed)
    np.testing.assert_array_equal(again, labels)
    _, others = ask("random_labels", inputs, seed=1)
    assert (labels != others).mean() > 0.5


def test_fixed_across_epochs_and_orders():
    digits = sources.load("digits")
    num_examples = len(digits.train.labels)
    expected = drawn(seed=7, count=num_examples)
    for order in (1, 2):
        stream = Stream(
            num_examples, 400, data_order_seed=order, augmentation_seed=order + 10
        )
        dataset = pipeline.as_dataset(
            digits,
            stream,
            augmentation="flip_crop",
            pretext="random_labels",
            pretext_seed=7,
        )
        batches = stream.batches(0, 12)
        for indices, (_, labels) in zip(batches.indices, dataset.take(12), strict=True):
            np.testing.assert_array_equal(labels, expected[indices])
        assert set(batches.indices[:4].flat) == set(range(num_examples))
    assert abs(chance_agreement(expected, digits.train.labels)) < 4


def test_keeps_the_classes_of_the_data():
    assert PRETEXTS["random_labels"]["num_outputs"] is None
