"""Instability: how far error or loss rises on the line between two networks.

`instability` follows *Linear Mode Connectivity* (2019), Section 2 and Algorithm 1:
above the mean of the ends. `barrier` is the other definition in use: above the straight
line between the values at the ends, so that ends of unlike quality make no barrier.
"""

from collections.abc import Sequence

import numpy as np


def instability(values: Sequence[float] | np.ndarray) -> float:
    """Returns the highest value on the line minus the mean of the values at its ends.

    Args:
      values: [points] errors or losses, from one end of the line to the other, both
        included; the paper has errors, fractions in [0, 1], at 30 points.

    Returns:
      >= 0, in the unit of the values; 0 where no point is worse than equal ends.

    Raises:
      ValueError: fewer than two points, more than one dimension, or not finite.
    """
    values = _validated("values", values)
    return float(values.max() - (values[0] + values[-1]) / 2)


def barrier(
    values: Sequence[float] | np.ndarray, alphas: Sequence[float] | np.ndarray
) -> float:
    """Returns how far the values rise above the straight line between their ends.

    Args:
      values: [points] errors or losses, from one end of the line to the other, both
        included.
      alphas: [points] where on the line each is, ascending.

    Returns:
      >= 0, in the unit of the values; 0 where they nowhere rise above that line. No
      farther from `instability` than half the difference of the ends.

    Raises:
      ValueError: fewer than two points, more than one dimension, not finite, not as
        many values as alphas, or alphas that do not ascend.
    """
    values, alphas = _validated("values", values), _validated("alphas", alphas)
    if values.shape != alphas.shape or (np.diff(alphas) <= 0).any():
        raise ValueError(
            f"{values.size} values at alphas={alphas.tolist()!r}: expected a value at "
            "each, in ascending order of alpha."
        )
    fractions = (alphas - alphas[0]) / (alphas[-1] - alphas[0])
    rises = values - ((1 - fractions) * values[0] + fractions * values[-1])
    # Rounding may put a line of equal values below itself.
    return max(0.0, float(rises.max()))


def _validated(name: str, numbers: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the numbers as an array; raises ValueError if they cannot be a line's."""
    numbers = np.asarray(numbers, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size < 2:
        raise ValueError(
            f"{name} has shape {numbers.shape}, expected [points] with both ends of "
            "the line."
        )
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"{name} holds numbers that are not finite: {numbers.tolist()!r}. A "
            "network that diverged has no instability."
        )
    return numbers
