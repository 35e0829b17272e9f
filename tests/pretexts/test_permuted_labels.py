"""Permuted labels: classes keep their sizes, whatever the seed and the split."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.datasets import pipeline
from tflottery.datasets import source as sources
from tflottery.pretexts.permuted_labels import permuted


@pytest.fixture(scope="module")
def shown():
    """Returns the labels that a loader shows of a split, by example."""
    source = sources.load("digits")

    def labels(split, *, seed, pretext="permuted_labels"):
        load = pipeline.loader(
            source,
            split=split,
            augmentation="none",
            pretext=pretext,
            pretext_seed=seed,
        )
        indices = tf.range(len(getattr(source, split).labels))
        return load(indices, tf.zeros_like(indices))[1].numpy()

    return labels


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_keep_their_sizes_and_images_lose_theirs(split, shown):
    plain = shown(split, seed=0, pretext=None)
    one, again, other = (shown(split, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    for found in (one, other):
        np.testing.assert_array_equal(np.bincount(found), np.bincount(plain))
        assert (found == plain).mean() == pytest.approx(0.1, abs=0.05)
    assert (one == other).mean() < 0.2


def test_a_permutation_of_all():
    labels = np.arange(1000, dtype=np.int32)
    found = permuted(labels, seed=5)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(np.sort(found), labels)
