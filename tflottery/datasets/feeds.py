"""How batches get into a compiled loop: gathered inside of it, or handed to it.

Arrays are gathered in the loop itself, which XLA may compile with all that is in it.
Encoded images are decoded outside of it, by tf.data and ahead of time; XLA may compile
what is done with a batch. To other devices pixels are handed. All are used alike:

    given = feed.given(indices, bits, count=n)  what the loop is called with
    parts = feed.taken(given, number)           in the loop, in order: one batch
    images, targets = feed.shown(*parts)        where XLA may compile it
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tflottery.datasets import encoded_batches, pipeline
from tflottery.datasets.arrays import Source
from tflottery.datasets.pipeline import Loader
from tflottery.datasets.stream import DataStream

if TYPE_CHECKING:
    import tensorflow as tf

# Iterations for which one call of a training loop has room.
ROOM = 256


class ArrayFeed:
    """Batches of arrays, gathered in the loop."""

    def __init__(self, loader: Loader):
        """Args:
        loader: of the split.
        """
        self._loader = loader

    def given(self, indices: np.ndarray, bits: np.ndarray, *, count: int) -> Any:
        """Returns batches as a loop is called with them.

        Args:
          indices: [batches, batch size] int32; always as many for one loop.
          bits: [batches, batch size] int32 in [0, 2**31).
          count: how many of them the loop takes, the first ones.
        """
        import tensorflow as tf

        del count
        return tf.constant(indices), tf.constant(bits)

    def stream(self, stream: DataStream, first: int) -> Callable[[int, int], Any]:
        """Returns what tells `given` of (iteration, count), for a loop from `first` on.

        Count is at most `ROOM`, and there is room for so many: one shape for all.
        """
        del first

        def padded(iteration: int, count: int) -> Any:
            batches = stream.batches(iteration, count)
            buffers = np.zeros((2, ROOM, stream.batch_size), np.int32)
            buffers[0, :count], buffers[1, :count] = batches.indices, batches.bits
            return self.given(*buffers, count=count)

        return padded

    def taken(self, given: Any, number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Returns a batch in parts; the loop asks for number 0, 1, 2, ... in turn."""
        indices, bits = given
        return indices[number], bits[number]

    def shown(self, *parts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns images and targets of a batch."""
        return self._loader(*parts)

    def compiled(self, loop: Callable, *, jit: bool) -> Callable:
        """Returns a loop that takes batches, compiled."""
        return _function(loop, jit=jit)

    def compiled_part(self, part: Callable, *, jit: bool) -> Callable:
        """Returns what a loop does with the parts of a batch, compiled with the loop.

        That changes variables and returns tensors; the loop passes it tensors alone.
        """
        del jit
        return part


class EncodedFeed:
    """Batches of encoded images, made ahead by tf.data and handed to the loop."""

    def __init__(self, loader: Loader, windows: encoded_batches.Windows):
        """Args:
        loader: of the split.
        windows: of its images.
        """
        self.image_shape = windows.image_shape
        self._loader = loader
        self._windows = windows
        # Of each batch size, what makes batches, and the rows it begins with next.
        self._datasets: dict[int, tf.data.Dataset] = {}
        self._rows: Callable[[], Iterator] = lambda: iter(())

    def given(self, indices: np.ndarray, bits: np.ndarray, *, count: int) -> Any:
        """As of `ArrayFeed`."""
        rows = list(zip(indices[:count], bits[:count], strict=True))
        return self._begun(lambda: iter(rows), indices.shape[1])

    def stream(self, stream: DataStream, first: int) -> Callable[[int, int], Any]:
        """As of `ArrayFeed`; batches are made on while no loop runs."""
        begun = self._begun(lambda: pipeline.rows(stream, first), stream.batch_size)
        return lambda iteration, count: begun

    def taken(self, given: Any, number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """As of `ArrayFeed`."""
        del number
        return next(given)

    def shown(self, *parts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As of `ArrayFeed`."""
        return self._loader.show(*parts)

    def compiled(self, loop: Callable, *, jit: bool) -> Callable:
        """Returns a loop that takes batches, as a graph: XLA cannot reach for them."""
        del jit
        return _function(loop, jit=False)

    def compiled_part(self, part: Callable, *, jit: bool) -> Callable:
        """Returns what a loop does with the parts of a batch, compiled by itself."""
        return _function(part, jit=True) if jit else part

    def _begun(self, rows: Callable[[], Iterator], batch_size: int) -> Any:
        """Returns an iterator over the batches of these rows."""
        if batch_size not in self._datasets:
            self._datasets[batch_size] = encoded_batches.as_dataset(
                self._windows, lambda: self._rows(), batch_size=batch_size
            )
        # Asked for when the first batch is taken, which is before others are begun.
        self._rows = rows
        return iter(self._datasets[batch_size])


class HandedFeed:
    """Batches of pixels, read here and handed to a loop of devices that see no more.

    A TPU gathers from no memory but its own, which not all images fit into.
    """

    def __init__(self, loader: Loader, encoded: EncodedFeed | None):
        """Args:
        loader: of the split.
        encoded: what decodes its images, if they are encoded.
        """
        self._loader = loader
        self._encoded = encoded

    def given(self, indices: np.ndarray, bits: np.ndarray, *, count: int) -> Any:
        """As of `ArrayFeed`; images of batches that are not taken may be black."""
        import tensorflow as tf

        if self._encoded is None:
            images = self._loader.read(indices.reshape(-1), bits.reshape(-1))
            images = tf.reshape(images, (*indices.shape, *images.shape[1:]))
        else:
            images = self._decoded(indices, bits, count)
        return images, tf.constant(indices), tf.constant(bits)

    def taken(self, given: Any, number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """As of `ArrayFeed`."""
        return tuple(one[number] for one in given)

    def shown(self, *parts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As of `ArrayFeed`."""
        return self._loader.show(*parts)

    def compiled(self, loop: Callable, *, jit: bool) -> Callable:
        """As of `ArrayFeed`."""
        return _function(loop, jit=jit)

    def compiled_part(self, part: Callable, *, jit: bool) -> Callable:
        """As of `ArrayFeed`."""
        del jit
        return part

    def _decoded(self, indices: np.ndarray, bits: np.ndarray, count: int) -> np.ndarray:
        """Returns the images of the first batches, and black ones of the others."""
        shape = self._encoded.image_shape
        images = np.zeros((*indices.shape, *shape), np.uint8)
        batches = self._encoded.given(indices, bits, count=count)
        for number in range(count):
            images[number] = self._encoded.taken(batches, number)[0]
        return images


Feed = ArrayFeed | EncodedFeed | HandedFeed


def feed(
    source: Source,
    *,
    split: str,
    augmentation: str,
    handed: bool = False,
    **task: Any,
) -> Feed:
    """Returns the batches of a split, as its images are.

    Args:
      source: the data.
      split: "train" or "test".
      augmentation: one of `AUGMENTATIONS`.
      handed: whether devices are given pixels, instead of where images are.
      **task: `pretext` and `pretext_seed`, as of `pipeline.loader`.

    Raises:
      ValueError: as `pipeline.loader`.
    """
    loader = pipeline.loader(source, split=split, augmentation=augmentation, **task)
    encoded = None
    if source.is_encoded:
        images = getattr(source, split).images
        windows = encoded_batches.Windows(images, augmentation=augmentation)
        encoded = EncodedFeed(loader, windows)
    if handed:
        return HandedFeed(loader, encoded)
    return encoded or ArrayFeed(loader)


@contextlib.contextmanager
def watched(
    source: Source,
    *,
    split: str,
    augmentation: str,
    rows: Callable[[], tuple[np.ndarray, np.ndarray]],
) -> Iterator[None]:
    """Has whatever is wrong with the files of a data set said, once they were read.

    Args:
      source: the data.
      split: "train" or "test".
      augmentation: one of `AUGMENTATIONS`.
      rows: returns indices and bits of the images read inside.

    Raises:
      ChangedData: a file was written to since its content was checked.
      DamagedImage, DamagedRecords: an image cannot be read or decoded; says which.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError:
        if source.is_encoded:
            source.check_unchanged()
            images = getattr(source, split).images
            windows = encoded_batches.Windows(images, augmentation=augmentation)
            encoded_batches.refuse_damaged(windows, *rows())
        raise
    source.check_unchanged()


def _function(function: Callable, *, jit: bool) -> Callable:
    import tensorflow as tf

    return tf.function(function, jit_compile=jit, autograph=False)
