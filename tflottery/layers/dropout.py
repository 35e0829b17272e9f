"""Dropout that drops the same units however a network is compiled.

Keras's own layer draws by TensorFlow's kernels, of which XLA's give other numbers. Both
layers resume exactly in the package's loop (`training.generators`).
"""

import keras
import numpy as np

from tflottery.layers import hashing


@keras.saving.register_keras_serializable(package="tflottery")
class Dropout(keras.layers.Dropout):
    """Keras's Dropout; what it draws is a hash of its seed and of positions.

    Inputs: floating, of any shape; outputs: the same shape. In training each input is 0
    with probability `rate`, and divided by 1 - rate otherwise.
    """

    def call(self, inputs: object, training: bool = False) -> object:
        ours = keras.backend.backend() == "tensorflow" and 0 < self.rate < 1
        if not training or not ours:
            return super().call(inputs, training=training)
        import tensorflow as tf

        shape = tf.shape(inputs)
        if self.noise_shape is not None:
            sizes = zip(self.noise_shape, tf.unstack(shape), strict=True)
            shape = tf.stack([known or size for known, size in sizes])
        words = tf.cast(tf.range(tf.reduce_prod(shape)), tf.uint32)
        for word in tf.unstack(self.seed_generator.next()):
            word = hashing.mixed(tf.cast(word, tf.uint32))
            words = hashing.mixed(tf.bitwise.bitwise_xor(words, word))
        # Of 31 bits, as signed numbers: those that TensorFlow compares everywhere.
        words = tf.bitwise.right_shift(words, tf.constant(1, tf.uint32))
        threshold = min(round(self.rate * 2**31), 2**31 - 1)
        kept = tf.cast(words, tf.int32) >= np.int32(threshold)
        kept = tf.reshape(kept, shape)
        return tf.where(kept, inputs / (1 - self.rate), tf.zeros_like(inputs))
