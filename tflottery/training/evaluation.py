"""Counting errors, and re-estimating batch norm statistics.

The papers do not say how batch norm is set on the line between two networks, so both
readings are made: statistics interpolated with the weights, and statistics
re-estimated on a fixed set of training images (pooled moments, in float64).
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tflottery import layers
from tflottery.core import seeds
from tflottery.core.registry import MODELS
from tflottery.datasets import feeds
from tflottery.datasets.selection import UNLABELED
from tflottery.datasets.source import Source
from tflottery.datasets.stream import stream_of
from tflottery.models import weights as model_weights
from tflottery.training import distribution, gradients, moments, tasks
from tflottery.training.generators import Generators
from tflottery.training.trainer import compiled_by_xla

# Images of a batch and of a call. Convolutions take batches small enough for a CPU's
# caches, and calls short enough to show progress and to stop, even for VGG-16.
DENSE_SIZES = (500, 10_000)
CONVOLUTIONAL_SIZES = (125, 2_000)
# Of images of so many pixels, on a CPU and where pixels are handed to devices.
LARGE_SIZES, _LARGE_PIXELS = (25, 250), 128**2
_LARGE_HANDED_SIZES = (125, 500)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A network on some images.

    Attributes:
      num_misclassified: misclassified examples.
      loss: of all images, added up in float64, in nats.
    """

    num_misclassified: int
    loss: float


class Evaluator:
    """A network compiled for measuring; its weights are given with each question.

    Attributes:
      model: the network.
      batch_size: images that pass together.
      block_size: images that `measure` takes at most, in whole batches.

    Whatever measures raises `ChangedData` if a file that holds the data was changed,
    and `DamagedImage` or `DamagedRecords` if an image cannot be read or decoded.
    """

    def __init__(
        self,
        model_name: str,
        source: Source,
        *,
        num_classes: int,
        pretext: str | None = None,
        pretext_seed: int = 0,
        device: str | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ):
        """Args:
        model_name: a registered model.
        source: the data; never augmented here.
        num_classes: outputs of the network.
        pretext: a registered pretext, or None for the dataset's own task.
        pretext_seed: of what is random in it but the same in all epochs.
        device: TensorFlow's name of the device that measures; None: its first choice.
        strategy: for whose devices its programs are (`ReplicatedEvaluator`).
        """
        self._device = device
        with strategy.scope() if strategy else self._placed():
            self.model = MODELS[model_name].function(
                input_shape=source.train.images.shape[1:], num_classes=num_classes
            )
            self._generators = Generators(self.model)
        # Pruned weights are zero; the masks would change nothing.
        layers.ignore_masks(self.model)
        if distribution.has_gpu():
            layers.make_pooling_deterministic(self.model)
        self._source = source
        self._task = tasks.task_of(pretext)
        self._feeds = {
            split: feeds.feed(
                source,
                split=split,
                augmentation="none",
                pretext=pretext,
                pretext_seed=pretext_seed,
                handed=strategy is not None,
            )
            for split in ("train", "test")
        }
        self._generators.reseed(seeds.seed("evaluation_dropout"))
        self._jit = compiled_by_xla(self.model)
        self.batch_size, self.block_size = _sizes(self.model, handed=bool(strategy))
        self._counters = {
            split: feed.compiled(self.counter(split), jit=self._jit)
            for split, feed in self._feeds.items()
        }

    def assign(self, weights: dict[str, np.ndarray]) -> None:
        """Takes on weights and batch norm statistics, by variable path."""
        model_weights.assign(self.model, weights)

    def measure(self, split: str, indices: np.ndarray) -> Measurement:
        """Returns errors and loss on a block of a split, as `blocks` gives them.

        Args:
          split: "train" or "test".
          indices: [n] int32, which images.
        """
        with self.watched(split, indices):
            arguments = self.counter_arguments(split, indices)
            with self._placed():
                wrong, loss = self._counters[split](*arguments)
            return Measurement(num_misclassified=int(wrong), loss=float(loss))

    def counter_arguments(self, split: str, indices: np.ndarray) -> tuple:
        """Returns what `counter` takes of a block, always of the same shapes.

        Args:
          split: "train" or "test".
          indices: [n] int32, at most a block.
        """
        padded = np.zeros(self.block_size, np.int32)
        padded[: len(indices)] = indices
        counted = (np.arange(self.block_size) < len(indices)).astype(np.float32)
        num_batches = -(-len(indices) // self.batch_size)
        return (
            self._given(split, padded.reshape(-1, self.batch_size), num_batches),
            tf.constant(counted.reshape(-1, self.batch_size)),
            tf.constant(num_batches),
        )

    def blocks(self, split: str, num_examples: int | None = None) -> list[np.ndarray]:
        """Returns the indices to measure, in blocks for `measure`.

        Args:
          split: "train" or "test".
          num_examples: how many images, a fixed random choice; None is all.

        Images without labels are left out.
        """
        indices = self.examples(split, num_examples)
        return [
            indices[first : first + self.block_size]
            for first in range(0, len(indices), self.block_size)
        ]

    def examples(self, split: str, num_examples: int | None) -> np.ndarray:
        """Returns the indices measured: int32, the same in every run."""
        labeled = getattr(self._source, split).labels != UNLABELED
        if num_examples is None or num_examples >= np.count_nonzero(labeled):
            return np.flatnonzero(labeled).astype(np.int32)
        order = self._random_order(split)
        return np.sort(order[labeled[order]][:num_examples])

    def reestimate(
        self,
        num_examples: int,
        *,
        batch_size: int,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Replaces the batch norm statistics by those of fixed training images.

        Each batch is normalized by its own moments on the way up, as in training; the
        statistics become the moments pooled over all batches. Images are taken in
        whole batches and in random order: the batches of data sorted by class would
        each have the moments of one class.

        Args:
          num_examples: images, or as many as there are; the same in every run.
          batch_size: images of a batch; what is left of the last one does not count.
          between: called every few batches; may raise, and leaves the statistics as
            they were then.
        """
        groups = self.moment_batches(num_examples, batch_size=batch_size)
        sums: moments.Sums | None = None
        for number, group in enumerate(groups):
            if number:
                between()
            sums = moments.added(sums, self.summed_moments(group))
        self.batch_moments.take(sums, num_batches=sum(map(len, groups)))

    def moment_batches(self, num_examples: int, *, batch_size: int) -> list[np.ndarray]:
        """Returns the batches of `reestimate` in groups, each [batches, size] int32.

        Args:
          num_examples: as of `reestimate`.
          batch_size: likewise.
        """
        batches = self.whole_batches(num_examples, batch_size=batch_size)
        size = moments.BATCHES_OF_A_CALL
        return [batches[at : at + size] for at in range(0, len(batches), size)]

    def summed_moments(self, batches: np.ndarray) -> moments.Sums:
        """Returns the moments of batch norm's inputs, added up over batches.

        Args:
          batches: one of the groups of `moment_batches`.
        """
        with self.watched("train", batches):
            given, count = self.moment_arguments(batches)
            with self._placed():
                return self.batch_moments.summed(given, count)

    def moment_arguments(self, batches: np.ndarray) -> tuple:
        """Returns what the moments are of, of the same shapes always, and how many.

        Args:
          batches: [n, size] int32, as of `summed_moments`; n may be 0.
        """
        padded = np.zeros((moments.BATCHES_OF_A_CALL, batches.shape[1]), np.int32)
        padded[: len(batches)] = batches
        return self._given("train", padded, len(batches)), len(batches)

    def gradient_magnitudes(self, batch: np.ndarray) -> gradients.Magnitudes:
        """Returns how large the gradient of a batch of training images is.

        Args:
          batch: [batch size] int32, one of `whole_batches`.
        """
        with self.watched("train", batch):
            given = self.gradient_argument(batch)
            with self._placed():
                return self.batch_gradients.magnitudes(given)

    def gradient_argument(self, batch: np.ndarray) -> Any:
        """Returns what the gradient is of, as the feed gives it."""
        return self._given("train", batch[None], 1)

    def whole_batches(self, num_examples: int, *, batch_size: int) -> np.ndarray:
        """Returns fixed training images in random order: [batches, size] int32.

        Of images with and without labels a batch has as many as in training.

        Args:
          num_examples: images, or as many as there are; the same in every run.
          batch_size: images of a batch; what is left of the last one does not count.
        """
        labels = self._source.train.labels
        available = min(num_examples, len(labels))
        size = min(batch_size, available)
        if (labels == UNLABELED).any():
            size = max(2, size // 2 * 2)
        stream = stream_of(
            labels,
            size,
            data_order_seed=seeds.seed("evaluation", split="train"),
            augmentation_seed=seeds.seed("evaluation_bits", split="train"),
        )
        return stream.batches(0, max(1, available // size)).indices

    def _placed(self) -> contextlib.AbstractContextManager:
        """Returns the scope of this evaluator's device."""
        return tf.device(self._device) if self._device else contextlib.nullcontext()

    def _random_order(self, split: str) -> np.ndarray:
        """Returns all indices of a split, int32, in an order fixed for ever."""
        total = len(getattr(self._source, split).labels)
        order = seeds.permutation(seeds.seed("evaluation", split=split), 0, total)
        return order.astype(np.int32)

    def _given(self, split: str, indices: np.ndarray, count: int) -> Any:
        """Returns batches of a split with the random bits that a pretext reads.

        Args:
          split: "train" or "test".
          indices: [batches, batch size] int32.
          count: how many of the batches are taken.
        """
        return self._feeds[split].given(
            indices, self._bits[split][indices], count=count
        )

    def watched(
        self, split: str, indices: np.ndarray
    ) -> contextlib.AbstractContextManager:
        """Has said what is wrong with these images of a split."""
        return feeds.watched(
            self._source,
            split=split,
            augmentation="none",
            rows=lambda: (indices, self._bits[split][indices]),
        )

    @functools.cached_property
    def _bits(self) -> dict[str, np.ndarray]:
        """Returns the random bits of each image, by split: [n] int32."""
        found = {}
        for split in self._feeds:
            total = len(getattr(self._source, split).labels)
            words = seeds.raw_bits(seeds.seed("evaluation_bits", split=split), 0, total)
            found[split] = (words >> np.uint64(33)).astype(np.int32)
        return found

    def counter(self, split: str) -> Callable:
        """Returns the loop over a split's batches; not compiled.

        It takes batches as the feed gives them, the weights of examples [batches, batch
        size] float32 and the number of batches, and returns (errors int32, loss
        float64).
        """
        feed = self._feeds[split]

        def counted(batch, weights, *parts):
            images, targets = feed.shown(*parts)
            # Nothing is assigned, which replicas cannot do inside of a loop.
            with keras.StatelessScope():
                self._generators.set(batch)
                return tasks.count_errors(
                    self.model, self._task, images, targets, weights
                )

        counted = feed.compiled_part(counted, jit=self._jit)

        def count(given, weights, num_batches):
            def step(batch, wrong, loss):
                parts = feed.taken(given, batch)
                more, extra = counted(batch, weights[batch], *parts)
                return batch + 1, wrong + more, loss + extra

            start = [tf.constant(0), tf.constant(0), tf.constant(0.0, tf.float64)]
            _, wrong, loss = tf.while_loop(
                lambda batch, *_: batch < num_batches, step, start
            )
            return wrong, loss

        return count

    @functools.cached_property
    def batch_gradients(self) -> gradients.Gradients:
        """The compiled gradient of a batch."""
        return gradients.Gradients(
            self.model,
            self._feeds["train"],
            self._task,
            generators=self._generators,
            jit=self._jit,
        )

    @functools.cached_property
    def batch_moments(self) -> moments.Moments:
        """The compiled moments of batches."""
        return moments.Moments(
            self.model, self._feeds["train"], self._task, generators=self._generators
        )


def _sizes(model: keras.Model, *, handed: bool) -> tuple[int, int]:
    """Returns how many images a batch has, and a call, of a model here."""
    if not layers.convolves(model):
        return DENSE_SIZES
    has_gpu = distribution.has_gpu()
    is_large = math.prod(model.input_shape[1:3]) >= _LARGE_PIXELS and not has_gpu
    if not is_large:
        return CONVOLUTIONAL_SIZES
    return _LARGE_HANDED_SIZES if handed else LARGE_SIZES
