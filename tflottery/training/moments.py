"""Batch norm statistics re-estimated: moments of whole batches, pooled in float64.

Each batch is normalized by its own moments on the way up, as in training.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tflottery import layers
from tflottery.datasets.feeds import Feed
from tflottery.training.generators import Generators
from tflottery.training.tasks import Task

# Batches of which a call adds up the moments.
BATCHES_OF_A_CALL = 4
# Mean and mean square of each layer's inputs, added up over batches.
Sums = Sequence[np.ndarray]


class Moments:
    """The moments of a network's batch norm layers, compiled at the first question.

    Attributes:
      program: a function of what `summed` takes as tensors, to sums; not compiled.
    """

    def __init__(
        self, model: keras.Model, feed: Feed, task: Task, *, generators: Generators
    ):
        """Args:
        model: whose layers they are.
        feed: of training batches.
        task: says what the model is shown.
        generators: of the model, seeded; each batch of a call draws by its number.
        """
        # A frozen one keeps its statistics in training too.
        self._layers = [one for one in layers.normalizations(model) if one.trainable]
        self.program = _program(self._layers, model, feed, task, generators)
        self._summed = tf.function(self.program, autograph=False)

    def summed(self, given: Any, count: int) -> Sums:
        """Returns the moments of some batches, added up.

        Args:
          given: the batches, as the feed gives them.
          count: how many.
        """
        return [one.numpy() for one in self._summed(given, tf.constant(count))]

    def take(self, sums: Sums, *, num_batches: int) -> None:
        """Replaces the statistics by those that sums over all batches are of.

        Args:
          sums: of `summed`.
          num_batches: how many batches they are of.
        """
        moments = [total / num_batches for total in sums]
        for layer, mean, square in zip(
            self._layers, moments[0::2], moments[1::2], strict=True
        ):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(np.maximum(square - np.square(mean), 0.0))


def added(sums: Sums | None, more: Sums) -> Sums:
    """Returns sums with one of each added; None is nothing yet."""
    if sums is None:
        return more
    return [total + one for total, one in zip(sums, more, strict=True)]


def _program(
    normalizations: Sequence[keras.layers.BatchNormalization],
    model: keras.Model,
    feed: Feed,
    task: Task,
    generators: Generators,
) -> Callable:
    """Returns the loop that adds up means and mean squares, in float64."""
    variables = [
        (layer.moving_mean, layer.moving_variance, 1.0 - layer.momentum)
        for layer in normalizations
    ]

    def moments_of(images):
        for variable in (one for pair in variables for one in pair[:2]):
            variable.assign(tf.zeros_like(variable.value))
        task.outputs(model, images, training=True)
        # From zero, a moving statistic moves by (1 - momentum) times a batch's.
        found = []
        for mean, variance, fraction in variables:
            mean = tf.cast(mean.value, tf.float64) / fraction
            variance = tf.cast(variance.value, tf.float64) / fraction
            found += [mean, variance + tf.square(mean)]
        return found

    def add_up(given, num_batches):
        def step(batch, *sums):
            images, _ = feed.shown(*feed.taken(given, batch))
            # Nothing is assigned: replicas would average what each has found.
            with keras.StatelessScope():
                # Whichever device has these batches.
                generators.set(batch, alike=True)
                found = moments_of(images)
            sums = [total + one for total, one in zip(sums, found, strict=True)]
            return [batch + 1, *sums]

        zeros = [
            tf.zeros(variable.shape, tf.float64)
            for mean, variance, _ in variables
            for variable in (mean, variance)
        ]
        _, *sums = tf.while_loop(
            lambda batch, *_: batch < num_batches, step, [tf.constant(0), *zeros]
        )
        return sums

    return add_up
