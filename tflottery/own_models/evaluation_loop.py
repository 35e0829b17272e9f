"""Loss and metrics of a user's model on all examples, in one compiled loop.

As its `evaluate` has them, batch by batch and to the same bits, without what that does
anew at each call: lines between networks are measured at many points, and a small model
takes far less than the pipeline of its data.
"""

import keras
import numpy as np
import tensorflow as tf

from tflottery.own_models import examples
from tflottery.own_models.spans import Spans


class EvaluationLoop:
    """A compiled model, and the examples that it is measured on."""

    def __init__(self, model: keras.Model, data: object, batch_size: int):
        """Args:
        model: compiled, with losses and metrics that are built.
        data: the examples, as tensors.
        batch_size: of so many a batch is made; the last one of what is left.
        """
        self._model = model
        self._data = data
        self._batch_size = batch_size
        # The last batch is no part of the loop: what it returns is what counts.
        self._num_looped = (examples.num_examples(data) - 1) // batch_size
        # As in `evaluate`: what Keras and its users write is no autograph.
        self._step = tf.autograph.experimental.do_not_convert(model.test_step)
        self._loop, self._last = tf.function(self._looped), tf.function(self._ended)
        self._spans = Spans()

    def found(self) -> dict[str, object]:
        """Returns loss and metrics of the model as it is, by name.

        Changes: the model's metrics.
        """
        self._model.reset_metrics()
        for first, end in self._spans.between(0, self._num_looped):
            self._loop(tf.constant(first), tf.constant(end))
        return dict(sorted(keras.tree.map_structure(np.array, self._last()).items()))

    def _looped(self, first: tf.Tensor, end: tf.Tensor) -> None:
        """Measures whole batches."""
        for number in tf.range(first, end):
            begin = number * self._batch_size
            self._step(_slices(self._data, begin, self._batch_size))

    def _ended(self) -> dict[str, tf.Tensor]:
        """Measures the last batch; returns loss and metrics of all."""
        begin = self._num_looped * self._batch_size
        return self._step(keras.tree.map_structure(lambda one: one[begin:], self._data))


@tf.autograph.experimental.do_not_convert
def _slices(data: object, begin: tf.Tensor, size: int) -> object:
    """Returns so many examples from one on, in arrays whose shape says how many."""

    def part(values: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(values[begin : begin + size], [size, *values.shape[1:]])

    return keras.tree.map_structure(part, data)
