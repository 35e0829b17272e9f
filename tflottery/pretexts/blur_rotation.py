"""Blur and rotation: how was an image turned whose detail is gone? (EP, section 6)

The paper's combination of both tasks: images are blurred, then turned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tflottery.core.registry import PRETEXTS
from tflottery.pretexts.blur import blur
from tflottery.pretexts.rotation import NUM_TURNS, rotate

if TYPE_CHECKING:
    import tensorflow as tf


@PRETEXTS.register("blur_rotation", num_outputs=NUM_TURNS, version=1, seeded=False)
def blur_and_rotate(
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    bits: tf.Tensor,
    indices: tf.Tensor,
    seed: int,
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the images blurred and turned, and by how many quarter turns.

    Args and Raises are those of `blur` and `rotate`.
    """
    inputs = dict(bits=bits, indices=indices, seed=seed, num_classes=num_classes)
    return rotate(*blur(images, labels, **inputs), **inputs)
