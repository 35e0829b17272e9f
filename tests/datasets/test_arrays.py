"""Images scaled in another way than their data set's own."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.recipes import INPUT_SCALINGS
from tflottery.datasets import pipeline
from tflottery.datasets.arrays import Source, Split


def _source(*, mean=(0.0, 0.0), std=(1.0, 1.0)):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 5, 4, 2), dtype=np.uint8)
    # Channels of other means and deviations.
    images[..., 1] //= 3
    labels = np.arange(20, dtype=np.int32) % 10
    train, test = Split(images[:15], labels[:15]), Split(images[15:], labels[15:])
    return Source("small", "1", "0", train, test, 10, mean, std, {"path": (0, 0, 0, 0)})


def _loaded(source, split="train"):
    load = pipeline.loader(source, split=split, augmentation="none")
    count = len(getattr(source, split).labels)
    return load(tf.range(count), tf.zeros(count, tf.int32))[0].numpy()


def test_standardized_images_have_the_moments_of_training():
    plain = _source()
    source = plain.scaled("standardized")
    assert (plain.input_scaling, source.input_scaling) == INPUT_SCALINGS
    images = _loaded(source)
    np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(images.std(axis=(0, 1, 2)), 1, rtol=1e-6)
    # Test images are moved by the same.
    expected = (plain.test.images / 255 - source.mean) / source.std
    np.testing.assert_allclose(_loaded(source, "test"), expected, atol=1e-5)
    # All else stays, what tells of changed files too.
    rest = {"mean": plain.mean, "std": plain.std}
    assert vars(dataclasses.replace(source, **rest)) == vars(plain)


def test_images_of_the_unit_interval():
    source = _source(mean=(0.4, 0.5), std=(0.2, 0.3))
    assert source.input_scaling == "standardized"
    plain = source.scaled("unit_interval")
    assert plain.input_scaling == "unit_interval"
    np.testing.assert_allclose(
        _loaded(plain), plain.train.images / np.float32(255), atol=1e-7
    )


def test_the_data_sets_own_way_is_no_change():
    for source in (_source(), _source(mean=(0.4, 0.5), std=(0.2, 0.3))):
        assert source.scaled(None) is source
        assert source.scaled(source.input_scaling) is source


def test_unknown_ways_list_the_known_ones():
    text = "input_scaling='none', expected one of unit_interval, standardized"
    with pytest.raises(ValueError, match=text):
        _source().scaled("none")
