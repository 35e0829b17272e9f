"""How large are gradients? Magnitudes over mini-batches, as a log of training has them.

*The Early Phase of Neural Network Training* plots "gradient magnitude" (Figure 3) and
does not define it. Here it is that of the cross-entropy (or the task's own loss) alone,
without the L2 term, of batches of the recipe's size with batch norm in training mode,
and of all convolution and dense kernels together; both the Euclidean norm and the mean
absolute value are measured. The mean is over the batches' magnitudes: the magnitude of
their mean gradient would be smaller.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tflottery import layers
from tflottery.datasets.feeds import Feed
from tflottery.training.generators import Generators
from tflottery.training.tasks import Task


@dataclasses.dataclass(frozen=True)
class Magnitudes:
    """The gradient of a batch with respect to the kernels.

    Attributes:
      norm: Euclidean norm.
      mean: mean absolute value.
    """

    norm: float
    mean: float


class Gradients:
    """A network's gradients, compiled at the first question.

    Attributes:
      program: a function of what `magnitudes` takes, to norm and mean; not compiled.
    """

    def __init__(
        self,
        model: keras.Model,
        feed: Feed,
        task: Task,
        *,
        generators: Generators,
        jit: bool,
    ):
        """Args:
        model: whose kernels the gradients are by.
        feed: of training batches.
        task: whose loss the gradient is of.
        generators: of the model, seeded; each batch draws the same.
        jit: whether XLA compiles the loop.
        """
        self.program = _program(model, feed, task, generators, jit=jit)
        self._measure = feed.compiled(self.program, jit=jit)

    def magnitudes(self, given: Any) -> Magnitudes:
        """Returns the magnitudes at the model's weights; no variable is changed.

        Args:
          given: one batch of training images, as the feed gives it.
        """
        norm, mean = self._measure(given)
        return Magnitudes(float(norm), float(mean))


def _program(
    model: keras.Model, feed: Feed, task: Task, generators: Generators, *, jit: bool
) -> Callable:
    """Returns the magnitudes of a batch's gradient, summed in float64."""
    kernels = [one.kernel for one in layers.masked_kernels(model)]
    num_weights = sum(int(np.prod(kernel.shape)) for kernel in kernels)

    def magnitudes(*parts):
        images, targets = feed.shown(*parts)
        # Training mode would move the statistics.
        with keras.StatelessScope(), tf.GradientTape() as tape:
            generators.set(0, alike=True)
            outputs = task.outputs(model, images, training=True)
            loss = tf.reduce_mean(task.training_losses(targets, outputs))
        found = [tf.cast(one, tf.float64) for one in tape.gradient(loss, kernels)]
        square = tf.add_n([tf.reduce_sum(tf.square(one)) for one in found])
        total = tf.add_n([tf.reduce_sum(tf.abs(one)) for one in found])
        return tf.sqrt(square), total / num_weights

    magnitudes = feed.compiled_part(magnitudes, jit=jit)

    def measure(given):
        return magnitudes(*feed.taken(given, 0))

    return measure
