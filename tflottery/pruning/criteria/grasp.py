"""GraSP: a weight is worth how much the gradient's norm would fall if it went.

*Picking Winning Tickets Before Training by Preserving Gradient Flow* (Wang et al.,
2020): removing weights w changes the squared norm of the gradient g by about
-2 w . Hg, with the Hessian H of the loss; the paper's score of a weight is -w * Hg, and
the highest are pruned. Outputs are divided by a temperature of 200, as in the paper's
code. Gradient and Hessian are with respect to the kernels that may be pruned. The paper
takes ten images of each class; here it is one batch of 128 training images, which are
about as many where there are ten classes. Keras's own batch norm, and ours on inputs
that are no images, holds the batch's mean fixed where it derives the variance a second
time (`tf.nn.moments`): a ResNet-20 of such layers has scores two percent off.
"""

import typing
from collections.abc import Mapping

import numpy as np

from tflottery.core.registry import CRITERIA
from tflottery.pruning.masks import Scores

EXAMPLES, TEMPERATURE = 128, 200.0


@CRITERIA.register(
    "grasp", version=1, scored_weights="rewound", seeded=True, examples=EXAMPLES
)
def grasp(
    weights: Mapping[str, np.ndarray],
    *,
    shapes: Mapping[str, tuple],
    seed: int,
    probe: typing.Any,
) -> Scores:
    """Returns weight * Hg, whose highest are kept: float64, from float32."""
    import tensorflow as tf

    kernels = probe.kernels(probe.model, list(shapes))
    variables = list(kernels.values())
    images, targets = probe.batch(seed)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = probe.loss(probe.model, images, targets, temperature=TEMPERATURE)
        gradients = inner.gradient(loss, variables)
        # The derivative of g . (g held fixed) is Hg.
        square = tf.add_n(
            [tf.reduce_sum(one * tf.stop_gradient(one)) for one in gradients]
        )
    products = outer.gradient(square, variables, unconnected_gradients="zero")
    return {
        path: np.float64(weights[path]) * np.float64(product)
        for path, product in zip(kernels, products, strict=True)
    }
