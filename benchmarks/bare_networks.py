"""The networks and loops of the bare TensorFlow limit; imported only by what measures.

Weights are plain dictionaries of variables keyed by "layer/role". Masks are variables
as well: a constant of ones would be optimized away, and the work with it.
"""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks import tasks

# A convolution with batch norm, named, applied to images.
Normalized = Callable[[str, tf.Tensor], tf.Tensor]
Tensors = dict[str, tf.Tensor]

DENSE_ITERATIONS_PER_CALL = 1000
DENSE_SIZES = (784, 300, 100, tasks.NUM_CLASSES)
VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))

ADAM_DECAYS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_UPDATE_SHARE = 0.1


def use_one_thread() -> None:
    """Settles what holds for a whole measuring process.

    Changes: TensorFlow's thread counts, its random seed, and that it sees no GPU.
    """
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(0)


class DenseTraining:
    """LeNet-300-100 in training with Adam, many iterations in one XLA program."""

    def __init__(self, task: tasks.Task) -> None:
        images, labels = tasks.made_up_images(task, seed=0)
        self._images = tf.constant(images.astype(np.float32) / 255)
        self._labels = tf.constant(labels.astype(np.int32))
        self._batches = tasks.batches(task, seed=1)
        self._learning_rate = task.learning_rate
        self._weights = _dense_weights()
        self._masks = _masks(self._weights)
        self._first = {name: tf.zeros_like(w) for name, w in self._weights.items()}
        self._second = {name: tf.zeros_like(w) for name, w in self._weights.items()}
        self._iteration = 0
        _check_num_parameters(task, self._weights)

    def advance(self, num_iterations: int) -> None:
        """Trains for some iterations; raises FloatingPointError if it diverged."""
        batch_size = len(next(self._batches))
        while num_iterations > 0:
            count = min(num_iterations, DENSE_ITERATIONS_PER_CALL)
            # Of fixed size, because every new shape would be compiled again.
            indices = np.zeros((DENSE_ITERATIONS_PER_CALL, batch_size), np.int32)
            indices[:count] = list(itertools.islice(self._batches, count))
            state = (self._weights, self._first, self._second)
            state, loss = self._train(
                state,
                self._masks,
                (self._images, self._labels, tf.constant(indices)),
                tf.constant(count),
                tf.constant(self._iteration),
            )
            self._weights, self._first, self._second = state
            self._iteration += count
            num_iterations -= count
        _check_finite(loss)

    @tf.function(jit_compile=True)
    def _train(
        self,
        state: tuple[Tensors, Tensors, Tensors],
        masks: Tensors,
        data: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        count: tf.Tensor,
        iteration: tf.Tensor,
    ) -> tuple[tuple[Tensors, Tensors, Tensors], tf.Tensor]:
        """Trains for `count` iterations and returns the new state and the last loss.

        Args:
            state: weights, and Adam's first and second moments.
            masks: of the kernels.
            data: images [num_images, 784] float32, labels [num_images] int32, and which
                images make up each batch [iterations, batch_size] int32.
            count: [] int32, how many rows of the latter to use.
            iteration: [] int32, updates done before.
        """
        images, labels, indices = data

        def step(
            i: tf.Tensor, state: tuple[Tensors, Tensors, Tensors], _: tf.Tensor
        ) -> tuple[tf.Tensor, tuple[Tensors, Tensors, Tensors], tf.Tensor]:
            weights, first, second = state
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits = _lenet(tf.gather(images, indices[i]), _masked(weights, masks))
                loss = _loss(logits, tf.gather(labels, indices[i]))
            gradients = tape.gradient(loss, weights)
            update = tf.cast(iteration + i + 1, tf.float32)
            state = _adam(
                weights, first, second, gradients, update, rate=self._learning_rate
            )
            return i + 1, state, loss

        _, state, loss = tf.while_loop(
            lambda i, *_: i < count, step, (tf.constant(0), state, tf.constant(0.0))
        )
        return state, loss


class ConvolutionalTraining:
    """ResNet-20 or VGG-16 in training with momentum, many iterations in one graph."""

    def __init__(self, task: tasks.Task) -> None:
        images, labels = tasks.made_up_images(task, seed=0)
        self._images = tf.constant(images)
        self._labels = tf.constant(labels.astype(np.int32))
        self._batches = tasks.batches(task, seed=1)
        self._learning_rate = task.learning_rate
        self._network = CONVOLUTIONAL[task.model]
        weights, statistics = _convolutional_weights(task.model)
        self._weights = _variables(weights)
        self._statistics = _variables(statistics)
        self._masks = _variables(_masks(weights))
        self._slots = _variables({name: tf.zeros_like(w) for name, w in weights.items()})
        _check_num_parameters(task, weights)

    def advance(self, num_iterations: int) -> None:
        """Trains for some iterations; raises FloatingPointError if it diverged."""
        indices = np.stack(list(itertools.islice(self._batches, num_iterations)))
        _check_finite(self._train(tf.constant(indices.astype(np.int32))))

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def _train(self, indices: tf.Tensor) -> tf.Tensor:
        """Trains one iteration for each row of indices and returns the last loss.

        Args:
            indices: [iterations, batch_size] int32, which images make up each batch.

        Changes: weights, running statistics and momentum.
        """

        def step(i: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images = _scaled(tf.gather(self._images, indices[i]))
            with tf.GradientTape() as tape:
                # Else the tape would watch the masks as well.
                masked = _masked(self._weights, self._masks)
                logits = self._logits(images, masked)
                loss = _loss(logits, tf.gather(self._labels, indices[i]))
            gradients = tape.gradient(loss, self._weights)
            with tf.control_dependencies(self._momentum_updates(gradients)):
                return i + 1, tf.identity(loss)

        _, loss = tf.while_loop(
            lambda i, _: i < tf.shape(indices)[0],
            step,
            (tf.constant(0), tf.constant(0.0)),
            parallel_iterations=1,
        )
        return loss

    def _logits(self, images: tf.Tensor, weights: Tensors) -> tf.Tensor:
        """Returns [batch, 10] logits in training mode.

        Changes: running means and variances.
        """

        def normalized(name: str, images: tf.Tensor) -> tf.Tensor:
            images = _convolution(name, images, weights)
            images, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                images,
                weights[f"{name}/gamma"],
                weights[f"{name}/beta"],
                epsilon=BATCH_NORM_EPSILON,
                is_training=True,
            )
            for role, value in (("mean", mean), ("variance", variance)):
                running = self._statistics[f"{name}/{role}"]
                running.assign_sub(BATCH_NORM_UPDATE_SHARE * (running - value))
            return images

        return self._network(images, normalized, weights)

    def _momentum_updates(self, gradients: Tensors) -> list[tf.Operation]:
        """Applies SGD with momentum that accumulates gradients, and L2 in the gradient.

        Changes: weights and momentum.
        """
        return [
            tf.raw_ops.ResourceApplyMomentum(
                var=weights.handle,
                accum=self._slots[name].handle,
                lr=self._learning_rate,
                grad=gradients[name] + WEIGHT_DECAY * weights,
                momentum=MOMENTUM,
            )
            for name, weights in self._weights.items()
        ]


class Forward:
    """Forward passes that count errors, many batches in one tf.function."""

    def __init__(self, task: tasks.Task, *, batch_size: int) -> None:
        images, labels = tasks.made_up_images(task, seed=0)
        self._batch_size = batch_size
        self._num_batches = task.num_images // batch_size
        self._next_batch = 0
        if task.model == "lenet":
            images = images.astype(np.float32) / 255
            self._weights = _dense_weights()
            self._logits = _lenet
        else:
            weights, statistics = _convolutional_weights(task.model)
            self._weights = weights | statistics
            self._logits = _inference(CONVOLUTIONAL[task.model])
        self._data = (tf.constant(images), tf.constant(labels.astype(np.int32)))
        self._count_errors = tf.function(
            self._errors, jit_compile=task.model == "lenet"
        )

    def advance(self, num_batches: int) -> None:
        """Evaluates some batches, beginning after those of the last call."""
        first = tf.constant(self._next_batch)
        count = tf.constant(num_batches)
        self._count_errors(self._weights, self._data, first, count).numpy()
        self._next_batch = (self._next_batch + num_batches) % self._num_batches

    def _errors(
        self,
        weights: Tensors,
        data: tuple[tf.Tensor, tf.Tensor],
        first: tf.Tensor,
        count: tf.Tensor,
    ) -> tf.Tensor:
        """Returns how many images are classified wrongly, [] int32.

        Args:
            weights: with running statistics, by name.
            data: images [num_images, ...], labels [num_images] int32.
            first: [] int32, the batch to begin with.
            count: [] int32, how many batches.
        """

        def step(i: tf.Tensor, errors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            start = (first + i) % self._num_batches * self._batch_size
            indices = start + tf.range(self._batch_size)
            logits = self._logits(tf.gather(data[0], indices), weights)
            answers = tf.argmax(logits, axis=1, output_type=tf.int32)
            is_wrong = tf.not_equal(answers, tf.gather(data[1], indices))
            return i + 1, errors + tf.reduce_sum(tf.cast(is_wrong, tf.int32))

        _, errors = tf.while_loop(
            lambda i, _: i < count,
            step,
            (tf.constant(0), tf.constant(0)),
            parallel_iterations=1,
        )
        return errors


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution that batch norm follows."""

    name: str
    size: int
    inputs: int
    filters: int
    has_bias: bool


def resnet20_convolutions() -> list[Convolution]:
    """Returns ResNet-20's convolutions; bias-free, shortcuts 1x1 where widths differ."""
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


def resnet20(images: tf.Tensor, normalized: Normalized, weights: Tensors) -> tf.Tensor:
    """Returns ResNet-20's logits [batch, 10] of images [batch, 32, 32, 3]."""
    images = tf.nn.relu(normalized("stem", images))
    for stage, block in itertools.product(range(3), range(3)):
        name = f"stage{stage}_block{block}"
        branch = tf.nn.relu(normalized(f"{name}_first", images))
        branch = normalized(f"{name}_second", branch)
        if f"{name}_shortcut/kernel" in weights:
            images = normalized(f"{name}_shortcut", images)
        images = tf.nn.relu(branch + images)
    return _head(images, weights)


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


def vgg16(images: tf.Tensor, normalized: Normalized, weights: Tensors) -> tf.Tensor:
    """Returns VGG-16's logits [batch, 10] of images [batch, 32, 32, 3]."""
    for block, (_, num_convolutions) in enumerate(VGG16_BLOCKS):
        if block > 0:
            images = tf.nn.max_pool2d(images, 2, 2, "VALID")
        for i in range(num_convolutions):
            images = tf.nn.relu(normalized(f"block{block}_{i}", images))
    return _head(images, weights)


CONVOLUTIONAL = {"resnet20": resnet20, "vgg16": vgg16}
CONVOLUTIONS = {"resnet20": resnet20_convolutions, "vgg16": vgg16_convolutions}


def _lenet(images: tf.Tensor, weights: Tensors) -> tf.Tensor:
    """Returns LeNet's logits [batch, 10] of images [batch, 784]."""
    num_layers = len(DENSE_SIZES) - 1
    for i in range(num_layers):
        images = tf.matmul(images, weights[f"dense{i}/kernel"])
        images += weights[f"dense{i}/bias"]
        if i < num_layers - 1:
            images = tf.nn.relu(images)
    return images


def _inference(
    network: Callable[[tf.Tensor, Normalized, Tensors], tf.Tensor],
) -> Callable[[tf.Tensor, Tensors], tf.Tensor]:
    """Returns logits of uint8 images with batch norm's running statistics."""

    def logits(images: tf.Tensor, weights: Tensors) -> tf.Tensor:
        def normalized(name: str, images: tf.Tensor) -> tf.Tensor:
            images, _, _ = tf.compat.v1.nn.fused_batch_norm(
                _convolution(name, images, weights),
                weights[f"{name}/gamma"],
                weights[f"{name}/beta"],
                mean=weights[f"{name}/mean"],
                variance=weights[f"{name}/variance"],
                epsilon=BATCH_NORM_EPSILON,
                is_training=False,
            )
            return images

        return network(_scaled(images), normalized, weights)

    return logits


def _convolution(name: str, images: tf.Tensor, weights: Tensors) -> tf.Tensor:
    """Returns a convolution with its bias; it halves the size where widths grow."""
    kernel = weights[f"{name}/kernel"]
    halves = "stage" in name and not name.endswith("second")
    stride = 2 if halves and kernel.shape[3] == 2 * kernel.shape[2] else 1
    images = tf.nn.conv2d(images, kernel, strides=stride, padding="SAME")
    if f"{name}/bias" in weights:
        images = tf.nn.bias_add(images, weights[f"{name}/bias"])
    return images


def _head(images: tf.Tensor, weights: Tensors) -> tf.Tensor:
    """Returns [batch, 10] logits of the mean over height and width."""
    features = tf.reduce_mean(images, axis=(1, 2))
    return tf.matmul(features, weights["head/kernel"]) + weights["head/bias"]


def _loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross-entropy, [] float32."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses)


def _adam(
    weights: Tensors,
    first: Tensors,
    second: Tensors,
    gradients: Tensors,
    update: tf.Tensor,
    *,
    rate: float,
) -> tuple[Tensors, Tensors, Tensors]:
    """Returns weights and moments after the update of that number, counted from 1."""
    corrections = [1 - decay**update for decay in ADAM_DECAYS]

    def moments(old: Tensors, new: Tensors, decay: float) -> Tensors:
        return {name: decay * m + (1 - decay) * new[name] for name, m in old.items()}

    squares = {name: tf.square(gradient) for name, gradient in gradients.items()}
    first = moments(first, gradients, ADAM_DECAYS[0])
    second = moments(second, squares, ADAM_DECAYS[1])
    weights = {
        name: w
        - rate
        * (first[name] / corrections[0])
        / (tf.sqrt(second[name] / corrections[1]) + ADAM_EPSILON)
        for name, w in weights.items()
    }
    return weights, first, second


def _dense_weights() -> Tensors:
    """Returns LeNet's initial weights by name."""
    weights = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(DENSE_SIZES)):
        weights[f"dense{i}/kernel"] = _kernel(inputs, outputs)
        weights[f"dense{i}/bias"] = tf.zeros([outputs])
    return weights


def _convolutional_weights(model: str) -> tuple[Tensors, Tensors]:
    """Returns a network's initial weights and running statistics by name."""
    weights, statistics = {}, {}
    for layer in CONVOLUTIONS[model]():
        name, ones = layer.name, tf.ones([layer.filters])
        weights[f"{name}/kernel"] = _kernel(
            layer.size, layer.size, layer.inputs, layer.filters
        )
        if layer.has_bias:
            weights[f"{name}/bias"] = 0 * ones
        weights |= {f"{name}/gamma": ones, f"{name}/beta": 0 * ones}
        statistics |= {f"{name}/mean": 0 * ones, f"{name}/variance": ones}
        width = layer.filters
    weights["head/kernel"] = _kernel(width, tasks.NUM_CLASSES)
    weights["head/bias"] = tf.zeros([tasks.NUM_CLASSES])
    return weights, statistics


def _kernel(*shape: int) -> tf.Tensor:
    """Returns a Kaiming normal kernel, whose last axis are the outputs."""
    return tf.random.normal(shape, stddev=(2 / np.prod(shape[:-1])) ** 0.5)


def _variables(values: Tensors) -> dict[str, tf.Variable]:
    """Returns variables that hold the values."""
    return {name: tf.Variable(value) for name, value in values.items()}


def _masks(weights: Tensors) -> Tensors:
    """Returns a mask of ones for each kernel, by the kernel's name."""
    kernels = {name: w for name, w in weights.items() if name.endswith("/kernel")}
    return {name: tf.ones_like(kernel) for name, kernel in kernels.items()}


def _masked(weights: Tensors, masks: Tensors) -> Tensors:
    """Returns the weights with each kernel multiplied with its mask."""
    return {
        name: w * masks[name] if name in masks else tf.convert_to_tensor(w)
        for name, w in weights.items()
    }


def _scaled(images: tf.Tensor) -> tf.Tensor:
    """Returns uint8 images as float32 of about zero mean and unit deviation."""
    images = tf.cast(images, tf.float32)
    return (images - tasks.PIXEL_MEAN) * (1 / np.float32(tasks.PIXEL_DEVIATION))


def _check_num_parameters(task: tasks.Task, weights: Tensors) -> None:
    """Raises ValueError if a network is not the one the papers trained."""
    sizes = [int(np.prod(w.shape)) for w in weights.values()]
    tasks.check_num_parameters(task, sum(sizes))


def _check_finite(loss: tf.Tensor) -> None:
    """Raises FloatingPointError if training diverged."""
    if not np.isfinite(loss.numpy()):
        raise FloatingPointError(f"training loss is {float(loss)!r}")
