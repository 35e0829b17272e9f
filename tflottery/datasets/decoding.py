"""Windows of encoded images, decoded and brought to a network's size.

A JPEG image is decoded only where its window is. One that is cut off keeps what there
is of it, grey below; four colours of print become three. Windows are resized by
bilinear interpolation between the centres of pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tflottery.datasets.records import JPEG

if TYPE_CHECKING:
    import tensorflow as tf

# A decoder fills in colours, which have half the resolution, from those beside them:
# at the edge of what it decodes it finds none there.
_MARGIN = 2


def shown(
    content: tf.Tensor,
    size: tf.Tensor,
    window: tf.Tensor,
    *,
    image_shape: tuple[int, int, int],
) -> tf.Tensor:
    """Returns a window of an image, in the shape that is asked for, uint8.

    Args:
      content: the encoded image, a scalar string.
      size: its (height, width), [2] int32.
      window: (top, left, height, width), [4] int32.
      image_shape: (height, width, channels), of 1 or 3 channels.
    """
    import tensorflow as tf

    first, sides = window[:2], window[2:]
    outer_first = tf.maximum(first - _MARGIN, 0)
    outer_last = tf.minimum(first + sides + _MARGIN, size)
    outer = tf.concat([outer_first, outer_last - outer_first], axis=0)
    channels = image_shape[-1]

    def jpeg_part() -> tf.Tensor:
        return tf.io.decode_and_crop_jpeg(
            content,
            outer,
            channels=channels,
            try_recover_truncated=True,
            # The slow one is exact: the same on all machines, and PIL's.
            dct_method="INTEGER_ACCURATE",
        )

    def other_part() -> tf.Tensor:
        image = tf.io.decode_png(content, channels=channels)
        return tf.slice(image, [*tf.unstack(outer_first), 0], [*_sides(outer), -1])

    is_jpeg = tf.strings.substr(content, 0, len(JPEG)) == JPEG
    part = tf.cond(is_jpeg, jpeg_part, other_part)
    begin = [*tf.unstack(first - outer_first), 0]
    part = tf.slice(part, begin, [*tf.unstack(sides), -1])
    found = tf.image.resize(part, image_shape[:2])
    return tf.ensure_shape(tf.cast(found + 0.5, tf.uint8), image_shape)


def _sides(window: tf.Tensor) -> list[tf.Tensor]:
    """Returns height and width of a window."""
    import tensorflow as tf

    return tf.unstack(window[2:])
