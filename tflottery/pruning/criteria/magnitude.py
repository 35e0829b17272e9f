"""Magnitude: a weight is worth its absolute value at the end of training.

The papers' criterion (LMC, Algorithm 2), over the whole network and without
normalization by layer.
"""

from collections.abc import Mapping

import numpy as np

from tflottery.core.registry import CRITERIA
from tflottery.pruning.masks import Scores


@CRITERIA.register("magnitude", version=1, scored_weights="trained", seeded=False)
def magnitude(
    weights: Mapping[str, np.ndarray], *, shapes: Mapping[str, tuple], seed: int
) -> Scores:
    """Returns the absolute values, of the weights' dtypes.

    Raises:
      ValueError: a weight is not finite; a network that diverged has no order.
    """
    del shapes, seed
    for path, values in weights.items():
        finite = np.isfinite(values)
        if not finite.all():
            wrong = np.asarray(values)[~finite]
            raise ValueError(
                f"{wrong.size} of the {finite.size} weights of {path!r} are not "
                f"finite, such as {float(wrong[0])!r}; expected numbers that have an "
                "order. A network that diverged cannot be pruned."
            )
    return {path: np.abs(values) for path, values in weights.items()}
