"""Batches of encoded images: read by one call a batch, decoded one by one in tf.data.

A batch is a function of indices and bits, whoever asks for it, in however many threads.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core import hardware
from tflottery.core.recipes import RESIZED_CROP
from tflottery.datasets import crops, decoding
from tflottery.datasets.encoded import EncodedImages

if TYPE_CHECKING:
    import tensorflow as tf


# Processes on the GPUs of this one, itself among them.
_sharing = types.SimpleNamespace(num_processes=1)


class Windows:
    """The windows of images that a network is shown, still encoded."""

    def __init__(self, images: EncodedImages, *, augmentation: str):
        """Args:
        images: all images of a split.
        augmentation: "resized_crop" draws windows, others take the middle.
        """
        self.image_shape = images.image_shape
        self.images = images
        self._draws = augmentation == RESIZED_CROP

    def read(self, indices: np.ndarray, bits: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns what `decoding` needs of a batch.

        Args:
          indices: [batch] int32.
          bits: [batch] int32 in [0, 2**31).

        Returns:
          Encoded images [batch] object, sizes [batch, 2] int32, windows [batch, 4]
          int32, and whether each is mirrored [batch] bool.
        """
        contents, sizes = self.images.read(indices)
        if self._draws:
            chosen, mirrored = crops.drawn(sizes, bits), bits & 1 == 1
        else:
            chosen = crops.measured(sizes, self.image_shape)
            mirrored = np.zeros(len(indices), bool)
        return np.array(contents, object), sizes, chosen, mirrored

    def fetched(self, indices: tf.Tensor, bits: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Returns the same as tensors, inside of a graph or not."""
        import tensorflow as tf

        kinds = (tf.string, tf.int32, tf.int32, tf.bool)
        batch = tf.numpy_function(self.read, [indices, bits], kinds, stateful=False)
        shapes = ((), (2,), (4,), ())
        return tuple(
            tf.ensure_shape(one, (*indices.shape, *shape))
            for one, shape in zip(batch, shapes, strict=True)
        )

    def decoded(
        self,
        content: tf.Tensor,
        size: tf.Tensor,
        window: tf.Tensor,
        mirrored: tf.Tensor,
    ) -> tf.Tensor:
        """Returns an image as the network is shown it, uint8, of static shape."""
        import tensorflow as tf

        image = decoding.shown(content, size, window, image_shape=self.image_shape)
        return tf.cond(mirrored, lambda: image[:, ::-1], lambda: image)


def read(windows: Windows, indices: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Returns a batch of images, [batch, height, width, channels] uint8, at once.

    Args:
      windows: of the split.
      indices: [batch] int32.
      bits: [batch] int32 in [0, 2**31).
    """
    import tensorflow as tf

    return tf.map_fn(
        lambda parts: windows.decoded(*parts),
        windows.fetched(indices, bits),
        fn_output_signature=tf.TensorSpec(windows.image_shape, tf.uint8),
    )


def refuse_damaged(windows: Windows, indices: np.ndarray, bits: np.ndarray) -> None:
    """Shows images one by one, to find one that cannot be.

    Args:
      windows: of the split.
      indices: [...] int32.
      bits: [...] int32 in [0, 2**31).

    Raises:
      DamagedImage, DamagedRecords: the first that cannot be read or decoded; says where
        it is.
    """
    import tensorflow as tf

    for index, word in zip(indices.reshape(-1), bits.reshape(-1), strict=True):
        parts = windows.read(np.array([index]), np.array([word]))
        try:
            windows.decoded(*(tf.constant(part[0]) for part in parts))
        except tf.errors.OpError as error:
            fault = "cannot be decoded: behind its head it is damaged"
            raise windows.images.damaged(index, fault) from error


def as_dataset(
    windows: Windows,
    rows: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]],
    *,
    batch_size: int,
) -> tf.data.Dataset:
    """Returns batches made ahead of the loop that takes them.

    Args:
      windows: of the split.
      rows: begins to yield indices and bits of each batch, [batch] int32.
      batch_size: examples in a batch.

    Returns:
      A dataset of (images [batch, height, width, channels] uint8, indices, bits).
    """
    import tensorflow as tf

    threads = num_threads()
    spec = tf.TensorSpec((batch_size,), tf.int32)
    dataset = tf.data.Dataset.from_generator(rows, output_signature=(spec, spec))
    dataset = dataset.map(
        lambda indices, bits: (windows.fetched(indices, bits), indices, bits),
        num_parallel_calls=1,
        deterministic=True,
    )
    dataset = dataset.unbatch().map(
        lambda parts, index, bits: (windows.decoded(*parts), index, bits),
        num_parallel_calls=threads,
        deterministic=True,
    )
    dataset = dataset.batch(batch_size, drop_remainder=True).prefetch(1)
    # Threads of its own: those of the process are the loop's.
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return dataset.with_options(options)


def share_devices(num_processes: int) -> None:
    """Says how many processes use this one's GPUs, at its start.

    Changes: `num_threads` of this process.
    """
    _sharing.num_processes = num_processes
    num_threads.cache_clear()


@functools.cache
def num_threads() -> int:
    """Returns how many threads decode for this process: its own, or its devices' part.

    A TPU has one process for all cores of its machine; those of a GPU's part are for
    the processes that share it. On a CPU there is a core for each of a process's
    threads, and the loop has them to itself but for the input. How many there are
    changes no batch.
    """
    import tensorflow as tf

    if tf.config.list_logical_devices("TPU"):
        return hardware.visible_cores()
    num_own = len(tf.config.list_physical_devices("GPU"))
    if not num_own:
        # 0 where nobody has said.
        return max(1, tf.config.threading.get_intra_op_parallelism_threads())
    of_each = hardware.visible_cores() / max(num_own, hardware.num_gpus())
    return max(1, int(of_each * num_own / _sharing.num_processes))
