"""SynFlow: a weight is worth the strength of all paths through it; no data is needed.

*Pruning neural networks without any data by iteratively conserving synaptic flow*
(Tanaka et al., 2020): every weight of the network, batch norm's and biases among them,
is replaced by its absolute value, an image of ones passes, R is the sum of outputs, and
a weight's score is |w * dR/dw|. Pruning takes 100 steps, after each of which the others
are scored anew, to densities that fall exponentially (Algorithm 1): one step would
prune whole layers. Batch norm is in evaluation mode, and arithmetic in float64, since
the strengths of deep networks overflow float32, both as in the paper's code.
"""

import typing
from collections.abc import Callable, Mapping

import numpy as np

from tflottery.core.registry import CRITERIA
from tflottery.pruning import masks
from tflottery.pruning.masks import Scores

STEPS = 100


@CRITERIA.register(
    "synflow", version=1, scored_weights="rewound", seeded=False, examples=0
)
def synflow(
    weights: Mapping[str, np.ndarray],
    *,
    shapes: Mapping[str, tuple],
    seed: int,
    probe: typing.Any,
) -> Scores:
    """Returns the last step's scores, float64; -inf for what earlier ones pruned."""
    del seed
    flow = _flow(probe, list(shapes))
    strengths = {path: abs(np.float64(weights[path])) for path in shapes}
    total = sum(strength.size for strength in strengths.values())
    kept, scores = None, {}
    for step in range(1, STEPS + 1):
        scores = flow(masks.apply(strengths, kept or {}))
        if step < STEPS:
            density = (probe.num_survivors / total) ** (step / STEPS)
            # At least as many as in the end, however that is rounded.
            count = max(probe.num_survivors, round(total * density))
            kept = masks.keep_highest(scores, num_survivors=count, previous=kept)
    return {
        path: np.where(kept[path] == 1, values, -np.inf)
        for path, values in scores.items()
    }


def _flow(probe: typing.Any, paths: list[str]) -> Callable[[Scores], Scores]:
    """Returns a function of kernels >= 0 by path to the scores of their weights."""
    import tensorflow as tf

    model = probe.model_in("float64")
    for variable in model.variables:
        # Masks are ones, and seed generators hold whole numbers.
        if "float" in variable.dtype:
            variable.assign(abs(variable.numpy()))
    kernels = probe.kernels(model, paths)
    ones = np.ones((1, *model.input_shape[1:]))

    @tf.function(autograph=False)
    def gradients() -> list[tf.Tensor]:
        variables = list(kernels.values())
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(model(ones, training=False))
            strength = tf.add_n([tf.reduce_sum(one) for one in outputs])
        return tape.gradient(strength, variables, unconnected_gradients="zero")

    def flow(strengths: Scores) -> Scores:
        for path, kernel in kernels.items():
            kernel.assign(strengths[path])
        found = zip(kernels, gradients(), strict=True)
        return {path: strengths[path] * one.numpy() for path, one in found}

    return flow
