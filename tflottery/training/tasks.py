"""Tasks: how many views a network is shown, what it minimizes, and what is an error.

Naming what is seen, and every pretext that asks for something else to be named, is
classification: one view, cross-entropy, and the highest logit has to be right. A
pretext may declare others of its own (`tflottery.pretexts`).

A network with auxiliary heads (Inception-v3) returns a list. Training adds the
auxiliary losses with weight 0.4, as the implementation published in TensorFlow does
(tensorflow/models, research/inception); the network's paper names no weight.
Measurements see the first outputs only.
"""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from tflottery.core.registry import PRETEXTS

AUXILIARY_WEIGHT = 0.4

# One tensor, or several of which the first counts.
Outputs = tf.Tensor | list[tf.Tensor] | tuple[tf.Tensor, ...]


def cross_entropies(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of each image: [batch] float32, in nats.

    Args:
      labels: [batch] int32.
      logits: [batch, classes] float32.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def misclassified(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns whether another logit than the label's is the highest: [batch] bool.

    Args:
      labels: [batch] int32.
      logits: [batch, classes] float32.
    """
    return tf.argmax(logits, axis=-1, output_type=tf.int32) != labels


@dataclasses.dataclass(frozen=True)
class Task:
    """How a network is shown examples, and how its outputs are judged.

    Both functions take (targets, outputs): [batch, ...] int32, and [batch, width]
    float32, with several views [batch, views, width].

    Attributes:
      num_views: views of each example.
      losses: [batch] float32, what training minimizes the mean of.
      errors: [batch] bool, which examples count as errors.
    """

    num_views: int = 1
    losses: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = cross_entropies
    errors: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = misclassified

    def outputs(
        self, model: keras.Model, images: tf.Tensor, *, training: bool
    ) -> Outputs:
        """Returns what a model answers; all views pass through it as one batch.

        Args:
          model: takes [images, height, width, channels].
          images: [batch, height, width, channels] float32, normalized; with several
            views [batch, views, height, width, channels].
          training: as Keras means it.
        """
        if self.num_views > 1:
            images = tf.reshape(images, (-1, *images.shape[2:]))
        # Networks may compute in less than float32, but losses are of that.
        outputs = tf.nest.map_structure(
            lambda one: tf.cast(one, tf.float32), model(images, training=training)
        )
        if self.num_views == 1:
            return outputs
        return tf.nest.map_structure(
            lambda one: tf.reshape(one, (-1, self.num_views, one.shape[-1])), outputs
        )

    def training_losses(self, targets: tf.Tensor, outputs: Outputs) -> tf.Tensor:
        """Returns what training minimizes, auxiliary heads included: [batch] float32.

        Args:
          targets: [batch, ...] int32.
          outputs: those of `outputs`.
        """
        several = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        main, *auxiliary = [self.losses(targets, one) for one in several]
        for one in auxiliary:
            main += AUXILIARY_WEIGHT * one
        return main


def task_of(pretext: str | None) -> Task:
    """Returns a pretext's task; None is that of the data's own labels."""
    if pretext is None:
        return Task()
    entry = PRETEXTS[pretext]
    declared = {name: entry[name] for name in ("losses", "errors")}
    return Task(
        entry["num_views"],
        **{name: value for name, value in declared.items() if value is not None},
    )


def count_errors(
    model: keras.Model,
    task: Task,
    images: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (errors int32, summed loss float64) of a batch.

    Each example's loss is float32. They are added up in float64, so that how examples
    are divided into batches changes the last bits of that at most.

    Args:
      model: gives outputs, or a list that begins with them.
      task: what the outputs are for.
      images: [batch, ...] float32, normalized, as the task shows them.
      targets: [batch, ...] int32.
      weights: [batch] float32; 0 leaves an example out (padding).
    """
    outputs = main_outputs(task.outputs(model, images, training=False))
    errors = tf.cast(task.errors(targets, outputs), tf.int32)
    losses = tf.cast(task.losses(targets, outputs), tf.float64)
    # A product would make NaN of padding whose loss is infinite.
    counted = tf.where(weights > 0, losses, tf.zeros_like(losses))
    return (
        tf.reduce_sum(errors * tf.cast(weights, tf.int32)),
        tf.reduce_sum(counted),
    )


def main_outputs(outputs: Outputs) -> tf.Tensor:
    """Returns the outputs that are measured: [batch, ..., width] float32."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs
