"""Augmentations by hand: what is mirrored, moved and recoloured, and how far."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.recipes import AUGMENTATIONS, RESIZED_CROP
from tflottery.datasets import augmentations
from tflottery.layers import hashing


def bits_of(*, mirrored=0, down=0, right=0):
    """The bits that mirror, then show the window moved by some pixels."""
    return mirrored + 2 * ((down + 4) + 9 * (right + 4))


def changed(image, bits):
    """flipped_and_cropped of one image of one channel, as a list of rows."""
    images = tf.constant(image, tf.uint8)[None, :, :, None]
    result = augmentations.flipped_and_cropped(images, tf.constant([bits], tf.int32))
    return result.numpy()[0, :, :, 0].tolist()


def by_hand(images, *factors):
    """Images of other brightness, contrast and saturation.

    Args:
      images: [batch, height, width, 3].
      factors: of 128, each [batch].
    """
    brightness, contrast, saturation = (
        one[:, None, None, None] for one in np.asarray(factors)
    )
    values = np.clip(images.astype(int) * brightness // 128, 0, 255)
    grey = values.sum(axis=(1, 2, 3), keepdims=True) // values[0].size
    values = np.clip(grey + (values - grey) * contrast // 128, 0, 255)
    grey = (values * [77, 150, 29]).sum(axis=-1, keepdims=True) // 256
    return np.clip(grey + (values - grey) * saturation // 128, 0, 255)


def test_flip_and_crop_by_hand():
    image = [[1, 2, 3], [4, 5, 6]]
    assert changed(image, bits_of()) == image
    assert changed(image, bits_of(mirrored=1)) == [[3, 2, 1], [6, 5, 4]]
    assert changed(image, bits_of(down=1)) == [[4, 5, 6], [0, 0, 0]]
    assert changed(image, bits_of(down=-1)) == [[0, 0, 0], [1, 2, 3]]
    assert changed(image, bits_of(right=1)) == [[2, 3, 0], [5, 6, 0]]
    assert changed(image, bits_of(right=-2)) == [[0, 0, 1], [0, 0, 4]]
    assert changed(image, bits_of(mirrored=1, right=1)) == [[0, 3, 2], [0, 6, 5]]
    assert changed(image, bits_of(down=4, right=4)) == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("augmentation", "padding"), [("flip_crop", 4), ("flip_crop_2", 2)]
)
def test_flip_and_crop_against_padding_and_slicing(augmentation, padding):
    windows = 2 * padding + 1
    count = 2 * windows**2
    generator = np.random.default_rng(1)
    images = generator.integers(1, 256, (count, 8, 7, 3), dtype=np.uint8)
    bits = np.arange(count, dtype=np.int32)
    result = augmentations.augmented(
        tf.constant(images), tf.constant(bits), augmentation=augmentation
    )
    for image, bit, found in zip(images, bits, result.numpy(), strict=True):
        padded = np.pad(image, [(padding, padding), (padding, padding), (0, 0)])
        top, left = (bit >> 1) % windows, (bit >> 1) // windows
        expected = padded[top : top + 8, left : left + 7]
        expected = expected[:, ::-1] if bit & 1 else expected
        np.testing.assert_array_equal(found, expected)


def test_recoloured_by_hand():
    generator = np.random.default_rng(2)
    images = generator.integers(0, 256, (60, 5, 4, 3))
    words = tf.constant(generator.integers(0, 2**32, 60), tf.uint32)
    found = augmentations.recoloured(tf.constant(images, tf.int32), words)
    factors = []
    for _ in range(3):
        drawn, words = hashing.drawn(words, 103)
        factors.append(77 + drawn.numpy())
    # By up to two fifths, darker or brighter.
    assert np.min(factors) < 85 and np.max(factors) > 171
    np.testing.assert_array_equal(found, by_hand(images, *factors))


def test_colours_change_after_flip_and_crop():
    generator = np.random.default_rng(2)
    images = tf.constant(generator.integers(1, 256, (40, 6, 6, 3), dtype=np.uint8))
    bits = tf.constant(generator.integers(0, 2**31, 40, dtype=np.int32))
    moved = augmentations.augmented(images, bits, augmentation="flip_crop_2")
    found = augmentations.augmented(images, bits, augmentation="flip_crop_2_colour")
    np.testing.assert_array_equal(found, augmentations.coloured(moved, bits))
    assert (found.numpy() != moved.numpy()).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(
    "augmentation", [one for one in AUGMENTATIONS if one != RESIZED_CROP]
)
def test_the_same_bits_change_images_alike(augmentation):
    generator = np.random.default_rng(3)
    images = np.repeat(generator.integers(0, 256, (1, 6, 6, 1), np.uint8), 300, axis=0)
    bits = generator.integers(0, 2**31, 150, dtype=np.int32).repeat(2)
    found = augmentations.augmented(
        tf.constant(images), tf.constant(bits), augmentation=augmentation
    ).numpy()
    np.testing.assert_array_equal(found[::2], found[1::2])
    kinds = len(np.unique(found, axis=0))
    most = {"none": 1, "flip_crop": 2 * 81, "flip_crop_2": 2 * 25}
    assert kinds <= most.get(augmentation, 150)
    assert kinds >= {"none": 1}.get(augmentation, 40)
