"""Exemplar: two views of an image lie closer together than views of two images.

Dosovitskiy et al. (2014) give each image a class of its own; the paper on limited
supervision trains with a triplet loss in its place (Appendix A): of embeddings with
128 values, max(0, 0.5 + d(anchor, positive) - d(anchor, negative)). Where it is silent:
d is the cosine distance; anchor and positive are two views of one image, the negative
is the anchor of the batch's next one (of replicas that share a batch, each takes its
part for the batch); an error is a triplet whose negative is no farther than its
positive. A view is mirrored or not, moved by up to an eighth of its size, turned by up
to 20 degrees, and its brightness, contrast and saturation are changed by up to 40%.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tflottery.core.registry import PRETEXTS
from tflottery.datasets import augmentations

if TYPE_CHECKING:
    import tensorflow as tf

EMBEDDING_SIZE = 128
MARGIN = 0.5
MOST_DEGREES = 20
_MOST_SHIFT = 1 / 8
_GREY_VALUES = (np.arange(256) / 255).astype(np.float32)
# What the views of an example draw from its bits with.
_VIEWS = (0x0A11CE5E, 0x0B0B5EED)


def triplet_losses(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Returns how far each triplet is from its margin: [batch] float32.

    Args:
      targets: not used.
      outputs: embeddings of anchors and positives, [batch, 2, size] float32.
    """
    import tensorflow as tf

    del targets
    to_positive, to_negative = _distances(outputs)
    return tf.maximum(0.0, MARGIN + (to_positive - to_negative))


def unsatisfied(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Returns in which triplets the negative is no farther than the positive.

    Args:
      targets: not used.
      outputs: embeddings of anchors and positives, [batch, 2, size] float32.
    """
    del targets
    to_positive, to_negative = _distances(outputs)
    return to_negative <= to_positive


@PRETEXTS.register(
    "exemplar",
    num_outputs=EMBEDDING_SIZE,
    version=1,
    seeded=False,
    num_views=len(_VIEWS),
    smallest_batch=2,
    losses=triplet_losses,
    errors=unsatisfied,
)
def two_views(
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    bits: tf.Tensor,
    indices: tf.Tensor,
    seed: int,
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns two views of each image, [batch, 2, height, width, channels].

    Args:
      images: [batch, height, width, channels] float32, of static shape.
      labels: not used.
      bits: [batch] int32 in [0, 2**31); decide all that is drawn.
      indices: returned, as nothing has to be named.
      seed: not used.
      num_classes: not used.
    """
    import tensorflow as tf

    from tflottery.layers import hashing

    del labels, seed, num_classes
    words = tf.cast(bits, tf.uint32)
    views = []
    for number in _VIEWS:
        own = hashing.mixed(
            tf.bitwise.bitwise_xor(words, tf.constant(number, "uint32"))
        )
        moved = tf.cast(tf.round(255.0 * _moved(images, own)), tf.int32)
        values = augmentations.recoloured(moved, hashing.mixed(own))
        views.append(tf.gather(_GREY_VALUES, values))
    return tf.stack(views, axis=1), indices


def _distances(outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns cosine distances of anchors to positives, and to negatives: [batch].

    Raises:
      ValueError: there is but one image, which would be its own negative.
    """
    import tensorflow as tf

    if outputs.shape[0] == 1:
        raise ValueError(
            "The pretext 'exemplar' compares an image with another one of its batch, "
            "and a batch has one alone. Give a larger --batch_size, of two images or "
            "more for each replica."
        )
    anchors, positives = tf.unstack(tf.math.l2_normalize(outputs, axis=-1), axis=1)
    negatives = tf.roll(anchors, shift=-1, axis=0)
    to_positive, to_negative = (
        1.0 - tf.reduce_sum(anchors * others, axis=-1)
        for others in (positives, negatives)
    )
    return to_positive, to_negative


def _moved(images: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
    """Returns images mirrored or not, turned and moved, with black beyond the border.

    Args:
      images: [batch, height, width, channels] float32.
      words: [batch] uint32, random.
    """
    import tensorflow as tf

    from tflottery.layers import hashing

    batch, height, width, channels = images.shape
    down, right = (max(1, round(_MOST_SHIFT * size)) for size in (height, width))
    mirrors, words = hashing.drawn(words, 2)
    turns, words = hashing.drawn(words, 2 * MOST_DEGREES + 1)
    downs, words = hashing.drawn(words, 2 * down + 1)
    rights, _ = hashing.drawn(words, 2 * right + 1)

    # Which pixel each pixel of a turned image shows: the nearest one, by a table.
    sources = tf.constant(_turned_grids(height, width))
    rows = tf.gather(sources[0], turns) + (downs - down)[:, None]
    columns = tf.gather(sources[1], turns) + (rights - right)[:, None]
    columns = tf.where(mirrors[:, None] == 1, width - 1 - columns, columns)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    # The pixel behind all others is black.
    firsts = tf.range(batch)[:, None] * (height * width)
    places = tf.where(inside, firsts + rows * width + columns, batch * height * width)
    pixels = tf.reshape(images, (batch * height * width, channels))
    pixels = tf.concat([pixels, tf.zeros((1, channels), images.dtype)], axis=0)
    return tf.reshape(tf.gather(pixels, places), images.shape)


def _turned_grids(height: int, width: int) -> np.ndarray:
    """Returns rows and columns of what is seen after each turn.

    Returns:
      [2, turns, height * width] int32; some lie beyond the image.
    """
    degrees = np.arange(-MOST_DEGREES, MOST_DEGREES + 1)
    cosines, sines = (f(np.deg2rad(degrees))[:, None] for f in (np.cos, np.sin))
    rows, columns = np.indices((height, width)).reshape(2, 1, -1)
    below, beside = rows - (height - 1) / 2, columns - (width - 1) / 2
    found = [
        cosines * below - sines * beside + (height - 1) / 2,
        sines * below + cosines * beside + (width - 1) / 2,
    ]
    return np.rint(found).astype(np.int32)
