"""Images of one data set in the shape of another's."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tflottery.datasets import pipeline, resizing
from tflottery.datasets.arrays import Source, Split


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _source(images: np.ndarray, *, scaled: bool = True) -> Source:
    split = Split(images, np.zeros(len(images), np.int32))
    channels = images.shape[-1]
    mean, std = (0.1, 2.0) if scaled else (0.0, 1.0)
    return Source(
        "dots", "1", "0", split, split, 1, (mean,) * channels, (std,) * channels
    )


def test_the_shape_it_has_changes_nothing():
    images = _images(3, 8, 6, 3)
    assert (resizing.resized(images, (8, 6, 3)) == images).all()
    source = _source(images)
    assert resizing.of(source, (8, 6, 3)) is source
    assert resizing.of(source, None) is source


def test_one_grey_stays_that_grey_in_all_sizes():
    images = np.full((2, 7, 5, 1), 137, np.uint8)
    for shape in ((3, 3, 1), (28, 28, 1), (32, 16, 3)):
        found = resizing.resized(images, shape)
        assert found.shape == (2, *shape)
        assert (found == 137).all()


def test_half_the_size_is_a_mean_of_neighbours():
    # A triangle over four pixels: an eighth, three eighths, three eighths, an eighth.
    row = np.array([0, 0, 80, 80, 0, 0, 0, 0], np.uint8)
    images = np.broadcast_to(row[None, None, :, None], (1, 8, 8, 1))
    found = resizing.resized(images, (8, 4, 1))[0, 0, :, 0]
    assert found.tolist() == [11, 60, 10, 0]


def test_twice_the_size_goes_in_between():
    row = np.array([0, 100], np.uint8)
    images = np.broadcast_to(row[None, None, :, None], (1, 2, 2, 1))
    assert resizing.resized(images, (2, 4, 1))[0, 0, :, 0].tolist() == [0, 25, 75, 100]


def test_colours_and_greys():
    grey = _images(2, 4, 4, 1)
    coloured = resizing.resized(grey, (4, 4, 3))
    assert (coloured == grey).all()
    assert (resizing.resized(coloured, (4, 4, 1)) == grey).all()
    red = np.zeros((1, 4, 4, 3), np.uint8)
    red[..., 0] = 255
    assert (resizing.resized(red, (4, 4, 1)) == 77).all()


def test_images_are_scaled_as_they_were():
    images = _images(50, 6, 6, 3)
    found = resizing.of(_source(images), (4, 4, 1))
    pixels = found.train.images / 255
    assert np.allclose(found.mean, pixels.mean())
    assert np.allclose(found.std, pixels.std())
    plain = resizing.of(_source(images, scaled=False), (4, 4, 1))
    assert (plain.mean, plain.std) == ((0.0,), (1.0,))
    assert plain.digest == "0"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((7, 5, 3), (19, 24, 3)),
        ((7, 5, 1), (13, 3, 3)),
        ((9, 16, 3), (4, 5, 1)),
        ((5, 5, 1), (5, 40, 1)),
        ((40, 33, 3), (7, 33, 3)),
    ],
)
def test_what_is_too_large_in_memory_is_resized_batch_by_batch(monkeypatch, old, new):
    """To the same bits, in every form of loop, of every part of the data."""
    source = _source(_images(50, *old))
    whole = resizing.of(source, new)
    monkeypatch.setattr(resizing, "_MOST_BYTES", 2 * 50 * np.prod(new) - 1)
    found = resizing.of(source, new)
    assert isinstance(found.train.images, resizing.ResizedImages)
    assert found.image_shape == new and found.train.images.shape == (50, *new)
    assert (found.mean, found.std) == (whole.mean, whole.std)
    assert (np.asarray(found.test.images) == whole.test.images).all()
    some = np.arange(50) % 3 > 0
    part, expected = (
        dataclasses.replace(one, train=Split(one.train.images[some], one.train.labels))
        for one in (found, whole)
    )
    indices, bits = tf.constant([3, 32, 3, 0]), tf.constant([7, 2**30 + 9, 1, 0])
    with_augmentation = {"split": "train", "augmentation": "flip_crop"}
    images, _ = pipeline.loader(expected, **with_augmentation)(indices, bits)
    for jit in (False, True):
        load = pipeline.loader(part, **with_augmentation)
        load = tf.function(load, jit_compile=jit, autograph=False)
        assert (load(indices, bits)[0].numpy() == images.numpy()).all()


def test_white_stays_white_batch_by_batch():
    images = np.full((2, 9, 9, 3), 255, np.uint8)
    for shape in ((31, 31, 3), (4, 4, 1)):
        found = resizing.ResizedImages(images, shape).shown(tf.constant(images))
        assert found.shape == (2, *shape) and (found.numpy() == 255).all()


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 4, 2\).*\(4, 4, 3\): .*1 channel to 3"):
        resizing.of(_source(_images(2, 4, 4, 2)), (4, 4, 3))
