"""Permuted labels: as many of each class as the data have, on images of any class.

The paper on limited supervision finds tickets on "randomly permuted labels" (Figure 4).
As it says no more, the labels of a split are dealt out anew among its images, once and
for good, so that the classes keep their sizes; `random_labels` draws each by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tflottery.core import seeds
from tflottery.core.registry import PRETEXTS

if TYPE_CHECKING:
    import tensorflow as tf


def permuted(labels: np.ndarray, *, seed: int) -> np.ndarray:
    """Returns the labels of a split in an order that (seed, their number) decides.

    Args:
      labels: [examples] int32.
      seed: tells apart independent permutations.
    """
    own = seeds.seed("permuted_labels", seed=seed)
    return labels[seeds.permutation(own, 0, len(labels))]


@PRETEXTS.register(
    "permuted_labels", num_outputs=None, version=1, seeded=True, relabel=permuted
)
def as_they_are(
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    bits: tf.Tensor,
    indices: tf.Tensor,
    seed: int,
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns images and labels as they are: they were permuted before.

    Args:
      images: [batch, height, width, channels] float32.
      labels: [batch] int32.
      bits: not used.
      indices: not used.
      seed: not used.
      num_classes: not used.
    """
    del bits, indices, seed, num_classes
    return images, labels
