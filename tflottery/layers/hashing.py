"""Hashes of 32-bit words, the same bits on every device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def mixed(words: tf.Tensor) -> tf.Tensor:
    """Returns uint32 words hashed one by one: MurmurHash3's last step, a bijection."""
    import tensorflow as tf

    def folded(word: tf.Tensor, shift: int) -> tf.Tensor:
        shift = tf.constant(shift, tf.uint32)
        return tf.bitwise.bitwise_xor(word, tf.bitwise.right_shift(word, shift))

    words = folded(words, 16) * tf.constant(0x85EBCA6B, tf.uint32)
    words = folded(words, 13) * tf.constant(0xC2B2AE35, tf.uint32)
    return folded(words, 16)
