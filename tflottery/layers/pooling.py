"""Max pooling that GPUs can train with the same bits each time.

XLA refuses to compile the gradient of TensorFlow's max pooling for GPUs while results
have to be the same bits ("do not yet have a deterministic XLA implementation"). The
maximum of an image's shifted copies is the same numbers, and its gradient elementwise:
of equal inputs of a window the first has it, as with TensorFlow's own for images.
"""

import functools
import itertools

import keras
import tensorflow as tf

_LAYERS = (
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)


def make_pooling_deterministic(model: keras.Model) -> None:
    """Has the max poolings of a network compute by maxima of shifted copies.

    Changes: how these layers of `model` are called; outputs stay the same bits.
    """
    for layer in model._flatten_layers():
        # A layer of the user's own that pools in another way keeps its way.
        if type(layer) in _LAYERS:
            layer.call = functools.partial(_pooled, layer)


def _pooled(layer: keras.layers.Layer, inputs: tf.Tensor) -> tf.Tensor:
    """Returns the maxima of windows of `inputs`, [batch, ...] as a layer has them."""
    first = 1 if layer.data_format == "channels_last" else 2
    axes = range(first, first + len(layer.pool_size))
    if any(inputs.shape[axis] is None for axis in axes):
        return type(layer).call(layer, inputs)
    if layer.padding == "same":
        inputs = _padded(layer, inputs, axes)
    largest = None
    for offsets in itertools.product(*map(range, layer.pool_size)):
        window = [slice(None)] * len(inputs.shape)
        for axis, offset, size, stride in zip(
            axes, offsets, layer.pool_size, layer.strides, strict=True
        ):
            last = (inputs.shape[axis] - size) // stride * stride
            window[axis] = slice(offset, offset + last + 1, stride)
        shifted = inputs[tuple(window)]
        largest = shifted if largest is None else tf.maximum(largest, shifted)
    return largest


def _padded(layer: keras.layers.Layer, inputs: tf.Tensor, axes: range) -> tf.Tensor:
    """Returns `inputs` with a border that is in no maximum, for padding "same"."""
    borders = [(0, 0)] * len(inputs.shape)
    for axis, size, stride in zip(axes, layer.pool_size, layer.strides, strict=True):
        length = inputs.shape[axis]
        missing = max((-(-length // stride) - 1) * stride + size - length, 0)
        borders[axis] = (missing // 2, missing - missing // 2)
    return tf.pad(inputs, borders, constant_values=inputs.dtype.min)
