"""Random labels: can images be told apart that have nothing in common? (EP, section 6)

Zhang et al. (2017): each example has one label, drawn uniformly from the data's classes
once and for good. The paper does not say when it was drawn; a label drawn anew in each
epoch could not be learned at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tflottery.core import seeds
from tflottery.core.registry import PRETEXTS

if TYPE_CHECKING:
    import tensorflow as tf


@PRETEXTS.register("random_labels", num_outputs=None, version=1, seeded=True)
def randomize_labels(
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    bits: tf.Tensor,
    indices: tf.Tensor,
    seed: int,
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the images as they are, and a label that (seed, example) alone decides.

    Examples of the same index in both splits have the same label.

    Args:
      images: [batch, height, width, channels] float32.
      labels: not used.
      bits: not used.
      indices: [batch] int32, at least 0: which examples.
      seed: tells apart independent drawings.
      num_classes: labels are in [0, num_classes).
    """
    import tensorflow as tf

    from tflottery.layers import hashing

    del labels, bits
    key = seeds.seed("random_labels", seed=seed)
    words = tf.cast(indices, tf.uint32)
    for half in (key & 0xFFFFFFFF, key >> 32):
        words = hashing.mixed(
            tf.bitwise.bitwise_xor(words, tf.constant(half, tf.uint32))
        )
    # Of 31 bits: no class is likelier than another by more than one in 2**31.
    words = tf.bitwise.right_shift(words, tf.constant(1, tf.uint32))
    return images, tf.cast(words, tf.int32) % num_classes
