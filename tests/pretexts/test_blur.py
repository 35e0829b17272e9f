"""Blur: means of 4 x 4 pixels, and lines between their centres."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.registry import PRETEXTS


def blurred(ask, images, **options):
    """blur of images [batch, height, width, channels] or one [height, width]."""
    images = np.asarray(images, np.float32)
    alone = images.ndim == 2
    images = images[None, :, :, None] if alone else images
    inputs = ask.inputs(images.shape[1:], count=len(images))
    inputs["images"] = tf.constant(images)
    found, labels = ask("blur", inputs, **options)
    np.testing.assert_array_equal(labels, inputs["labels"])
    return found[0, :, :, 0] if alone else found


def in_blocks(values):
    """An image that is constant in 4 x 4 blocks."""
    return np.kron(values, np.ones((4, 4)))


# Between the centres of a dark and a bright block, and beyond them, in eighths.
ROW = [0, 0, 1, 3, 5, 7, 8, 8]


def test_two_blocks_by_hand(ask):
    found = blurred(ask, in_blocks([[0.0, 1.0]]))
    assert (found * 8).tolist() == [ROW] * 4
    found = blurred(ask, in_blocks([[0.0], [1.0]]))
    assert (found * 8).tolist() == np.transpose([ROW] * 4).tolist()


def test_three_blocks_by_hand(ask):
    found = blurred(ask, in_blocks([[0.5, 1.0, 0.0]]))
    row = [8, 8, 9, 11, 13, 15, 14, 10, 6, 2, 0, 0]
    assert (found * 16).tolist() == [row] * 4


def test_rows_and_columns_by_hand(ask):
    """One bright block of four: the product of a line down and a line across."""
    found = blurred(ask, in_blocks([[0.0, 0.0], [0.0, 1.0]]))
    assert (found * 64).tolist() == np.outer(ROW, ROW).tolist()


def test_only_the_mean_of_a_block_counts(ask):
    checked = np.indices((8, 8)).sum(axis=0) % 2
    assert (blurred(ask, checked) == 0.5).all()
    single = np.zeros((4, 8))
    single[3, 5] = 1
    found = blurred(ask, single)
    assert (found * 8 * 16).tolist() == [ROW] * 4


def test_a_constant_image_stays_to_the_bit(ask):
    values = np.concatenate([np.arange(256) / 255, np.random.default_rng(0).random(99)])
    images = np.empty((len(values), 8, 12, 1), np.float32)
    images[:] = values[:, None, None, None]
    for form in (None, "graph", "xla"):
        np.testing.assert_array_equal(blurred(ask, images, form=form), images)


@pytest.mark.parametrize("shape", [(4, 4, 1), (8, 12, 1), (28, 28, 1), (32, 32, 3)])
def test_against_numpy_in_float64(shape, ask):
    images = ask.inputs(shape)["images"].numpy()
    height, width, channels = shape
    small = images.astype(np.float64).reshape(
        -1, height // 4, 4, width // 4, 4, channels
    )
    small = small.mean(axis=(2, 4))
    down, across = weights(height // 4), weights(width // 4)
    expected = np.einsum("Hh,Ww,bhwc->bHWc", down, across, small)
    np.testing.assert_allclose(blurred(ask, images), expected, atol=3e-7)


def weights(size):
    """How much of each small pixel is in each large one: [4 size, size]."""
    places = (np.arange(4 * size) + 0.5) / 4 - 0.5
    places = places.clip(0, size - 1)
    return np.maximum(0, 1 - abs(places[:, None] - np.arange(size)))


def test_channels_examples_and_mirror_images_are_apart(ask):
    images = ask.inputs((8, 8, 3))["images"].numpy()
    found = blurred(ask, images)
    for channel in range(3):
        alone = images[..., channel : channel + 1]
        np.testing.assert_array_equal(
            blurred(ask, alone), found[..., channel : channel + 1]
        )
    mirrored = blurred(ask, images[:, :, ::-1])
    np.testing.assert_allclose(mirrored, found[:, :, ::-1], atol=3e-7)


@pytest.mark.parametrize("shape", [(30, 32, 1), (32, 30, 1)])
@pytest.mark.parametrize("name", ["blur", "blur_rotation"])
def test_sizes_that_four_does_not_divide_are_refused(name, shape, ask):
    height, width, _ = shape
    text = f"{height} x {width} cannot be made 4 times smaller.*multiples of 4"
    with pytest.raises(ValueError, match=text):
        ask(name, ask.inputs(shape))


def test_keeps_the_classes_of_the_data():
    assert PRETEXTS["blur"]["num_outputs"] is None
