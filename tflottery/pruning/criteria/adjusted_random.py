"""Adjusted random pruning: chance decides among the weights that training leaves.

The baseline of Finding Winning Tickets with Limited (or No) Supervision on CIFAR-10,
where training alone brings most weights to zero, up to machine precision (Section 3.2:
about 85% of VGG-19's). The other weights of the trained dense network are the natural
mask; sparser subnetworks are random subsets of it. Denser ones than it there are none.
"""

from collections.abc import Mapping

import numpy as np

from tflottery.core.registry import CRITERIA
from tflottery.pruning import natural_zeros
from tflottery.pruning.criteria.random import random
from tflottery.pruning.masks import Scores


@CRITERIA.register(
    "adjusted_random", version=1, scored_weights="dense_end", seeded=True
)
def adjusted_random(
    weights: Mapping[str, np.ndarray], *, shapes: Mapping[str, tuple], seed: int
) -> Scores:
    """Returns the scores of random pruning; -inf for weights that are zero by nature.

    So one seed is one ranking, and within the natural mask the order in which weights
    are pruned is that of random pruning.

    Raises:
      ValueError: a weight is not a number.
    """
    scores = random({}, shapes=shapes, seed=seed)
    for path, values in weights.items():
        if np.isnan(values).any():
            raise ValueError(
                f"{np.isnan(values).sum()} of the weights of {path!r} are not numbers. "
                "A network that diverged cannot be pruned."
            )
        scores[path][natural_zeros.are_zero(values)] = -np.inf
    return scores
