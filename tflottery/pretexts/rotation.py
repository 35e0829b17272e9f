"""Rotation: by which multiple of 90 degrees was the image turned? (EP, section 6)

The four-way task of Gidaris et al. (2018): label r is r quarter turns against the
clock, exactly; the turn is drawn anew in each epoch. `rotation_all` shows all four.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tflottery.core.registry import PRETEXTS

if TYPE_CHECKING:
    import tensorflow as tf

NUM_TURNS = 4


@PRETEXTS.register("rotation", num_outputs=NUM_TURNS, version=1, seeded=False)
def rotate(
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    bits: tf.Tensor,
    indices: tf.Tensor,
    seed: int,
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the images turned, and by how many quarter turns.

    Args:
      images: [batch, size, size, channels] float32, of static shape.
      labels: not used.
      bits: [batch] int32 in [0, 2**31); the turn is a hash of them, so that it has
        nothing to do with flip and crop, which read the bits themselves.
      indices: not used.
      seed: not used.
      num_classes: not used.

    Raises:
      ValueError: the images are not square.
    """
    import tensorflow as tf

    del labels, indices, seed, num_classes
    refuse_oblong(images)
    batch, height, width, channels = images.shape
    turns = quarter_turns(bits)
    # Which pixel goes where, for each turn; one gather is much cheaper than choosing
    # among four turned batches.
    places = np.arange(height * width, dtype=np.int32).reshape(height, width)
    table = np.stack([np.rot90(places, turn).reshape(-1) for turn in range(NUM_TURNS)])
    firsts = tf.range(batch)[:, None] * (height * width)
    pixels = tf.reshape(images, (batch * height * width, channels))
    turned = tf.gather(pixels, tf.gather(table, turns) + firsts)
    return tf.reshape(turned, images.shape), turns


def refuse_oblong(images: tf.Tensor) -> None:
    """Raises ValueError if images [batch, height, width, channels] are not square."""
    _, height, width, _ = images.shape
    if height != width:
        raise ValueError(
            f"Images of {height} x {width} cannot be turned by 90 degrees: rotation "
            "needs square ones."
        )


def quarter_turns(bits: tf.Tensor) -> tf.Tensor:
    """Returns [batch] int32 in [0, 4): the top of a hash of the bits."""
    import tensorflow as tf

    from tflottery.layers import hashing

    words = hashing.mixed(tf.cast(bits, tf.uint32))
    top = tf.bitwise.right_shift(words, tf.constant(30, tf.uint32))
    return tf.cast(top, tf.int32)
