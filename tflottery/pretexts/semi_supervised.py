"""Semi-supervised: what is seen, where that is told, and how every image was turned.

S4L-Rotation of Zhai et al. (2019), with which the paper on limited supervision finds
tickets from 10% of the labels (section 4.2, Figure 5a): the head that names classes and
the one that names turns sit on one network, and training minimizes

    mean cross-entropy of labels over the labeled half of a batch
    + mean cross-entropy of turns over the whole batch.

Images are turned as in `rotation`, one turn of each an epoch, and classes are named of
the turned images, as their published code does, in which all four turns of an image are
in a batch; it measures classes on images as they are, here they are measured on turned
ones. Of each example the loss counts its label twice, as one of two has a label: so the
mean of a batch is the sum above. What is measured has labels throughout (test images,
and training images of the subset): its loss is twice the mean cross-entropy of labels
plus that of turns, and its errors are those of the classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tflottery.core.registry import PRETEXTS
from tflottery.pretexts.rotation import NUM_TURNS, rotate

if TYPE_CHECKING:
    import tensorflow as tf

# One image of a batch for each that has a label.
_IMAGES_PER_LABEL = 2


def label_and_turn_losses(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Returns each example's part of both losses: [batch] float32, in nats.

    Args:
      targets: label, or -1 where there is none, and turn, [batch, 2] int32.
      outputs: logits of classes, then of turns, [batch, classes + 4] float32.
    """
    import tensorflow as tf

    labels, turns = tf.unstack(targets, axis=1)
    named = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.maximum(labels, 0), outputs[:, :-NUM_TURNS]
    )
    turned = tf.nn.sparse_softmax_cross_entropy_with_logits(
        turns, outputs[:, -NUM_TURNS:]
    )
    return tf.where(labels >= 0, _IMAGES_PER_LABEL * named, 0.0) + turned


def misnamed(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Returns which examples have a label and get another class: [batch] bool.

    Args:
      targets: label, or -1 where there is none, and turn, [batch, 2] int32.
      outputs: logits of classes, then of turns, [batch, classes + 4] float32.
    """
    import tensorflow as tf

    labels = targets[:, 0]
    classes = tf.argmax(outputs[:, :-NUM_TURNS], axis=-1, output_type=tf.int32)
    return (labels >= 0) & (classes != labels)


@PRETEXTS.register(
    "semi_supervised",
    num_outputs=lambda num_classes: num_classes + NUM_TURNS,
    version=1,
    seeded=False,
    unlabeled=True,
    losses=label_and_turn_losses,
    errors=misnamed,
)
def rotate_and_name(
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    bits: tf.Tensor,
    indices: tf.Tensor,
    seed: int,
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the images turned, with labels and quarter turns, [batch, 2] int32.

    Args and Raises are those of `rotate`, which uses no labels; here they are -1 where
    there is none.
    """
    import tensorflow as tf

    inputs = dict(bits=bits, indices=indices, seed=seed, num_classes=num_classes)
    turned, turns = rotate(images, labels, **inputs)
    return turned, tf.stack([labels, turns], axis=1)
