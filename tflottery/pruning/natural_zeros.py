"""Weights that training alone brings to zero, up to machine precision.

Finding Winning Tickets with Limited (or No) Supervision counts them (Figures 6 and 9)
and prunes the others at random (Section 4.5).
"""

import numpy as np

# The distance of 1 from the next number in float32; the paper does not name a number,
# and its figures end at 1e-7.
MACHINE_PRECISION = float(np.finfo(np.float32).eps)


def are_zero(weights: np.ndarray) -> np.ndarray:
    """Returns which weights are below machine precision: bool of their shape."""
    return np.abs(weights) < MACHINE_PRECISION
