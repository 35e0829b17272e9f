"""The line between two networks: which weights lie on it, and how long it is.

Follows *Linear Mode Connectivity* (2019), Algorithm 1 (30 evenly spaced points) and
Appendix D (L2 distance). Batch norm statistics lie on the line like weights.
"""

import math
from collections.abc import Collection, Mapping

import numpy as np

NUM_ALPHAS = 30
# Evenly spaced in [0, 1]; 0 is the second network, 1 the first.
ALPHAS = tuple(index / (NUM_ALPHAS - 1) for index in range(NUM_ALPHAS))


def between(
    a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], alpha: float
) -> dict[str, np.ndarray]:
    """Returns alpha * a + (1 - alpha) * b for every tensor.

    Exactly `a` at 1, exactly `b` at 0, and at every alpha exactly the common value
    where the two agree: pruned weights stay 0.0, and the line between equal networks
    is one point.

    Args:
      a: arrays by variable path, floating.
      b: arrays of the same paths and shapes.
      alpha: in [0, 1].

    Returns:
      New arrays of `a`'s dtypes, by variable path.

    Raises:
      ValueError: alpha is out of range, or paths or shapes differ.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha!r}, expected in [0, 1].")
    _refuse_unlike(a, b)
    if alpha == 1:
        return {path: np.array(value) for path, value in a.items()}
    return {
        path: b[path] + value.dtype.type(alpha) * (value - b[path])
        for path, value in a.items()
    }


def l2_distance(
    a: Mapping[str, np.ndarray],
    b: Mapping[str, np.ndarray],
    *,
    paths: Collection[str],
) -> float:
    """Returns the Euclidean distance of two networks, computed in float64.

    Args:
      a: arrays by variable path.
      b: arrays by variable path.
      paths: which of them count: the trainable ones, in any order.

    Raises:
      ValueError: a network lacks one of the paths, or shapes differ.
    """
    if isinstance(paths, str):
        raise ValueError(f"paths is the text {paths!r}, expected several paths.")
    lacking = sorted(set(paths) - (a.keys() & b.keys()))
    if lacking:
        raise ValueError(
            f"No distance over {lacking}: a network lacks them. The first has "
            f"{sorted(a)}, the second {sorted(b)}."
        )
    chosen = sorted(set(paths))
    _refuse_unlike({p: a[p] for p in chosen}, {p: b[p] for p in chosen})
    squares = (
        np.sum(np.square(np.subtract(a[path], b[path], dtype=np.float64)))
        for path in chosen
    )
    return math.sqrt(math.fsum(squares))


def _refuse_unlike(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError unless both have the same paths and shapes."""
    if a.keys() != b.keys():
        raise ValueError(
            "Two networks of different variables have no line between them: only in "
            f"the first {sorted(a.keys() - b.keys())}, only in the second "
            f"{sorted(b.keys() - a.keys())}."
        )
    for path, value in a.items():
        if value.shape != b[path].shape:
            raise ValueError(
                f"Variable {path!r} has shape {value.shape} in the first network and "
                f"{b[path].shape} in the second, expected one shape."
            )
