"""Batches of images from memory-mapped arrays, the same in every form of loop.

`loader` is a function of indices and random bits that runs inside any tf.function,
compiled or not; `as_dataset` is the same batches as a tf.data.Dataset.

The arithmetic is arranged so that XLA cannot round it differently: a difference times
a constant leaves nothing to fuse into one multiply-add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core.recipes import AUGMENTATIONS
from tflottery.core.registry import PRETEXTS
from tflottery.datasets import augmentations
from tflottery.datasets.arrays import Source, Split
from tflottery.datasets.stream import DataStream

if TYPE_CHECKING:
    import tensorflow as tf

_TENSOR_ALIGNMENT_BYTES = 64
_UNIT_VALUES = (np.arange(256) / 255).astype(np.float32)
_ITERATIONS_PER_READ = 64

# From indices and bits to images and targets.
Loader = Callable[["tf.Tensor", "tf.Tensor"], tuple["tf.Tensor", "tf.Tensor"]]


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

    Returns:
      A function of indices [batch] int32 in [0, examples) and bits [batch] int32 in
      [0, 2**31), both of static shape, that returns images [batch, height, width,
      channels] float32, normalized, and labels [batch] int32; of a pretext, what
      `tflottery.pretexts` says of its images and targets.

    Raises:
      ValueError: an unknown split, augmentation or pretext; or as `relabelled`.
    """
    import tensorflow as tf

    if augmentation not in AUGMENTATIONS:
        raise ValueError(
            f"There is no augmentation {augmentation!r}. Known: "
            f"{', '.join(AUGMENTATIONS)}."
        )
    arrays = _split(source, split)
    show, labels = None, arrays.labels
    if pretext:
        show = PRETEXTS[pretext].function
        labels = relabelled(labels, pretext=pretext, pretext_seed=pretext_seed)
    images, labels = _tensor(arrays.images), tf.constant(labels, tf.int32)

    def load(indices: tf.Tensor, bits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.gather(images, indices)
        batch_labels = tf.gather(labels, indices)
        batch = augmentations.augmented(batch, bits, augmentation=augmentation)
        if show is None:
            return _normalized(batch, source, white=255.0), batch_labels
        # Looked up: XLA would fuse a product here with what a pretext does to it.
        batch = tf.gather(_UNIT_VALUES, tf.cast(batch, tf.int32))
        batch, targets = show(
            batch,
            batch_labels,
            bits=bits,
            indices=indices,
            seed=pretext_seed,
            num_classes=source.num_classes,
        )
        return _normalized(batch, source, white=1.0), targets

    return load


def as_dataset(
    source: Source,
    stream: DataStream,
    *,
    first_iteration: int = 0,
    augmentation: str,
    pretext: str | None = None,
    pretext_seed: int = 0,
) -> tf.data.Dataset:
    """Returns the training batches of a stream, endless, from any iteration on.

    The batches are those of `loader`, bit for bit.

    Args:
      source: the data; its training split is used.
      stream: the order; has to be over as many examples as the split.
      first_iteration: the iteration whose batch comes first, at least 0.
      augmentation: one of `AUGMENTATIONS`.
      pretext: name of a registered pretext task.
      pretext_seed: of what is random in it but the same in all epochs.

    Returns:
      A dataset of (images [batch, height, width, channels] float32, labels [batch]
      int32) of static shapes.

    Raises:
      ValueError: `first_iteration` is negative, or stream and source do not fit.
    """
    import tensorflow as tf

    num_examples = len(source.train.labels)
    if stream.num_examples != num_examples or first_iteration < 0:
        raise ValueError(
            f"A stream over {stream.num_examples} examples from iteration "
            f"{first_iteration!r} does not fit {source.name}'s {num_examples} training "
            "examples: the numbers have to agree, the iteration has to be 0 or more."
        )

    # Indices and bits come from Python, in blocks; images are read in the graph.
    def rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        first = first_iteration
        while True:
            batches = stream.batches(first, _ITERATIONS_PER_READ)
            yield from zip(batches.indices, batches.bits, strict=True)
            first += _ITERATIONS_PER_READ

    spec = tf.TensorSpec((stream.batch_size,), tf.int32)
    dataset = tf.data.Dataset.from_generator(rows, output_signature=(spec, spec))
    load = loader(
        source,
        split="train",
        augmentation=augmentation,
        pretext=pretext,
        pretext_seed=pretext_seed,
    )
    dataset = dataset.map(load, num_parallel_calls=1, deterministic=True).prefetch(2)
    # tf.data's graph rewriting would copy all images into each iterator's graph.
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


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
