"""Images brought to another shape, so that a network of one data set fits another.

Sizes change by bilinear interpolation, whose filter grows where an image shrinks, so
that small images are means of large ones. Grey images become coloured ones of three
equal channels; coloured ones become grey by the brightness of their colours (ITU-R
BT.601). Sums are of whole numbers, hence the same on all machines.
"""

import dataclasses

import numpy as np

from tflottery.datasets import arrays
from tflottery.datasets.arrays import LUMA, Source, Split

# Weights of an average are multiples of 1 / 65,536.
_ONE = 1 << 16
_COLOURED = len(LUMA)
_IMAGES_AT_ONCE = 1024


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
    train, test = (
        Split(resized(split.images, image_shape), split.labels)
        for split in (source.train, source.test)
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
    for first in range(0, len(images), _IMAGES_AT_ONCE):
        part = images[first : first + _IMAGES_AT_ONCE]
        if part.shape[-1] > channels:
            part = (part @ np.array(LUMA)[:, None] + 128) // 256
        # Whole numbers below 2**41: exact, in whatever order they are added up.
        sums = np.einsum("nhwc,Hh->nHwc", part.astype(np.float64), down, optimize=True)
        sums = np.einsum("nHwc,Ww->nHWc", sums, across, optimize=True)
        found[first : first + len(part)] = np.floor(sums / _ONE**2 + 0.5)
    return found


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
