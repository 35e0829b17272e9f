"""Replicas of a batch on fewer devices: its parts in turn, their gradients added up.

Batch norm sees the part of a replica alone, so that how many parts a batch has decides
what is trained; on how many devices they are, rounding only. A device with one part
makes its update without anything of this module.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from tflottery.layers import normalization

# Of a part: its fraction of the batch's loss, and the gradients of that.
Part = tuple[tf.Tensor, list[tf.Tensor]]


def summed(
    gradients_of: Callable[..., Part],
    batch: tuple[tf.Tensor, ...],
    *,
    sizes: tuple[int, int],
    model: keras.Model,
) -> Part:
    """Returns loss and gradients added up over the parts of a device's batch.

    Args:
      gradients_of: takes the tensors of one part, and its number on this device as
        `part`; returns loss and gradients of the model's trainable variables.
      batch: tensors whose first axis is the device's examples.
      sizes: how many parts, and examples of each.
      model: whose batch norm each part moves from where it was before the batch.

    Changes: moving statistics, to the mean of what the parts make of them. Nothing
      else that the parts assign to Keras's variables is kept.
    """
    count, _ = sizes
    parts = [tf.reshape(one, (*sizes, *one.shape[1:])) for one in batch]
    moving = [
        variable
        for layer in normalization.normalizations(model)
        if layer.trainable
        for variable in (layer.moving_mean, layer.moving_variance)
    ]
    trainable = model.trainable_variables

    def step(number, loss, gradients, statistics):
        # Under a strategy nothing can be assigned to statistics inside of a loop.
        with keras.StatelessScope() as scope:
            more, found = gradients_of(*(one[number] for one in parts), part=number)
            moved = [_value(variable, scope) for variable in moving]
        found = [
            tf.zeros_like(total) if one is None else one
            for total, one in zip(gradients, found, strict=True)
        ]
        return (
            number + 1,
            loss + more,
            [total + one for total, one in zip(gradients, found, strict=True)],
            [total + one for total, one in zip(statistics, moved, strict=True)],
        )

    _, loss, gradients, statistics = tf.while_loop(
        lambda number, *_: number < count,
        step,
        (tf.constant(0), tf.constant(0.0), _zeros(trainable), _zeros(moving)),
        # Memory is that of one part.
        parallel_iterations=1,
    )
    for variable, total in zip(moving, statistics, strict=True):
        variable.assign(total / count)
    return loss, gradients


def _value(variable: keras.Variable, scope: keras.StatelessScope) -> tf.Tensor:
    """Returns a variable's value at the end of a scope."""
    found = scope.get_current_value(variable)
    return tf.convert_to_tensor(variable) if found is None else found


def _zeros(variables: list[keras.Variable]) -> list[tf.Tensor]:
    """Returns zeros to begin sums with, one for each variable."""
    return [tf.zeros(variable.shape, variable.dtype) for variable in variables]
