"""Which window of an image a network is shown, where images have many sizes.

The papers do not say. Training: a window of 8 to 100% of the area and 3/4 to 4/3 as
wide as high, anywhere, brought to the network's size and mirrored or not, as the
reference implementations of PyTorch and TensorFlow train on ImageNet. Measuring: the
middle of the image whose shorter side was brought to 256 pixels where the network takes
224 (342 for 299), so 7/8 of the shorter side.

Windows are a function of an image's size and its bits.
"""

import numpy as np

_MEASURED_FRACTION = 7 / 8
_AREAS, _ASPECTS = (0.08, 1.0), (3 / 4, 4 / 3)
# A window that does not fit is drawn anew so often; then the largest one is taken.
_TRIES = 10
# What a try draws: area, aspect, and where the window lies.
_DRAWS = 4


def measured(sizes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the windows that are measured: [count, 4] int32.

    Args:
      sizes: (height, width) of each image: [count, 2] int32.
      shape: (height, width, ...) of what the network is shown.

    Returns:
      (top, left, height, width) of each.
    """
    # Of a square, as high and wide as the shorter side; else the largest of its shape.
    scales = (sizes / np.array(shape[:2])).min(axis=1, keepdims=True)
    sides = _rounded(_MEASURED_FRACTION * scales * np.array(shape[:2]))
    sides = np.clip(sides, 1, sizes)
    return _placed((sizes - sides) // 2, sides)


def drawn(sizes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Returns the windows that are trained on: [count, 4] int32.

    Args:
      sizes: (height, width) of each image: [count, 2] int32.
      bits: [count] int32 in [0, 2**31), of which the lowest is not used.

    Returns:
      (top, left, height, width) of each.
    """
    draws = _uniform(bits >> 1, _TRIES * _DRAWS).reshape(-1, _TRIES, _DRAWS)
    areas, aspects = draws[..., 0], draws[..., 1]
    smallest, narrowest = _AREAS[0], np.log(_ASPECTS[0])
    areas = smallest + (_AREAS[1] - smallest) * areas
    areas = areas * sizes.prod(axis=1, dtype=np.float64)[:, None]
    widest = np.log(_ASPECTS[1])
    aspects = np.exp(narrowest + (widest - narrowest) * aspects)
    # The first try that fits inside of the image counts.
    tries = _rounded(np.sqrt(np.stack([areas / aspects, areas * aspects], axis=-1)))
    fits = ((tries >= 1) & (tries <= sizes[:, None])).all(axis=-1)
    first = fits.argmax(axis=1)
    each = np.arange(len(sizes))
    sides, places = tries[each, first], draws[each, first, 2:]
    any_fits = fits.any(axis=1)[:, None]
    sides = np.where(any_fits, sides, _largest(sizes))
    spare = sizes - sides
    corners = np.floor(places * (spare + 1)).astype(np.int64)
    return _placed(np.where(any_fits, corners, spare // 2), sides)


def _largest(sizes: np.ndarray) -> np.ndarray:
    """Returns (height, width) of the largest windows of an aspect that is allowed."""
    heights, widths = sizes[:, 0], sizes[:, 1]
    wide = np.minimum(widths, np.maximum(1, _rounded(_ASPECTS[1] * heights)))
    high = np.minimum(heights, np.maximum(1, _rounded(widths / _ASPECTS[0])))
    return np.stack([high, wide], axis=1)


def _placed(corners: np.ndarray, sides: np.ndarray) -> np.ndarray:
    return np.concatenate([corners, sides], axis=1).astype(np.int32)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Returns whole numbers; halves are rounded up."""
    return np.floor(values + 0.5).astype(np.int64)


def _uniform(words: np.ndarray, count: int) -> np.ndarray:
    """Returns numbers in [0, 1) that each word decides: [words, count] float64."""
    # SplitMix64 of a counter that begins at a place of the word's own.
    states = words.astype(np.uint64)[:, None] << np.uint64(32)
    states = states + np.arange(1, count + 1, dtype=np.uint64)
    states = states * np.uint64(0x9E3779B97F4A7C15)
    states = (states ^ states >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    states = (states ^ states >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    states ^= states >> np.uint64(31)
    return (states >> np.uint64(11)).astype(np.float64) * 2.0**-53
