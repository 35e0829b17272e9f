"""Random pruning: every weight is worth the same, and chance decides.

The papers' control. Taken over the whole network it prunes every layer alike; within
each layer it can follow the counts of another mask (`masks.keep_highest_per_layer`).
"""

import math
from collections.abc import Mapping

import numpy as np

from tflottery.core import seeds
from tflottery.core.registry import CRITERIA
from tflottery.pruning.masks import Scores


@CRITERIA.register("random", version=1, scored_weights="none", seeded=True)
def random(
    weights: Mapping[str, np.ndarray], *, shapes: Mapping[str, tuple], seed: int
) -> Scores:
    """Returns uniform random scores: one ranking per seed.

    The scores of a path are a function of seed, path and number of weights alone, so
    that they are the same whatever else is pruned. Masks of fewer and fewer survivors
    by the same scores are nested.

    Returns:
      float64 in [0, 1) of the shapes, with 53 random bits each: ties hardly occur.
    """
    del weights
    return {path: _uniform(seed, path, shape) for path, shape in shapes.items()}


def _uniform(seed: int, path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the random scores of one path: float64 in [0, 1) of `shape`."""
    words = seeds.raw_bits(seed, path, math.prod(shape))
    # float64 holds 53 bits exactly.
    return ((words >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)
