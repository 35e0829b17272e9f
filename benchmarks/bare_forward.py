"""The forward passes of the bare TensorFlow limit; imported only by what measures."""

import numpy as np
import tensorflow as tf

from benchmarks import bare_networks, tasks
from benchmarks.bare_networks import Tensors

BATCH_NORM_EPSILON = 1e-5


class Forward:
    """Forward passes that count errors, many batches in one tf.function.

    Args:
      task: which network and images.
      batch_size: images per batch.
    """

    def __init__(self, task: tasks.Task, *, batch_size: int) -> None:
        self._is_dense = task.model == "lenet"
        self._model = task.model
        self._batch_size = batch_size
        self._num_batches = task.num_images // batch_size
        self._next_batch = 0
        images, labels = tasks.made_up_images(task, seed=0)
        if self._is_dense:
            images = images.astype(np.float32) / 255
            self._weights = bare_networks.dense_weights()
        else:
            weights, statistics = bare_networks.convolutional_weights(task.model)
            self._weights = weights | statistics
        self._data = (tf.constant(images), tf.constant(labels.astype(np.int32)))
        self._num_errors = tf.function(self._errors, jit_compile=self._is_dense)

    def advance(self, num_batches: int) -> None:
        """Evaluates some batches, beginning after those of the last call."""
        first, count = tf.constant(self._next_batch), tf.constant(num_batches)
        self._num_errors(self._weights, self._data, first, count).numpy()
        self._next_batch = (self._next_batch + num_batches) % self._num_batches

    def _errors(
        self,
        weights: Tensors,
        data: tuple[tf.Tensor, tf.Tensor],
        first: tf.Tensor,
        count: tf.Tensor,
    ) -> tf.Tensor:
        """Returns how many images are classified wrongly, [] int32.

        Args:
          weights: with running statistics, by name.
          data: images [num_images, ...], labels [num_images] int32.
          first: [] int32, the batch to begin with.
          count: [] int32, how many batches.
        """
        images, labels = data

        def step(i: tf.Tensor, errors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            start = (first + i) % self._num_batches * self._batch_size
            indices = start + tf.range(self._batch_size)
            logits = self._logits(tf.gather(images, indices), weights)
            answers = tf.argmax(logits, axis=1, output_type=tf.int32)
            is_wrong = tf.not_equal(answers, tf.gather(labels, indices))
            return i + 1, errors + tf.reduce_sum(tf.cast(is_wrong, tf.int32))

        _, errors = tf.while_loop(
            lambda i, _: i < count,
            step,
            (tf.constant(0), tf.constant(0)),
            parallel_iterations=1,
        )
        return errors

    def _logits(self, images: tf.Tensor, weights: Tensors) -> tf.Tensor:
        """Returns [batch, 10] logits of float32 rows or uint8 images."""
        if self._is_dense:
            return bare_networks.lenet(images, weights)

        def normalized(name: str, images: tf.Tensor, stride: int) -> tf.Tensor:
            images = bare_networks.convolution(name, images, stride, weights)
            return _normalized(name, images, weights)

        network = bare_networks.CONVOLUTIONAL[self._model]
        return network(bare_networks.scaled(images), normalized, weights)


def _normalized(name: str, images: tf.Tensor, weights: Tensors) -> tf.Tensor:
    """Returns images normalized by running statistics."""
    return tf.compat.v1.nn.fused_batch_norm(
        images,
        weights[f"{name}/gamma"],
        weights[f"{name}/beta"],
        weights[f"{name}/mean"],
        weights[f"{name}/variance"],
        epsilon=BATCH_NORM_EPSILON,
        is_training=False,
    )[0]
