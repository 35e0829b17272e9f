"""Batch normalization by TensorFlow's fused kernel, with the papers' settings.

Keras's own layer spends several passes over the activations, which makes training on a
CPU a third slower. The fused kernel serves what image networks use (float32 images with
channels last); every other case, and every other backend, takes Keras's form.
"""

import keras
from keras import ops

# The statistics are float32 in both.
_FUSABLE = ("float32", "bfloat16")


@keras.saving.register_keras_serializable(package="tflottery")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's BatchNormalization, fused; momentum 0.9 and epsilon 1e-5 by default.

    Outputs, gradients and moving statistics (the variance among them: biased) are those
    of Keras's layer up to rounding. Under a distribution strategy each replica
    normalizes by its own part of the batch, and the moving statistics are the mean of
    the replicas' updates, equal on all of them after every step. TensorFlow cannot do
    such an update inside a `tf.function` that the replica's step calls in turn.
    """

    def __init__(
        self, *, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: object
    ):
        """Args: those of `keras.layers.BatchNormalization`."""
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def add_weight(self, *args: object, **kwargs: object) -> keras.Variable:
        # Without an aggregation every replica would keep moving statistics of its own,
        # and only the first replica's would be saved.
        if kwargs.get("trainable") is False:
            kwargs.setdefault("aggregation", "mean")
        return super().add_weight(*args, **kwargs)

    def call(
        self,
        inputs: object,
        training: bool | None = None,
        mask: object | None = None,
    ) -> object:
        """Returns the normalized inputs, of their shape and dtype.

        Changes: the moving statistics, if training.
        """
        if mask is not None or not self._fusable(inputs):
            return super().call(inputs, training=training, mask=mask)
        learning = bool(training and self.trainable)
        outputs, mean, variance = _fused(self, inputs, learning=learning)
        if learning:
            for moving, batch in (
                (self.moving_mean, mean),
                (self.moving_variance, variance),
            ):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _fusable(self, inputs: object) -> bool:
        """Returns whether the fused kernel computes what this layer stands for."""
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) in _FUSABLE
            and self.scale
            and self.center
            and not self.renorm
            and not self.synchronized
        )


def normalizations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns the batch norm layers of a built model, Keras's own among them."""
    # Keras has no public way to the layers inside composite layers.
    layers = model._flatten_layers(include_self=True, recursive=True)
    return [one for one in layers if isinstance(one, keras.layers.BatchNormalization)]


def _fused(
    layer: BatchNormalization, inputs: object, *, learning: bool
) -> tuple[object, object, object]:
    """Returns the outputs, and the batch's mean and biased variance if learning.

    Args:
      layer: whose gamma, beta, epsilon and moving statistics are used.
      inputs: [batch, height, width, channels] float32 or bfloat16.
      learning: normalize by the batch's statistics, not by the moving ones.
    """
    import tensorflow as tf

    if learning:
        statistics = (tf.zeros([0]), tf.zeros([0]))
    else:
        statistics = (layer.moving_mean, layer.moving_variance)
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=tf.convert_to_tensor(layer.gamma),
        offset=tf.convert_to_tensor(layer.beta),
        mean=tf.convert_to_tensor(statistics[0]),
        variance=tf.convert_to_tensor(statistics[1]),
        epsilon=layer.epsilon,
        is_training=learning,
    )
    count = ops.cast(ops.size(inputs) // inputs.shape[-1], "float32")
    # The kernel's variance is unbiased. A single value has no variance: no 0 * nan.
    return outputs, mean, tf.math.multiply_no_nan(variance, (count - 1.0) / count)
