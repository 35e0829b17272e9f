"""Rotation, all four turns of every image at once: the other reading of `rotation`.

Gidaris et al. (2018) put all four turns of an image into one batch; the paper on
limited supervision does not say whether it does. A batch counts images, each of which
costs four passes, and its loss is the mean cross-entropy of its turns. It is measured
as `rotation` is, by one turn of each image, so that errors of both can be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tflottery.core.registry import PRETEXTS
from tflottery.pretexts.rotation import NUM_TURNS, quarter_turns, refuse_oblong

if TYPE_CHECKING:
    import tensorflow as tf


def mean_cross_entropies(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross-entropy of each image's turns: [batch] float32, in nats.

    Args:
      targets: not used, as view r is turned r times.
      outputs: logits, [batch, 4, 4] float32.
    """
    import tensorflow as tf

    del targets
    turns = tf.broadcast_to(tf.range(NUM_TURNS), outputs.shape[:-1])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(turns, outputs)
    return tf.reduce_mean(losses, axis=-1)


def misjudged(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Returns of which images the turn that is measured is misjudged: [batch] bool.

    Args:
      targets: that turn, [batch] int32.
      outputs: logits, [batch, 4, 4] float32.
    """
    import tensorflow as tf

    found = tf.argmax(outputs, axis=-1, output_type=tf.int32)
    return tf.gather(found, targets, axis=1, batch_dims=1) != targets


@PRETEXTS.register(
    "rotation_all",
    num_outputs=NUM_TURNS,
    version=1,
    seeded=False,
    num_views=NUM_TURNS,
    losses=mean_cross_entropies,
    errors=misjudged,
)
def all_turns(
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    bits: tf.Tensor,
    indices: tf.Tensor,
    seed: int,
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns four turns of each image, and by which turn each is measured.

    Args:
      images: [batch, size, size, channels] float32, of static shape.
      labels: not used.
      bits: [batch] int32 in [0, 2**31); decide the turn as they do in `rotation`.
      indices: not used.
      seed: not used.
      num_classes: not used.

    Raises:
      ValueError: the images are not square.
    """
    import tensorflow as tf

    del labels, indices, seed, num_classes
    refuse_oblong(images)
    mirrored = tf.transpose(images, (0, 2, 1, 3))
    turned = [
        images,
        mirrored[:, ::-1],
        images[:, ::-1, ::-1],
        mirrored[:, :, ::-1],
    ]
    return tf.stack(turned, axis=1), quarter_turns(bits)
