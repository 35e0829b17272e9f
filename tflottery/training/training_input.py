"""What a training loop takes its batches from, on one device or several."""

import contextlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tflottery.datasets import feeds, pipeline
from tflottery.datasets.source import Source
from tflottery.datasets.stream import DataStream


class TrainingInput:
    """The training examples of a source as a recipe shows them.

    Attributes:
      feed: the batches that the loop for one device trains on; None under a strategy.
    """

    def __init__(
        self,
        source: Source,
        *,
        augmentation: str,
        pretext: str | None,
        pretext_seed: int,
        strategy: tf.distribute.Strategy | None,
    ):
        """Args:
        source: the data.
        augmentation: how images are shown.
        pretext: a registered pretext, or None for the dataset's own task.
        pretext_seed: of what is random in it but the same in all epochs.
        strategy: distributes each batch over its devices; None is one device.
        """
        self._source = source
        self._shown = {
            "augmentation": augmentation,
            "pretext": pretext,
            "pretext_seed": pretext_seed,
        }
        self._strategy = strategy
        self.feed = (
            None if strategy else feeds.feed(source, split="train", **self._shown)
        )

    def of(self, stream: DataStream, first: int) -> Callable[[int, int], object]:
        """Returns what gives the loop the batches of `count` updates.

        Args:
          stream: the training examples of every iteration.
          first: the iteration that comes first; the others follow one another.
        """
        if self._strategy is None:
            return self.feed.stream(stream, first)

        def of_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
            """Returns the slices of every batch that the devices of a host take."""
            num_devices = context.num_replicas_in_sync
            count = num_devices // context.num_input_pipelines
            begin = context.input_pipeline_id * count
            return pipeline.as_dataset(
                self._source,
                stream,
                first_iteration=first,
                num_devices=num_devices,
                own=range(begin, begin + count),
                **self._shown,
            )

        batches = iter(self._strategy.distribute_datasets_from_function(of_host))
        return lambda iteration, count: batches

    def watched(
        self, stream: DataStream, first: int, count: int
    ) -> contextlib.AbstractContextManager:
        """Has said what is wrong with the images of `count` iterations."""

        def rows() -> tuple[np.ndarray, np.ndarray]:
            batches = stream.batches(first, count)
            return batches.indices, batches.bits

        return feeds.watched(
            self._source,
            split="train",
            augmentation=self._shown["augmentation"],
            rows=rows,
        )
