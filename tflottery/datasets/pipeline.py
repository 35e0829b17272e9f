"""Batches of images, the same in every form of loop.

`loader` is a function of indices and random bits that runs inside any tf.function, of
memory-mapped arrays also a compiled one; `as_dataset` is the same batches as a
tf.data.Dataset. Encoded images are read and decoded by `encoded_batches`.

The arithmetic is arranged so that XLA cannot round it differently: a difference times
a constant leaves nothing to fuse into one multiply-add.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core.recipes import AUGMENTATIONS, RESIZED_CROP
from tflottery.core.registry import PRETEXTS
from tflottery.datasets import augmentations, encoded_batches
from tflottery.datasets.arrays import Source, Split
from tflottery.datasets.resizing import ResizedImages
from tflottery.datasets.stream import DataStream

if TYPE_CHECKING:
    import tensorflow as tf

_TENSOR_ALIGNMENT_BYTES = 64
_UNIT_VALUES = (np.arange(256) / 255).astype(np.float32)
_ITERATIONS_PER_READ = 64
# Batches shown at the same time: how many, and how much memory all of them may take.
_MOST_BATCHES_SHOWN, _MOST_BYTES_SHOWN = 4, 2**30


@dataclasses.dataclass(frozen=True)
class Loader:
    """A function from indices and bits to a batch, in two steps.

    Attributes:
      read: from indices [batch] int32 in [0, examples) and bits [batch] int32 in
        [0, 2**31) to images [batch, height, width, channels] uint8. Of encoded images
        XLA cannot compile it.
      show: from these images, indices and bits, all of static shape, to images [batch,
        height, width, channels] float32, normalized, and labels [batch] int32; of a
        pretext, to what `tflottery.pretexts` says of its images and targets.
    """

    read: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    show: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

    def __call__(
        self, indices: tf.Tensor, bits: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns images and targets."""
        return self.show(self.read(indices, bits), indices, bits)


def loader(
    source: Source,
    *,
    split: str,
    augmentation: str,
    pretext: str | None = None,
    pretext_seed: int = 0,
) -> Loader:
    """Returns the function from indices and bits to a batch.

    Args:
      source: the data; arrays mapped in mode 'c' are shared, others are copied.
      split: "train" or "test".
      augmentation: one of `AUGMENTATIONS`.
      pretext: name of a registered pretext task, which changes images and labels.
      pretext_seed: of what is random in it but the same in all epochs.

    Raises:
      ValueError: an unknown split, augmentation or pretext, or an augmentation that is
        not one of the images; or as `relabelled`.
    """
    import tensorflow as tf

    examples = _split(source, split)
    validate_augmentation(augmentation, source)
    show_pretext, labels = None, examples.labels
    if pretext:
        show_pretext = PRETEXTS[pretext].function
        labels = relabelled(labels, pretext=pretext, pretext_seed=pretext_seed)
    labels = tf.constant(labels, tf.int32)

    # tf.data would rewrite a pretext's Python for its graph, which takes seconds.
    @tf.autograph.experimental.do_not_convert
    def show(
        images: tf.Tensor, indices: tf.Tensor, bits: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        batch_labels = tf.gather(labels, indices)
        batch = augmentations.augmented(images, bits, augmentation=augmentation)
        if show_pretext is None:
            return _normalized(batch, source, white=255.0), batch_labels
        # Looked up: XLA would fuse a product here with what a pretext does to it.
        batch = tf.gather(_UNIT_VALUES, tf.cast(batch, tf.int32))
        batch, targets = show_pretext(
            batch,
            batch_labels,
            bits=bits,
            indices=indices,
            seed=pretext_seed,
            num_classes=source.num_classes,
        )
        return _normalized(batch, source, white=1.0), targets

    if source.is_encoded:
        windows = encoded_batches.Windows(examples.images, augmentation=augmentation)
        return Loader(functools.partial(encoded_batches.read, windows), show)
    if isinstance(examples.images, ResizedImages):
        whole, resized = _tensor(examples.images.images), examples.images.shown
        return Loader(lambda indices, bits: resized(tf.gather(whole, indices)), show)
    images = _tensor(examples.images)
    return Loader(lambda indices, bits: tf.gather(images, indices), show)


def validate_augmentation(augmentation: str, source: Source) -> None:
    """Raises ValueError unless images of a source can be augmented so."""
    if augmentation not in AUGMENTATIONS:
        raise ValueError(
            f"There is no augmentation {augmentation!r}. Known: "
            f"{', '.join(AUGMENTATIONS)}."
        )
    if augmentation == RESIZED_CROP and not source.is_encoded:
        raise ValueError(
            f"Images of {source.name!r} all have the shape {source.image_shape}, and "
            f"augmentation={augmentation!r} is one of images of many sizes. Take "
            "another --augmentation."
        )


def as_dataset(
    source: Source,
    stream: DataStream,
    *,
    first_iteration: int = 0,
    augmentation: str,
    pretext: str | None = None,
    pretext_seed: int = 0,
    num_devices: int = 1,
    own: range = range(1),
) -> tf.data.Dataset:
    """Returns the training batches of a stream, endless, from any iteration on.

    The batches are those of `loader`, bit for bit; where several devices share them,
    the slices of some of these in their place.

    Args:
      source: the data; its training split is used.
      stream: the order; has to be over as many examples as the split.
      first_iteration: the iteration whose batch comes first, at least 0.
      augmentation: one of `AUGMENTATIONS`.
      pretext: name of a registered pretext task.
      pretext_seed: of what is random in it but the same in all epochs.
      num_devices: that share a batch; they have to divide it.
      own: the devices whose slices come, in turn; from 0.

    Returns:
      (images [size, height, width, channels] float32, labels [size] int32), statically.

    Raises:
      ValueError: `first_iteration` is negative, or stream and source do not fit.
    """
    import tensorflow as tf

    _validate_stream(source, stream, first_iteration)
    size = stream.batch_size // num_devices
    given = functools.partial(_slices, stream, first_iteration, size=size, own=own)
    load = loader(
        source,
        split="train",
        augmentation=augmentation,
        pretext=pretext,
        pretext_seed=pretext_seed,
    )
    if source.is_encoded:
        encoded = source.train.images
        windows = encoded_batches.Windows(encoded, augmentation=augmentation)
        dataset = encoded_batches.as_dataset(windows, given, batch_size=size)
        count = num_shown_at_once(size, source.image_shape)
        shown = dataset.map(load.show, num_parallel_calls=count, deterministic=True)
        return _endless(shown)
    # Indices and bits come from Python, in blocks; images are read in the graph.
    spec = tf.TensorSpec((size,), tf.int32)
    dataset = tf.data.Dataset.from_generator(given, output_signature=(spec, spec))
    dataset = dataset.map(load, num_parallel_calls=1, deterministic=True)
    dataset = _endless(dataset.prefetch(2 * len(own)))
    # tf.data's graph rewriting would copy all images into each iterator's graph.
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


def num_shown_at_once(batch_size: int, image_shape: tuple[int, int, int]) -> int:
    """Returns how many decoded batches are shown at the same time, at least 1.

    Several, as a single thread shows fewer than many decode, if they are not too large.

    Args:
      batch_size: images of a batch over all devices.
      image_shape: of each, in float32 once it is shown.
    """
    batch_bytes = np.dtype(np.float32).itemsize * batch_size * math.prod(image_shape)
    affordable = max(1, _MOST_BYTES_SHOWN // batch_bytes)
    return min(_MOST_BATCHES_SHOWN, encoded_batches.num_threads(), affordable)


def rows(stream: DataStream, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields indices and bits of each batch of a stream, without end: [batch] int32.

    Args:
      stream: the order.
      first: the iteration whose batch comes first.
    """
    while True:
        batches = stream.batches(first, _ITERATIONS_PER_READ)
        yield from zip(batches.indices, batches.bits, strict=True)
        first += _ITERATIONS_PER_READ


def _slices(
    stream: DataStream, first: int, *, size: int, own: range
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields indices and bits of some devices' slices of each batch: [size] int32."""
    for indices, bits in rows(stream, first):
        for device in own:
            of_device = slice(device * size, (device + 1) * size)
            yield indices[of_device], bits[of_device]


def _endless(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a dataset of which is known that it does not end.

    Else hosts that train together ask each other before each batch.
    """
    import tensorflow as tf

    return dataset.apply(
        tf.data.experimental.assert_cardinality(
            tf.data.experimental.INFINITE_CARDINALITY
        )
    )


def _validate_stream(source: Source, stream: DataStream, first: int) -> None:
    """Raises ValueError unless a stream is over a source's training examples."""
    num_examples = len(source.train.labels)
    if stream.num_examples != num_examples or first < 0:
        raise ValueError(
            f"A stream over {stream.num_examples} examples from iteration "
            f"{first!r} does not fit {source.name}'s {num_examples} training "
            "examples: the numbers have to agree, the iteration has to be 0 or more."
        )


def relabelled(labels: np.ndarray, *, pretext: str, pretext_seed: int) -> np.ndarray:
    """Returns the labels of a split that a pretext is given in place of the data's.

    Args:
      labels: of all examples of the split, [examples] int32.
      pretext: name of a registered pretext task.
      pretext_seed: of what is random in it but the same in all epochs.

    Raises:
      ValueError: the pretext returns other than a whole number for each example, which
        compiled code would not notice.
    """
    relabel = PRETEXTS[pretext]["relabel"]
    if relabel is None:
        return labels
    found = np.asarray(relabel(labels, seed=pretext_seed))
    if found.shape != labels.shape or found.dtype.kind not in "iu":
        raise ValueError(
            f"relabel of pretext {pretext!r} returns {found.dtype} of shape "
            f"{found.shape} for {len(labels)} labels: expected a whole number for each "
            "example of the split."
        )
    return found


def _normalized(images: tf.Tensor, source: Source, *, white: float) -> tf.Tensor:
    """Returns (image / white - mean) / std in float32; white is the brightest value."""
    import tensorflow as tf

    height, width, channels = images.shape[-3:]
    # Constants for every value of a row of the batch: broadcasting along the channels
    # alone is several times slower.
    mean = np.tile(np.float64(source.mean) * white, height * width)
    scale = np.tile(1 / (np.float64(source.std) * white), height * width)
    flat = tf.reshape(images, (-1, height * width * channels))
    flat = tf.cast(flat, tf.float32) - mean.astype(np.float32)
    return tf.reshape(flat * scale.astype(np.float32), images.shape)


def _tensor(images: np.ndarray) -> tf.Tensor:
    """Returns a tensor over the array's own memory where TensorFlow can use it."""
    import tensorflow as tf

    aligned = images.ctypes.data % _TENSOR_ALIGNMENT_BYTES == 0
    if images.flags.writeable and images.flags.c_contiguous and aligned:
        return tf.experimental.dlpack.from_dlpack(images.__dlpack__())
    return tf.constant(images)


def _split(source: Source, split: str) -> Split:
    splits = {"train": source.train, "test": source.test}
    if split not in splits:
        raise ValueError(f"There is no split {split!r}. Known: {', '.join(splits)}.")
    return splits[split]
