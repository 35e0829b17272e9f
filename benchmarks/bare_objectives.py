"""What the bare loops learn beside labels: two views of an image, or labels of half.

Of the same size as the package's tasks, and as cheap as can be: an image and its mirror
image are its views, and images are not turned.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from benchmarks import tasks

EMBEDDING_SIZE, MARGIN = 128, 0.5
NUM_TURNS = 4


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a network is shown of a batch, and what it minimizes.

    Attributes:
      num_outputs: of the network.
      loss: of outputs [images shown, num_outputs] and labels [batch], [] float32.
      num_views: images shown of each of the batch.
    """

    num_outputs: int
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    num_views: int = 1

    def shown(self, images: tf.Tensor) -> tf.Tensor:
        """Returns images [batch, ...] and, of two views, their mirror images."""
        if self.num_views == 1:
            return images
        # Along the columns, or what a flat image has in their place.
        mirrored = tf.reverse(images, axis=[min(2, images.shape.rank - 1)])
        return tf.concat([images, mirrored], axis=0)


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross-entropy, [] float32."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses)


def _triplets(outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns the mean triplet loss of embeddings, [] float32."""
    del labels
    anchors, positives = tf.split(tf.math.l2_normalize(outputs, axis=-1), 2)
    negatives = tf.roll(anchors, shift=-1, axis=0)
    nearer = tf.reduce_sum(anchors * (positives - negatives), axis=-1)
    return tf.reduce_mean(tf.maximum(0.0, MARGIN - nearer))


def _half_labeled(outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns the loss of labels of the first half, and of turns, [] float32."""
    half = tf.shape(labels)[0] // 2
    named = cross_entropy(outputs[:half, : tasks.NUM_CLASSES], labels[:half])
    return named + cross_entropy(outputs[:, tasks.NUM_CLASSES :], labels % NUM_TURNS)


OBJECTIVES = {
    "labels": Objective(tasks.NUM_CLASSES, cross_entropy),
    "exemplar": Objective(EMBEDDING_SIZE, _triplets, num_views=2),
    "semi_supervised": Objective(tasks.NUM_CLASSES + NUM_TURNS, _half_labeled),
}
