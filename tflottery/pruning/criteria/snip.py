"""SNIP: a weight is worth how much the loss would change at once if it went.

*SNIP: Single-shot Network Pruning Based on Connection Sensitivity* (Lee et al., 2019):
the magnitude of the loss's derivative with respect to a connection that is there or
not, which is |gradient * weight|, on one batch of training data (the paper's is of 100
or 128 images), for the untrained network. The paper divides by the sum of all scores,
which changes no order. Here the network may be that of any iteration k.
"""

import typing
from collections.abc import Mapping

import numpy as np

from tflottery.core.registry import CRITERIA
from tflottery.pruning.masks import Scores

EXAMPLES = 128


@CRITERIA.register(
    "snip", version=1, scored_weights="rewound", seeded=True, examples=EXAMPLES
)
def snip(
    weights: Mapping[str, np.ndarray],
    *,
    shapes: Mapping[str, tuple],
    seed: int,
    probe: typing.Any,
) -> Scores:
    """Returns |gradient * weight|: float64, from gradients in float32."""
    import tensorflow as tf

    kernels = probe.kernels(probe.model, list(shapes))
    images, targets = probe.batch(seed)
    with tf.GradientTape() as tape:
        loss = probe.loss(probe.model, images, targets)
    gradients = tape.gradient(
        loss, list(kernels.values()), unconnected_gradients="zero"
    )
    return {
        path: np.abs(np.float64(gradient) * np.float64(weights[path]))
        for path, gradient in zip(kernels, gradients, strict=True)
    }
