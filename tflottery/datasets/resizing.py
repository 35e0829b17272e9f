"""Images brought to another shape, so that a network of one data set fits another.

Many small images made large would fill the memory: they stay as they are, and are
resized batch by batch (`ResizedImages`), to the same bits.

Sizes change by bilinear interpolation, whose filter grows where an image shrinks, so
that small images are means of large ones. Grey images become coloured ones of three
equal channels; coloured ones become grey by the brightness of their colours (ITU-R
BT.601). Sums are of whole numbers, hence the same on all machines.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from tflottery.datasets import arrays
from tflottery.datasets.arrays import LUMA, Source, Split

if TYPE_CHECKING:
    import tensorflow as tf

# Weights of an average are multiples of 1 / 65,536.
_ONE_BITS = 16
_ONE = 1 << _ONE_BITS
_COLOURED = len(LUMA)
# Values of the images that are resized at once.
_VALUES_AT_ONCE = 2**22
# Of a data set, what may be held in memory resized.
_MOST_BYTES = 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class ResizedImages:
    """Images that are resized when they are asked for, in the place of an array.

    Attributes:
      images: as they are: [examples, height, width, channels] uint8.
      image_shape: (height, width, channels) that they are brought to.
    """

    images: np.ndarray
    image_shape: tuple[int, int, int]

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(examples, height, width, channels)."""
        return (len(self.images), *self.image_shape)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: np.ndarray | slice) -> ResizedImages:
        """Returns the images that indices, an array of bool or a slice choose."""
        return dataclasses.replace(self, images=self.images[chosen])

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        """Returns all of them resized."""
        del copy
        return resized(self.images, self.image_shape).astype(dtype or self.dtype)

    def shown(self, images: tf.Tensor) -> tf.Tensor:
        """Returns some of `images` resized, in whole numbers however it is compiled.

        Args:
          images: [batch, height, width, channels] uint8.
        """
        import tensorflow as tf

        height, width, channels = self.image_shape
        values = tf.cast(images, tf.uint32)
        if images.shape[-1] > channels:
            values = tf.reduce_sum(tf.cast(images, tf.int32) * LUMA, -1, keepdims=True)
            values = tf.cast(tf.bitwise.right_shift(values + 128, 8), tf.uint32)
        # A second factor of 65,536 has room if the sums are taken in two parts.
        sums = _averaged(values, height, axis=1)
        byte, half = (tf.constant(one, tf.uint32) for one in (8, 1 << 23))
        high = _averaged(tf.bitwise.right_shift(sums, byte), width)
        low = _averaged(tf.bitwise.bitwise_and(sums, 255), width)
        found = high + tf.bitwise.right_shift(low, byte) + half
        found = tf.bitwise.right_shift(found, 3 * byte)
        found = tf.cast(found, tf.uint8)
        return tf.repeat(found, channels // found.shape[-1], axis=-1)


def of(source: Source, image_shape: tuple[int, int, int] | None) -> Source:
    """Returns a data set with images of another shape, scaled to be as they were.

    Standardized images have mean 0 and standard deviation 1 in the new shape.

    Args:
      source: the data set.
      image_shape: (height, width, channels), the last 1 or 3; None: as they are.

    Raises:
      ValueError: the images have other numbers of channels than 1 and 3, or are to.
    """
    if image_shape in (None, source.image_shape):
        return source
    channels = {source.image_shape[-1], image_shape[-1]}
    if len(channels) > 1 and channels != {1, _COLOURED}:
        raise ValueError(
            f"Images of {source.name!r} have shape {source.image_shape} and cannot be "
            f"brought to {image_shape}: there are ways from 1 channel to {_COLOURED} "
            "and back, no others."
        )
    if source.is_encoded:
        return _shown(source, image_shape)
    splits = source.train, source.test
    num_bytes = sum(len(one.labels) for one in splits) * int(np.prod(image_shape))
    bring = resized if num_bytes <= _MOST_BYTES else ResizedImages
    train, test = (
        Split(bring(split.images, image_shape), split.labels) for split in splits
    )
    mean, std = np.zeros(image_shape[-1]), np.ones(image_shape[-1])
    if source.input_scaling != arrays.UNIT_INTERVAL:
        mean, std = arrays.moments(train.images)
    return dataclasses.replace(
        source,
        train=train,
        test=test,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
    )


def _shown(source: Source, image_shape: tuple[int, int, int]) -> Source:
    """Returns encoded images of another shape; their moments stay those of colours."""
    source = source.shaped(image_shape)
    if len(source.mean) == image_shape[-1]:
        return source
    weights = np.array(LUMA) / sum(LUMA)
    mean, std = (float(weights @ one) for one in (source.mean, source.std))
    return dataclasses.replace(source, mean=(mean,), std=(std,))


def resized(images: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns images of another shape.

    Args:
      images: [examples, height, width, channels] uint8.
      image_shape: (height, width, channels).
    """
    height, width, channels = image_shape
    down = _averages(images.shape[1], height)
    across = _averages(images.shape[2], width)
    found = np.empty((len(images), *image_shape), np.uint8)
    largest = max(int(np.prod(image_shape)), int(np.prod(images.shape[1:])))
    count = max(1, _VALUES_AT_ONCE // largest)
    for first in range(0, len(images), count):
        part = images[first : first + count]
        if part.shape[-1] > channels:
            part = (part @ np.array(LUMA)[:, None] + 128) // 256
        # Whole numbers below 2**41: exact, in whatever order they are added up.
        sums = np.einsum("nhwc,Hh->nHwc", part.astype(np.float64), down, optimize=True)
        sums = np.einsum("nHwc,Ww->nHWc", sums, across, optimize=True)
        found[first : first + len(part)] = np.floor(sums / _ONE**2 + 0.5)
    return found


def _averaged(values: tf.Tensor, new: int, *, axis: int = 2) -> tf.Tensor:
    """Returns weighted sums along an axis, in 1 / 65,536: uint32.

    Args:
      values: [batch, height, width, channels] uint32 below 2**16.
      new: how many pixels there are to be along the axis.
      axis: 1 or 2.
    """
    import tensorflow as tf

    weights = _averages(values.shape[axis], new).astype(np.uint32)
    # The pixels with a weight lie side by side.
    firsts = (weights > 0).argmax(axis=1)
    num_weights = int((weights > 0).sum(axis=1).max())
    shape = [1, 1, 1, 1]
    shape[axis] = new
    total = None
    for place in range(num_weights):
        pixels = np.minimum(firsts + place, values.shape[axis] - 1)
        # Past the last pixel with a weight, none counts again.
        own = np.where(firsts + place == pixels, weights[np.arange(new), pixels], 0)
        part = tf.gather(values, pixels.astype(np.int32), axis=axis)
        part = part * own.astype(np.uint32).reshape(shape)
        total = part if total is None else total + part
    return total


def _averages(old: int, new: int) -> np.ndarray:
    """Returns what each new pixel takes of each old one, in 1 / 65,536.

    Returns:
      [new, old] float64 of whole numbers; each row adds up to 65,536.
    """
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale - 0.5
    distances = np.abs(np.arange(old) - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - distances)
    weights = np.rint(weights / weights.sum(axis=1, keepdims=True) * _ONE)
    # What rounding left out goes to the heaviest pixel.
    heaviest = weights.argmax(axis=1)
    weights[np.arange(new), heaviest] += _ONE - weights.sum(axis=1)
    return weights
