"""How much each weight is worth: the weights of the highest scores are kept.

Magnitude is the papers' criterion, over the whole network and without normalization by
layer. Random scores are their control; taken over the whole network they prune every
layer alike, and within each layer they can follow the counts of another mask
(`masks.keep_highest_per_layer`).
"""

import math
from collections.abc import Collection, Mapping

import numpy as np

from tflottery.core import seeds

Scores = dict[str, np.ndarray]


def magnitude(weights: Mapping[str, np.ndarray], paths: Collection[str]) -> Scores:
    """Returns the absolute values of the named weights.

    Args:
      weights: arrays by variable path; may hold more than the named ones.
      paths: the kernels to score, as `prunable.prunable` returns them.

    Returns:
      New arrays of the weights' shapes and dtypes, in the order of `paths`.

    Raises:
      ValueError: a path is missing, or a named weight is not finite.
    """
    if isinstance(paths, str):
        raise ValueError(f"paths is the text {paths!r}, expected several paths.")
    missing = sorted(set(paths) - weights.keys())
    if missing:
        raise ValueError(
            f"No magnitudes of {missing}: these weights are missing. There are "
            f"{sorted(weights)}."
        )
    for path in paths:
        finite = np.isfinite(weights[path])
        if not finite.all():
            wrong = np.asarray(weights[path])[~finite]
            raise ValueError(
                f"{wrong.size} of the {finite.size} weights of {path!r} are not "
                f"finite, such as {float(wrong[0])!r}; expected numbers that have an "
                "order. A network that diverged cannot be pruned."
            )
    return {path: np.abs(weights[path]) for path in paths}


def random(shapes: Mapping[str, tuple[int, ...]], *, seed: int) -> Scores:
    """Returns uniform random scores: one ranking per seed.

    The scores of a path are a function of seed, path and number of weights alone, so
    that they are the same whatever else is pruned. Masks of fewer and fewer survivors
    by the same scores are nested.

    Args:
      shapes: shapes by kernel path.
      seed: of `core.seeds`, one per replicate.

    Returns:
      float64 in [0, 1) of these shapes, with 53 random bits each: ties hardly occur.
    """
    return {path: _uniform(seed, path, shape) for path, shape in shapes.items()}


def _uniform(seed: int, path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the random scores of one path: float64 in [0, 1) of `shape`."""
    words = seeds.raw_bits(seed, path, math.prod(shape))
    # float64 holds 53 bits exactly.
    return ((words >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)
