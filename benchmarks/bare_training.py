"""The training loops of the bare TensorFlow limit; imported only by what measures.

Masks are arguments or variables: a constant of ones would be optimized away, and the
work with it.
"""

import itertools
import math

import numpy as np
import tensorflow as tf

from benchmarks import bare_networks, tasks
from benchmarks.bare_networks import Tensors
from benchmarks.bare_objectives import OBJECTIVES

DENSE_ITERATIONS_PER_CALL = 1000

ADAM_DECAYS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_UPDATE_SHARE = 0.1

# Weights, and Adam's first and second moments.
_DenseState = tuple[Tensors, Tensors, Tensors]


class DenseTraining:
    """LeNet-300-100 in training with Adam, many iterations in one XLA program.

    Args:
      task: what to train.
      masked: whether each iteration multiplies the kernels with masks.
      objective: what is learned, a name of `bare_objectives.OBJECTIVES`.
    """

    def __init__(
        self, task: tasks.Task, *, masked: bool, objective: str = "labels"
    ) -> None:
        self._objective = OBJECTIVES[objective]
        images, labels = tasks.made_up_images(task, seed=0)
        self._images = tf.constant(images.astype(np.float32) / 255)
        self._labels = tf.constant(labels.astype(np.int32))
        self._task = task
        self._batches = tasks.batches(task, seed=1)
        weights = bare_networks.dense_weights(self._objective.num_outputs)
        zeros = {name: tf.zeros_like(value) for name, value in weights.items()}
        self._state: _DenseState = (weights, zeros, zeros)
        self._masks = _masks(weights) if masked else {}
        self._iteration = 0
        _check_num_parameters(task, weights, self._objective.num_outputs)

    def advance(self, num_iterations: int) -> None:
        """Trains for some iterations; raises FloatingPointError if it diverged."""
        while num_iterations > 0:
            count = min(num_iterations, DENSE_ITERATIONS_PER_CALL)
            # Of fixed size, because every new shape would be compiled again.
            size = (DENSE_ITERATIONS_PER_CALL, self._task.batch_size)
            indices = np.zeros(size, np.int32)
            indices[:count] = list(itertools.islice(self._batches, count))
            self._state, loss = self._train(
                self._state,
                self._masks,
                (self._images, self._labels, tf.constant(indices)),
                tf.constant(count),
                tf.constant(self._iteration),
            )
            self._iteration += count
            num_iterations -= count
        _check_finite(loss)

    @tf.function(jit_compile=True)
    def _train(
        self,
        state: _DenseState,
        masks: Tensors,
        data: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        count: tf.Tensor,
        iteration: tf.Tensor,
    ) -> tuple[_DenseState, tf.Tensor]:
        """Trains for `count` iterations and returns the new state and the last loss.

        Args:
          state: weights, and Adam's first and second moments.
          masks: of the kernels; {} leaves the product out.
          data: images [num_images, 784] float32, labels [num_images] int32, and which
            images make up each batch [iterations, batch_size] int32.
          count: [] int32, how many rows of the latter to use.
          iteration: [] int32, updates done before.
        """
        images, labels, indices = data

        def step(
            i: tf.Tensor, state: _DenseState, _: tf.Tensor
        ) -> tuple[tf.Tensor, _DenseState, tf.Tensor]:
            shown = self._objective.shown(tf.gather(images, indices[i]))
            own_labels = tf.gather(labels, indices[i])
            state, loss = self._updated(
                state, masks, shown, own_labels, update=iteration + i + 1
            )
            return i + 1, state, loss

        _, state, loss = tf.while_loop(
            lambda i, *_: i < count, step, (tf.constant(0), state, tf.constant(0.0))
        )
        return state, loss

    def _updated(
        self,
        state: _DenseState,
        masks: Tensors,
        shown: tf.Tensor,
        labels: tf.Tensor,
        *,
        update: tf.Tensor,
    ) -> tuple[_DenseState, tf.Tensor]:
        """Returns the state after an update of that number, and the loss before it."""
        weights = state[0]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs = bare_networks.lenet(shown, _masked(weights, masks))
            loss = self._objective.loss(outputs, labels)
        gradients = tape.gradient(loss, weights)
        rate, number = self._task.learning_rate, tf.cast(update, tf.float32)
        return _adam(state, gradients, number, rate=rate), loss


class DenseTrainingOnViews(DenseTraining):
    """The same on two views of each image, which tf.data makes by layers of Keras.

    Mirrored, turned, moved, and changed in brightness and contrast, as the package's
    views are: the loop of somebody who writes the task down in a plain way.

    Args:
      task: what to train.
      masked: whether each iteration multiplies the kernels with masks.
    """

    def __init__(self, task: tasks.Task, *, masked: bool) -> None:
        super().__init__(task, masked=masked, objective="exemplar")
        self._views = iter(_views(self._images, batch_size=task.batch_size))

    def advance(self, num_iterations: int) -> None:
        """Trains for some iterations; raises FloatingPointError if it diverged."""
        self._state, loss = self._train_on_views(
            self._state,
            self._masks,
            tf.constant(num_iterations),
            tf.constant(self._iteration),
        )
        self._iteration += num_iterations
        _check_finite(loss)

    @tf.function
    def _train_on_views(
        self,
        state: _DenseState,
        masks: Tensors,
        count: tf.Tensor,
        iteration: tf.Tensor,
    ) -> tuple[_DenseState, tf.Tensor]:
        """Trains for `count` iterations and returns the new state and the last loss."""
        compiled = tf.function(self._updated, jit_compile=True)
        # The objective reads no labels.
        labels = tf.zeros(self._task.batch_size, tf.int32)

        def step(
            i: tf.Tensor, state: _DenseState, _: tf.Tensor
        ) -> tuple[tf.Tensor, _DenseState, tf.Tensor]:
            shown = self._views.get_next()
            state, loss = compiled(
                state, masks, shown, labels, update=iteration + i + 1
            )
            return i + 1, state, loss

        _, state, loss = tf.while_loop(
            lambda i, *_: i < count,
            step,
            (tf.constant(0), state, tf.constant(0.0)),
            parallel_iterations=1,
        )
        return state, loss


class ConvolutionalTraining:
    """ResNet-20 or VGG-16 in training with momentum, many iterations in one graph.

    Args:
      task: what to train.
      masked: whether each iteration multiplies the kernels with masks.
      objective: what is learned, a name of `bare_objectives.OBJECTIVES`.
    """

    def __init__(
        self, task: tasks.Task, *, masked: bool, objective: str = "labels"
    ) -> None:
        self._objective = OBJECTIVES[objective]
        images, labels = tasks.made_up_images(task, seed=0)
        self._images = tf.constant(images)
        self._labels = tf.constant(labels.astype(np.int32))
        self._batches = tasks.batches(task, seed=1)
        self._learning_rate = task.learning_rate
        self._network = bare_networks.CONVOLUTIONAL[task.model]
        weights, statistics = bare_networks.convolutional_weights(
            task.model, self._objective.num_outputs
        )
        zeros = {name: tf.zeros_like(value) for name, value in weights.items()}
        self._weights = _variables(weights)
        self._statistics = _variables(statistics)
        self._momentum = _variables(zeros)
        self._masks = _variables(_masks(weights)) if masked else {}
        _check_num_parameters(task, weights, self._objective.num_outputs)

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
            images = bare_networks.scaled(tf.gather(self._images, indices[i]))
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(self._weights)
                outputs = self._logits(
                    self._objective.shown(images), _masked(self._weights, self._masks)
                )
                loss = self._objective.loss(
                    outputs, tf.gather(self._labels, indices[i])
                )
            self._update(tape.gradient(loss, self._weights))
            return i + 1, loss

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

        def normalized(name: str, images: tf.Tensor, stride: int) -> tf.Tensor:
            images, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                bare_networks.convolution(name, images, stride, weights),
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

    def _update(self, gradients: Tensors) -> None:
        """Takes a step of SGD; momentum accumulates gradients, which contain L2.

        Changes: weights and momentum.
        """
        for name, weights in self._weights.items():
            tf.raw_ops.ResourceApplyMomentum(
                var=weights.handle,
                accum=self._momentum[name].handle,
                lr=self._learning_rate,
                grad=gradients[name] + WEIGHT_DECAY * weights,
                momentum=MOMENTUM,
            )


def _views(images: tf.Tensor, *, batch_size: int) -> tf.data.Dataset:
    """Returns batches of anchors, then their positives: [2 * batch_size, 784]."""
    import keras

    height = width = math.isqrt(images.shape[1])
    black = {"fill_mode": "constant", "interpolation": "nearest"}
    layers = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomRotation(20 / 360, **black),
        keras.layers.RandomTranslation(1 / 8, 1 / 8, **black),
        keras.layers.RandomBrightness(0.4, value_range=(0, 1)),
        keras.layers.RandomContrast(0.4, value_range=(0, 1)),
    ]

    def view(batch: tf.Tensor) -> tf.Tensor:
        seen = tf.reshape(batch, (batch_size, height, width, 1))
        for layer in layers:
            seen = layer(seen, training=True)
        return tf.reshape(seen, (batch_size, height * width))

    data = tf.data.Dataset.from_tensor_slices(images).shuffle(images.shape[0]).repeat()
    data = data.batch(batch_size, drop_remainder=True)
    return data.map(lambda one: tf.concat([view(one), view(one)], axis=0)).prefetch(2)


def _adam(
    state: _DenseState, gradients: Tensors, update: tf.Tensor, *, rate: float
) -> _DenseState:
    """Returns weights and moments after the update of that number, counted from 1."""
    weights, first, second = ({} for _ in state)
    corrections = [1 - decay**update for decay in ADAM_DECAYS]
    for name, gradient in gradients.items():
        old, old_first, old_second = (values[name] for values in state)
        decay, square_decay = ADAM_DECAYS
        first[name] = decay * old_first + (1 - decay) * gradient
        second[name] = square_decay * old_second + (1 - square_decay) * gradient**2
        deviation = tf.sqrt(second[name] / corrections[1])
        direction = first[name] / corrections[0] / (deviation + ADAM_EPSILON)
        weights[name] = old - rate * direction
    return weights, first, second


def _variables(values: Tensors) -> dict[str, tf.Variable]:
    """Returns variables that hold the values."""
    return {name: tf.Variable(value) for name, value in values.items()}


def _masks(weights: Tensors) -> Tensors:
    """Returns a mask of ones for each kernel, by the kernel's name."""
    kernels = {name: w for name, w in weights.items() if name.endswith("/kernel")}
    return {name: tf.ones_like(kernel) for name, kernel in kernels.items()}


def _masked(weights: Tensors, masks: Tensors) -> Tensors:
    """Returns the weights with each kernel multiplied with its mask, if it has one."""
    return {
        name: w * masks[name] if name in masks else tf.convert_to_tensor(w)
        for name, w in weights.items()
    }


def _check_num_parameters(task: tasks.Task, weights: Tensors, num_outputs: int) -> None:
    """Raises ValueError if a network is not the papers' but for its outputs."""
    sizes = [int(np.prod(w.shape)) for w in weights.values()]
    *_, kernel = (w for name, w in weights.items() if name.endswith("/kernel"))
    more_outputs = num_outputs - tasks.NUM_CLASSES
    tasks.check_num_parameters(task, sum(sizes) - more_outputs * (kernel.shape[0] + 1))


def _check_finite(loss: tf.Tensor) -> None:
    """Raises FloatingPointError if training diverged."""
    if not np.isfinite(loss.numpy()):
        raise FloatingPointError(f"training loss is {float(loss)!r}")
