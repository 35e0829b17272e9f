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


def drawn(words: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns numbers in [0, count) that words decide, int32, and words to go on with.

    None is likelier than another by more than `count` in 2**31.
    """
    import tensorflow as tf

    top = tf.bitwise.right_shift(words, tf.constant(1, tf.uint32))
    return tf.cast(top, tf.int32) % count, mixed(words + tf.constant(1, "uint32"))
