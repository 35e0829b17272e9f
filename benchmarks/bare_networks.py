"""The networks of the bare TensorFlow limit, as functions of dictionaries of weights.

Keys are "layer/role". A network is told how to apply a convolution with its batch norm,
because training and inference differ there.
"""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks import tasks

Tensors = dict[str, tf.Tensor]
# Applies the convolution of that name and its batch norm to images, at a stride.
Normalized = Callable[[str, tf.Tensor, int], tf.Tensor]

DENSE_SIZES = (784, 300, 100, tasks.NUM_CLASSES)
VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


@dataclasses.dataclass(frozen=True)
class Convolution:
    """The shape of a convolution that batch norm follows."""

    name: str
    size: int
    inputs: int
    filters: int
    has_bias: bool


def lenet(images: tf.Tensor, weights: Tensors) -> tf.Tensor:
    """Returns LeNet-300-100's logits [batch, 10] of images [batch, 784]."""
    num_layers = len(DENSE_SIZES) - 1
    for i in range(num_layers):
        images = tf.matmul(images, weights[f"dense{i}/kernel"])
        images += weights[f"dense{i}/bias"]
        if i < num_layers - 1:
            images = tf.nn.relu(images)
    return images


def resnet20(images: tf.Tensor, normalized: Normalized, weights: Tensors) -> tf.Tensor:
    """Returns ResNet-20's logits [batch, 10] of images [batch, 32, 32, 3]."""
    images = tf.nn.relu(normalized("stem", images, 1))
    for stage, block in itertools.product(range(3), range(3)):
        name = f"stage{stage}_block{block}"
        is_projected = f"{name}_shortcut/kernel" in weights
        stride = 2 if is_projected else 1
        branch = tf.nn.relu(normalized(f"{name}_first", images, stride))
        branch = normalized(f"{name}_second", branch, 1)
        if is_projected:
            images = normalized(f"{name}_shortcut", images, stride)
        images = tf.nn.relu(branch + images)
    return _head(images, weights)


def vgg16(images: tf.Tensor, normalized: Normalized, weights: Tensors) -> tf.Tensor:
    """Returns VGG-16's logits [batch, 10] of images [batch, 32, 32, 3]."""
    for block, (_, num_convolutions) in enumerate(VGG16_BLOCKS):
        if block > 0:
            images = tf.nn.max_pool2d(images, 2, 2, "VALID")
        for i in range(num_convolutions):
            images = tf.nn.relu(normalized(f"block{block}_{i}", images, 1))
    return _head(images, weights)


def resnet20_convolutions() -> list[Convolution]:
    """Returns ResNet-20's convolutions, without biases; 1x1 where widths differ."""
    convolutions = [Convolution("stem", 3, 3, 16, has_bias=False)]
    width = 16
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            shapes = {"first": (3, width), "second": (3, filters)}
            if width != filters:
                shapes["shortcut"] = (1, width)
            for part, (size, inputs) in shapes.items():
                name = f"stage{stage}_block{block}_{part}"
                convolutions.append(
                    Convolution(name, size, inputs, filters, has_bias=False)
                )
            width = filters
    return convolutions


def vgg16_convolutions() -> list[Convolution]:
    """Returns VGG-16's thirteen convolutions, all 3x3 with a bias."""
    convolutions = []
    width = 3
    for block, (filters, num_convolutions) in enumerate(VGG16_BLOCKS):
        for i in range(num_convolutions):
            name = f"block{block}_{i}"
            convolutions.append(Convolution(name, 3, width, filters, has_bias=True))
            width = filters
    return convolutions


CONVOLUTIONAL = {"resnet20": resnet20, "vgg16": vgg16}
_CONVOLUTIONS = {"resnet20": resnet20_convolutions, "vgg16": vgg16_convolutions}


def dense_weights(num_outputs: int = tasks.NUM_CLASSES) -> Tensors:
    """Returns LeNet's initial weights by name."""
    weights = {}
    sizes = (*DENSE_SIZES[:-1], num_outputs)
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        weights[f"dense{i}/kernel"] = _kernel(inputs, outputs)
        weights[f"dense{i}/bias"] = tf.zeros([outputs])
    return weights


def convolutional_weights(
    model: str, num_outputs: int = tasks.NUM_CLASSES
) -> tuple[Tensors, Tensors]:
    """Returns a network's initial weights, and its running statistics, by name."""
    weights, statistics = {}, {}
    for layer in _CONVOLUTIONS[model]():
        name, width = layer.name, layer.filters
        weights[f"{name}/kernel"] = _kernel(layer.size, layer.size, layer.inputs, width)
        if layer.has_bias:
            weights[f"{name}/bias"] = tf.zeros([width])
        weights[f"{name}/gamma"] = tf.ones([width])
        weights[f"{name}/beta"] = tf.zeros([width])
        statistics[f"{name}/mean"] = tf.zeros([width])
        statistics[f"{name}/variance"] = tf.ones([width])
    weights["head/kernel"] = _kernel(width, num_outputs)
    weights["head/bias"] = tf.zeros([num_outputs])
    return weights, statistics


def convolution(
    name: str, images: tf.Tensor, stride: int, weights: Tensors
) -> tf.Tensor:
    """Returns the convolution of images [batch, height, width, channels]."""
    kernel = weights[f"{name}/kernel"]
    images = tf.nn.conv2d(images, kernel, strides=stride, padding="SAME")
    if f"{name}/bias" in weights:
        images = tf.nn.bias_add(images, weights[f"{name}/bias"])
    return images


def scaled(images: tf.Tensor) -> tf.Tensor:
    """Returns uint8 images as float32 of about zero mean and unit deviation."""
    images = tf.cast(images, tf.float32)
    return (images - tasks.PIXEL_MEAN) * (1 / np.float32(tasks.PIXEL_DEVIATION))


def _head(images: tf.Tensor, weights: Tensors) -> tf.Tensor:
    """Returns [batch, 10] logits of the mean over height and width."""
    features = tf.reduce_mean(images, axis=(1, 2))
    return tf.matmul(features, weights["head/kernel"]) + weights["head/bias"]


def _kernel(*shape: int) -> tf.Tensor:
    """Returns a Kaiming normal kernel; its last axis are the outputs."""
    return tf.random.normal(shape, stddev=(2 / np.prod(shape[:-1])) ** 0.5)
