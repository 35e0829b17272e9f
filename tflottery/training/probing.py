"""A network as pruning criteria see it: at the weights to score, beside training data.

Images come through the functions that training has them through: its data set or
subset, task, augmentation and scaling of pixels. Everything is computed eagerly, or as
the criterion compiles it, on the first device.
"""

import functools
from collections.abc import Mapping, Sequence

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
from tflottery.training import distribution, tasks
from tflottery.training.generators import Generators


class Probe:
    """What a criterion that asks for `examples` is given beside weights.

    Attributes:
      examples: training images it is shown, as many as there are at most.
      num_survivors: weights that are to be kept; for criteria that prune in steps.
    """

    def __init__(
        self,
        model_name: str,
        source: Source,
        *,
        num_classes: int,
        augmentation: str,
        weights: Mapping[str, np.ndarray],
        examples: int,
        num_survivors: int,
        pretext: str | None = None,
        pretext_seed: int = 0,
    ):
        """Args:
        model_name: a registered model.
        source: the data.
        num_classes: outputs of the network.
        augmentation: of training images, one of `AUGMENTATIONS`.
        weights: all of the network's by variable path; those that are pruned are 0.
        examples: training images that `batch` has.
        num_survivors: weights that are to be kept.
        pretext: a registered pretext, or None for the dataset's own task.
        pretext_seed: of what is random in it but the same in all epochs.
        """
        self.num_survivors = num_survivors
        self._model_name, self._num_classes = model_name, num_classes
        self._source, self._weights = source, dict(weights)
        self._task = tasks.task_of(pretext)
        self._feed = {"augmentation": augmentation}
        self._feed |= {"pretext": pretext, "pretext_seed": pretext_seed}
        self.examples = _num_shown(source, examples)

    @functools.cached_property
    def model(self) -> keras.Model:
        """The network in float32, which the criterion may change."""
        return self.model_in("float32")

    def model_in(self, dtype: str) -> keras.Model:
        """Returns a network of its own that computes in a dtype, at the weights.

        Args:
          dtype: "float32" or "float64"; layers whose author named one keep that.
        """
        before = keras.config.dtype_policy()
        # The network's own arithmetic, but where it is asked for another.
        keras.config.set_dtype_policy(before if dtype == "float32" else dtype)
        try:
            model = MODELS[self._model_name].function(
                input_shape=self._source.train.images.shape[1:],
                num_classes=self._num_classes,
            )
        finally:
            keras.config.set_dtype_policy(before)
        # Pruned weights are zero already, and gradients are wanted of all the others.
        layers.ignore_masks(model)
        if distribution.has_gpu():
            layers.make_pooling_deterministic(model)
        model_weights.assign(model, self._weights)
        return model

    def kernels(
        self, model: keras.Model, paths: Sequence[str]
    ) -> dict[str, keras.Variable]:
        """Returns the variables of these paths of a network, in their order."""
        known = {one.path: one for one in model.trainable_variables}
        return {path: known[path] for path in paths}

    def batch(self, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns images and targets as training shows them, as one batch.

        Args:
          seed: decides which images, and how they are augmented.
        """
        stream = stream_of(
            self._source.train.labels,
            self.examples,
            data_order_seed=seeds.seed("scored_examples", seed=seed),
            augmentation_seed=seeds.seed("scored_augmentation", seed=seed),
        )
        found = stream.batches(0, 1)
        with feeds.watched(
            self._source,
            split="train",
            augmentation=self._feed["augmentation"],
            rows=lambda: (found.indices, found.bits),
        ):
            feed = feeds.feed(self._source, split="train", **self._feed)
            given = feed.given(found.indices, found.bits, count=1)
            return feed.shown(*feed.taken(given, 0))

    def loss(
        self,
        model: keras.Model,
        images: tf.Tensor,
        targets: tf.Tensor,
        *,
        temperature: float = 1.0,
    ) -> tf.Tensor:
        """Returns the mean loss of training, without the L2 term: scalar float32.

        Batch norm takes the batch's own moments, dropout draws the same each time, and
        no variable is changed.

        Args:
          model: one of this probe's.
          images: of `batch`, or some of them.
          targets: likewise.
          temperature: what outputs are divided by.
        """
        with keras.StatelessScope():
            self._drawing(model).set(0)
            outputs = self._task.outputs(model, images, training=True)
            outputs = tf.nest.map_structure(lambda one: one / temperature, outputs)
            return tf.reduce_mean(self._task.training_losses(targets, outputs))

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a probe lives for one mask
    def _drawing(self, model: keras.Model) -> Generators:
        """Returns what a network draws from, seeded."""
        generators = Generators(model)
        generators.reseed(seeds.seed("probe_dropout"))
        return generators


def _num_shown(source: Source, examples: int) -> int:
    """Returns how many images a batch has, of a data set that may have fewer."""
    labels = source.train.labels
    shown = min(examples, len(labels))
    if (labels == UNLABELED).any():
        # Half of them have labels, as in training.
        shown = shown // 2 * 2
    return shown
