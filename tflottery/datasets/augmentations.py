"""Augmentations: images changed in training, as random bits of each decide.

Random flips and crops with zeros around the image are the papers' on CIFAR-10: by up to
four pixels in The Early Phase, by up to two in Finding Winning Tickets with Limited (or
No) Supervision, which changes colours too where few images are left (Appendix A; by how
much it does not say). All is arithmetic of whole numbers, exact however it is compiled.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tflottery.datasets.arrays import LUMA

if TYPE_CHECKING:
    import tensorflow as tf

# Colours are changed in steps of 1/128.
_ONE_BITS = 7
_ONE, _MOST_CHANGE = 1 << _ONE_BITS, 51
# What colours are drawn from an example's bits with: flips and crops use them as is.
_COLOURS = 0x0C0104E5


def augmented(images: tf.Tensor, bits: tf.Tensor, *, augmentation: str) -> tf.Tensor:
    """Returns images changed as bits decide.

    Args:
      images: [batch, height, width, channels] uint8, of static shape.
      bits: [batch] int32 in [0, 2**31).
      augmentation: one of `core.recipes.AUGMENTATIONS`.
    """
    for step in _STEPS[augmentation]:
        images = step(images, bits)
    return images


def flipped_and_cropped(
    images: tf.Tensor, bits: tf.Tensor, *, padding: int = 4
) -> tf.Tensor:
    """Returns images mirrored or not and moved by a few pixels, as bits decide.

    The lowest bit mirrors left and right; the rest choose one of the windows of the
    image with rows and columns of zeros around it: 81 if they are four, 25 if two.

    Args:
      images: [batch, height, width, channels] uint8, of static shape.
      bits: [batch] int32 in [0, 2**31).
      padding: rows and columns of zeros on each side, the most an image is moved by.
    """
    import tensorflow as tf

    batch, height, width, channels = images.shape
    num_offsets = 2 * padding + 1
    mirrored = tf.bitwise.bitwise_and(bits, 1)[:, None] == 1
    offsets = tf.bitwise.right_shift(bits, 1)[:, None]
    top = offsets % num_offsets - padding
    left = offsets // num_offsets % num_offsets - padding

    rows = tf.range(height)[None] + top
    columns = tf.range(width)[None]
    columns = tf.where(mirrored, width - 1 - columns, columns) + left
    # A pixel outside is the one black pixel appended behind all others: that costs less
    # than padding every image.
    black = batch * height * width
    examples = tf.range(batch)[:, None] * height
    firsts = tf.where((rows >= 0) & (rows < height), (examples + rows) * width, black)
    columns = tf.where((columns >= 0) & (columns < width), columns, black)
    pixels = tf.minimum(firsts[:, :, None] + columns[:, None, :], black)

    flat = tf.reshape(images, (black, channels))
    flat = tf.concat([flat, tf.zeros((1, channels), images.dtype)], axis=0)
    return tf.gather(flat, pixels)


def coloured(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Returns images in other colours (`recoloured`), as bits decide.

    Args:
      images: [batch, height, width, channels] uint8, of static shape.
      bits: [batch] int32 in [0, 2**31).
    """
    import tensorflow as tf

    from tflottery.layers import hashing

    number = tf.constant(_COLOURS, tf.uint32)
    words = hashing.mixed(tf.bitwise.bitwise_xor(tf.cast(bits, tf.uint32), number))
    return tf.cast(recoloured(tf.cast(images, tf.int32), words), images.dtype)


def recoloured(values: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
    """Returns images of other brightness, contrast and, in colour, saturation.

    Each is changed by up to 40%.

    Args:
      values: [batch, height, width, channels] int32 in [0, 255], of static shape.
      words: [batch] uint32, random.
    """
    import tensorflow as tf

    from tflottery.layers import hashing

    factors = []
    for _ in range(3):
        drawn, words = hashing.drawn(words, 2 * _MOST_CHANGE + 1)
        factors.append((drawn + _ONE - _MOST_CHANGE)[:, None, None, None])
    values = _blended(values, tf.zeros_like(values[..., :1]), factors[0])
    grey = tf.reduce_sum(values, axis=(1, 2, 3), keepdims=True)
    grey //= values.shape[1] * values.shape[2] * values.shape[3]
    values = _blended(values, grey, factors[1])
    if values.shape[-1] == len(LUMA):
        grey = tf.reduce_sum(values * tf.constant(LUMA), axis=-1, keepdims=True)
        values = _blended(values, tf.bitwise.right_shift(grey, 8), factors[2])
    return values


def _blended(values: tf.Tensor, grey: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Returns grey + (values - grey) * factors / 128 in [0, 255]; all are int32."""
    import tensorflow as tf

    # A shift rounds down as a division does, and is several times faster.
    changed = tf.bitwise.right_shift((values - grey) * factors, _ONE_BITS)
    return tf.clip_by_value(grey + changed, 0, 255)


_FLIP_CROP_2 = functools.partial(flipped_and_cropped, padding=2)
# By name, what is done in which order.
_STEPS = {
    "none": (),
    "flip_crop": (flipped_and_cropped,),
    "flip_crop_2": (_FLIP_CROP_2,),
    "flip_crop_2_colour": (_FLIP_CROP_2, coloured),
    # Done where images are decoded.
    "resized_crop": (),
}
