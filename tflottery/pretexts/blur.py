"""Blur: naming what is seen where fine detail is gone. (EP, section 6)

Achille et al. (2019): images are made four times smaller in both directions, by means
of 4 x 4 pixels, and brought back to their size by bilinear interpolation. The paper
names neither; here pixels have their value at their centre, and beyond the outermost
centres the image goes on as it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tflottery.core.registry import PRETEXTS

if TYPE_CHECKING:
    import tensorflow as tf

FACTOR = 4


@PRETEXTS.register("blur", num_outputs=None, version=1, seeded=False)
def blur(
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    bits: tf.Tensor,
    indices: tf.Tensor,
    seed: int,
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the images blurred, with their labels.

    Args:
      images: [batch, height, width, channels] float32, of static shape.
      labels: [batch] int32.
      bits: not used.
      indices: not used.
      seed: not used.
      num_classes: not used.

    Raises:
      ValueError: height or width is no multiple of 4.
    """
    import tensorflow as tf

    del bits, indices, seed, num_classes
    batch, height, width, channels = images.shape
    if height % FACTOR or width % FACTOR:
        raise ValueError(
            f"Images of {height} x {width} cannot be made {FACTOR} times smaller: blur "
            f"needs a height and a width that are multiples of {FACTOR}."
        )
    small_height = height // FACTOR
    # Rows are what lies far apart in memory: they shrink first and grow last, so that
    # the slower work along columns is done on a quarter of the image.
    rows = tf.reshape(images, (batch, height, width * channels))
    columns = tf.reshape(_shrunk(rows), (batch * small_height, width, channels))
    columns = _grown(_shrunk(columns))
    rows = tf.reshape(columns, (batch, small_height, width * channels))
    return tf.reshape(_grown(rows), images.shape), labels


def _shrunk(values: tf.Tensor) -> tf.Tensor:
    """Returns means of four: [outer, 4 n, inner] float32 to [outer, n, inner].

    Of four equal values it is that value, exactly.
    """
    import tensorflow as tf

    outer, size, inner = values.shape
    fours = tf.reshape(values, (outer, size // FACTOR, FACTOR, inner))
    # One operation, which adds from the first to the last: TensorFlow's graphs put a
    # tree of additions in another order.
    return tf.add_n(tf.unstack(fours, axis=2)) * (1 / FACTOR)


def _grown(values: tf.Tensor) -> tf.Tensor:
    """Returns values interpolated linearly: [outer, n, inner] to [outer, 4 n, inner].

    The four new centres are 3/8 and 1/8 before and behind the old one. Products are by
    powers of two, hence exact: fused with the sum that follows or not, they round the
    same. As value plus part of a difference, nothing leaves the range of the values.
    """
    import tensorflow as tf

    outer, size, inner = values.shape
    before = tf.concat([values[:, :1], values[:, :-1]], axis=1) - values
    behind = tf.concat([values[:, 1:], values[:, -1:]], axis=1) - values
    four = [
        values + tf.add_n([before] * 3) * 0.125,
        values + before * 0.125,
        values + behind * 0.125,
        values + tf.add_n([behind] * 3) * 0.125,
    ]
    return tf.reshape(tf.stack(four, axis=2), (outer, FACTOR * size, inner))
