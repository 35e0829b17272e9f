"""Does a pretext give the same images in every form in which a loop may run it?

A training loop is a graph of TensorFlow's, compiled by XLA, or fed by tf.data: the
network and the machine decide which, so that runs of one key all take the same form.
XLA and TensorFlow's graphs add up in orders of their own and join products with sums: a
mean written as `tf.reduce_mean` has other last bits in each, and a network trained on
another machine sees images that differ in them. To run pretexts apart from the loop, in
one form, would leave compiled code and come back at every iteration, and graphs would
still not agree with tf.data. So a pretext is tried in all forms on a few images before
it is first used: who rounds differently is told so, and how to avoid it; whatever else
differs is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from tflottery.core.registry import PRETEXTS
from tflottery.datasets import feeds, pipeline
from tflottery.datasets.arrays import Source
from tflottery.datasets.encoded import DamagedImage
from tflottery.datasets.records import DamagedRecords
from tflottery.datasets.stream import stream_of

_LOG = logging.getLogger(__name__)
_TRIED_IMAGES = 32
# Of normalized images: far above rounding, far below a grey value.
_MOST_ROUNDING = 1e-5
# Pretexts, by function and data, that were tried in this process and round nowhere.
_SOUND: set[tuple] = set()
_REMEDY = (
    "Draw from `bits` alone, add whole numbers, as tf.cast(tf.round(255 * images), "
    "tf.int32), in place of fractions, and multiply by powers of two: see "
    "tflottery/pretexts."
)


def validate(pretext: str, source: Source) -> None:
    """Tries a pretext; logs a warning if it rounds differently in some form.

    What passed once in this process is not tried again on the same images.

    Args:
      pretext: name of a registered pretext.
      source: the data; some training images are tried.

    Raises:
      ValueError: the pretext refuses the images, gives others each time, or its results
        differ between forms by more than rounding.
    """
    tried = (PRETEXTS[pretext].function, source.digest, source.train.images.shape)
    if tried in _SOUND:
        return
    (first, expected), *others = _tried(pretext, source).items()
    rounded = []
    for form, found in others:
        images, labels = (
            np.abs(one.astype(np.float64) - other)
            for one, other in zip(expected, found, strict=True)
        )
        if labels.any() or not images.max() < _MOST_ROUNDING:
            raise ValueError(
                f"Pretext {pretext!r} gives other results {form} than {first}: "
                f"{np.count_nonzero(labels)} of {labels.size} labels differ, images by "
                f"up to {images.max():.1e}. {_REMEDY}"
            )
        if images.any():
            count = np.count_nonzero(images)
            rounded.append(f"{count} of {images.size} values {form}")
    if not rounded:
        _SOUND.add(tried)
    else:
        _LOG.warning(
            "Pretext %r rounds differently than %s: %s. Networks without convolutions "
            "(XLA), GPUs (XLA) and several replicas (tf.data) see images that differ "
            "in the last bits. %s",
            pretext,
            first,
            ", ".join(rounded),
            _REMEDY,
        )


def _tried(pretext: str, source: Source) -> dict[str, list[np.ndarray]]:
    """Returns images and labels of one batch in each form, which it names in words."""
    import tensorflow as tf

    task = {"augmentation": "none", "pretext": pretext}
    load = pipeline.loader(source, split="train", **task)
    stream = stream_of(
        source.train.labels, _TRIED_IMAGES, data_order_seed=0, augmentation_seed=0
    )
    batch = stream.batches(0, 1)
    inputs = (tf.constant(batch.indices[0]), tf.constant(batch.bits[0]))
    try:
        with feeds.watched(
            source,
            split="train",
            augmentation="none",
            rows=lambda: (batch.indices, batch.bits),
        ):
            load(*inputs)
    except (DamagedImage, DamagedRecords):
        raise
    except ValueError as error:
        raise ValueError(
            f"Dataset {source.name!r} does not suit the pretext {pretext!r}: {error}"
        ) from error
    images = load.read(*inputs)
    graph = tf.function(load.show, autograph=False)
    compiled = tf.function(load.show, autograph=False, jit_compile=True)
    forms = {
        "in a graph": lambda: graph(images, *inputs),
        "compiled by XLA": lambda: compiled(images, *inputs),
        "in tf.data": lambda: next(iter(pipeline.as_dataset(source, stream, **task))),
    }
    return {form: _twice(pretext, run) for form, run in forms.items()}


def _twice(pretext: str, run: Callable) -> list[np.ndarray]:
    """Returns the arrays of a batch; raises ValueError if they change each time."""
    one, two = ([array.numpy() for array in run()] for _ in range(2))
    if any(a.tobytes() != b.tobytes() for a, b in zip(one, two, strict=True)):
        raise ValueError(
            f"Pretext {pretext!r} gives other images or labels each time, so that no "
            f"training with it could be resumed. {_REMEDY}"
        )
    return one
