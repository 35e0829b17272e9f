"""Instability: how far the error rises on the line between two networks.

Follows *Linear Mode Connectivity* (2019), Section 2 and Algorithm 1.
"""

from collections.abc import Sequence

import numpy as np


def instability(errors: Sequence[float] | np.ndarray) -> float:
    """Returns the highest error on the line minus the mean of the errors at its ends.

    Args:
      errors: [points] floats, from one end of the line to the other, both included;
        the paper has 30 points and fractions in [0, 1].

    Returns:
      >= 0, in the unit of the errors; 0 where no point is worse than equal ends.

    Raises:
      ValueError: fewer than two points, more than one dimension, or not finite.
    """
    errors = np.asarray(errors, dtype=np.float64)
    if errors.ndim != 1 or errors.size < 2:
        raise ValueError(
            f"errors has shape {errors.shape}, expected [points] with both ends of the "
            "line."
        )
    if not np.isfinite(errors).all():
        raise ValueError(
            f"errors holds values that are not finite: {errors.tolist()!r}. A network "
            "that diverged has no instability."
        )
    return float(errors.max() - (errors[0] + errors[-1]) / 2)
