"""The training loop: one network, compiled once, advanced along any of its runs.

Many iterations run in one `tf.function` between the points where something has to be
saved or measured. How many is a tensor, not a shape, so nothing is traced again, and
cutting a run anywhere changes no bit of it.
"""

import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tflottery.core import recipes
from tflottery.core.initializers import Initializers
from tflottery.core.recipes import Recipe
from tflottery.datasets import feeds
from tflottery.datasets.source import Source
from tflottery.datasets.stream import DataStream, stream_of
from tflottery.layers import masked, normalization, pooling
from tflottery.models import weights as model_weights
from tflottery.pruning import masks as pruning_masks
from tflottery.training import distribution, optimizers, precisions, replicas, tasks
from tflottery.training.generators import Generators
from tflottery.training.orders import Orders
from tflottery.training.training_input import TrainingInput

# A call lasts about so long: progress is seen and a stop obeyed at its end.
_CALL_SECONDS = 1.0
_INITIALIZERS = Initializers()
_NO_ORDERS = Orders()


class Diverged(Exception):
    """The loss or the weights are not finite.

    Attributes:
      iteration: updates done when that showed.
    """

    def __init__(self, iteration: int):
        super().__init__(f"not finite at iteration {iteration}")
        self.iteration = iteration


class Trainer:
    """A network with its optimizer, its data and its compiled loop."""

    def __init__(
        self,
        model_name: str,
        recipe: Recipe,
        source: Source,
        *,
        num_classes: int,
        sparse: bool = False,
        pretext: str | None = None,
        pretext_seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        num_replicas: int | None = None,
        precision: str | None = None,
        orders: Orders = _NO_ORDERS,
    ):
        """Args:
        model_name: a registered model.
        recipe: resolved; its length is used only where the rate falls to its end.
        source: the data.
        num_classes: outputs of the network.
        sparse: whether it may be given masks.
        pretext: a registered pretext, or None for the dataset's own task.
        pretext_seed: of what is random in it but the same in all epochs.
        strategy: distributes each batch over its devices; None is one device.
        num_replicas: parts of a batch, each normalized by itself; None: one a device.
        precision: in what the network computes (`precisions`); None: its own.
        orders: have other hosts' trainers do what this one does.

        Raises:
          ValueError: devices or parts do not divide a batch.
        """
        self.recipe = recipe = recipes.simplified(recipe)
        self._orders = orders
        self._strategy = strategy
        self._num_parts, self._part_size = distribution.parts(
            strategy, batch_size=recipe.batch_size, num_replicas=num_replicas
        )
        self._source = source
        self._task = tasks.task_of(pretext)
        self._input = TrainingInput(
            source,
            augmentation=recipe.augmentation,
            pretext=pretext,
            pretext_seed=pretext_seed,
            strategy=strategy,
        )
        scope = strategy.scope() if strategy else tf.distribute.get_strategy().scope()
        with scope:
            self.model = precisions.build(
                model_name,
                input_shape=source.train.images.shape[1:],
                num_classes=num_classes,
                precision=precision,
            )
            self.optimizer = optimizers.make(recipe)
            _ready(self.model, self.optimizer, sparse=sparse)
            self._generators = Generators(self.model)
        self._advance = self._distributed_loop() if strategy else self._local_loop()
        self._seconds_per_iteration: float | None = None

    def initial_weights(
        self, seed: int, initializers: Initializers = _INITIALIZERS
    ) -> dict[str, np.ndarray]:
        """Returns freshly drawn weights of this network, by variable path."""
        return model_weights.initial_weights(self.model, seed, initializers)

    def restore(
        self,
        weights: dict[str, np.ndarray],
        *,
        masks: dict[str, np.ndarray],
        slots: dict[str, np.ndarray] | None,
        iteration: int,
        first_iteration: int,
    ) -> None:
        """Puts the network and its optimizer at a state of a run.

        Args:
          weights: values by variable path; pruned ones are set to exactly 0.0.
          masks: masks by kernel path; {} is dense.
          slots: the optimizer's slots, or None for fresh ones.
          iteration: updates done so far.
          first_iteration: where the slots were fresh, from which Adam counts.
        """
        self._orders.give(
            "restore",
            weights,
            masks=masks,
            slots=slots,
            iteration=iteration,
            first_iteration=first_iteration,
        )
        model_weights.assign(self.model, weights)
        masked.set_masks(self.model, masks)
        optimizers.reset(
            self.optimizer, iteration=iteration, first_iteration=first_iteration
        )
        if slots is not None:
            # Carried momentum would move pruned weights off zero.
            paths = {name: name.split("/", 1)[1] for name in slots}
            by_slot = {
                name: masks[path] for name, path in paths.items() if path in masks
            }
            slots = pruning_masks.apply(slots, by_slot)
            optimizers.assign_slots(self.optimizer, slots)

    def stream(self, *, data_order_seed: int, augmentation_seed: int) -> DataStream:
        """Returns the training examples of every iteration, in an order of theirs."""
        return stream_of(
            self._source.train.labels,
            self.recipe.batch_size,
            data_order_seed=data_order_seed,
            augmentation_seed=augmentation_seed,
        )

    def train(
        self,
        stream: DataStream,
        last: int,
        *,
        dropout_seed: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> int:
        """Trains from where the network is to iteration `last`.

        The callbacks' `on_train_batch_end` is called at every iteration named by a
        callback's `iterations`, and about once a second between them; a callback may
        set `model.stop_training`.

        Args:
          stream: the training examples of every iteration.
          last: the iteration to reach.
          dropout_seed: decides, with the iteration, what a network with dropout draws.
          callbacks: called as above.

        Returns:
          The iteration reached: `last`, or earlier if a callback stopped the training.

        Raises:
          Diverged: the loss is not finite, or a callback asked for the `state` and
            found a weight that is not.
          ValueError: the network has dropout and there is no seed for it.
          ChangedData: a file that holds the data was changed; no callback saw what was
            trained on it.
          DamagedImage, DamagedRecords: an image cannot be read or decoded.
        """
        notify = keras.callbacks.CallbackList(list(callbacks), model=self.model)
        points = {last}.union(*(getattr(c, "iterations", ()) for c in callbacks))
        iteration = optimizers.iteration(self.optimizer)
        self.model.stop_training = False
        advance = self.calls(stream, iteration, dropout_seed=dropout_seed)
        notify.on_train_begin()
        while iteration < last and not self.model.stop_training:
            next_point = min(point for point in points if point > iteration)
            count = min(next_point - iteration, self._affordable())
            notify.on_train_batch_begin(iteration)
            started = time.perf_counter()
            done, loss = advance(iteration, count)
            iteration += done
            if not np.isfinite(loss):
                raise Diverged(iteration)
            self._note_speed(time.perf_counter() - started, count)
            notify.on_train_batch_end(iteration - 1, {"loss": loss})
        notify.on_train_end()
        return iteration

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Returns the weights and the optimizer's slots, by path.

        Raises:
          Diverged: a weight is not finite.
        """
        weights = model_weights.weights(self.model)
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise Diverged(optimizers.iteration(self.optimizer))
        return weights, optimizers.slots(self.optimizer)

    def _affordable(self) -> int:
        """Returns how many iterations fit into one call; the first ones are probes."""
        if self._seconds_per_iteration is None:
            return 1
        return int(np.clip(_CALL_SECONDS / self._seconds_per_iteration, 1, feeds.ROOM))

    def _note_speed(self, seconds: float, count: int) -> None:
        """Remembers the fastest speed seen; the first call is mostly tracing."""
        pace = seconds / count
        known = self._seconds_per_iteration
        self._seconds_per_iteration = min(pace, known) if known else pace

    def calls(
        self, stream: DataStream, first: int, *, dropout_seed: int | None
    ) -> Callable[[int, int], tuple[int, float]]:
        """Returns a function of (iteration, count) that makes `count` updates.

        It returns how many were made and the last loss; followers make the same calls.

        Args:
          stream: the training examples of every iteration.
          first: the iteration of the first call; the others go on from one another.
          dropout_seed: as of `train`.
        """
        self._orders.give("begin", stream, first, dropout_seed=dropout_seed)
        self._generators.reseed(dropout_seed)
        given = self._input.of(stream, first)

        def advance(iteration: int, count: int) -> tuple[int, float]:
            self._orders.give("advance", iteration, count)
            with self._input.watched(stream, iteration, count):
                done, loss = self._advance(given(iteration, count), tf.constant(count))
                return int(done), float(loss)

        return advance

    def replica_update(self, images: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Makes an update, on each device of a strategy of its part of a batch.

        Args:
          images: [part of a batch, height, width, channels] float32, as they are shown.
          targets: [part of a batch, ...] int32.

        Returns:
          This device's part of the global batch's loss: scalar float32.
        """
        return self._update(lambda *batch: batch, images, targets)

    def _update(self, shown: Callable, *batch: tf.Tensor) -> tf.Tensor:
        """Makes one update; returns this device's part of the global batch's loss.

        The loss is not a number where the state before the update has infinite batch
        norm statistics, which training itself never looks at.

        Args:
          shown: tells images and targets of what `batch` has of some examples.
          batch: the device's examples, along the first axis.
        """
        sound = self._has_finite_statistics()
        if self._num_parts == 1:
            loss, gradients = self._gradients(*shown(*batch))
        else:
            loss, gradients = replicas.summed(
                lambda *of, part: self._gradients(*shown(*of), part=part),
                batch,
                sizes=(self._num_parts, self._part_size),
                model=self.model,
            )
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return tf.where(sound, loss, float("nan"))

    def _gradients(
        self, images: tf.Tensor, targets: tf.Tensor, *, part: tf.Tensor | int = 0
    ) -> replicas.Part:
        """Returns a part's fraction of the global batch's loss, and its gradients."""
        self._generators.set(
            self.optimizer.iterations, part=part, num_parts=self._num_parts
        )
        with tf.GradientTape() as tape:
            outputs = self._task.outputs(self.model, images, training=True)
            losses = self._task.training_losses(targets, outputs)
            loss = tf.reduce_sum(losses) / self.recipe.batch_size
        return loss, tape.gradient(loss, self.model.trainable_variables)

    def _has_finite_statistics(self) -> tf.Tensor:
        """Returns whether all batch norm statistics are finite: scalar bool."""
        statistics = [
            variable.value
            for layer in normalization.normalizations(self.model)
            for variable in (layer.moving_mean, layer.moving_variance)
        ]
        if not statistics:
            return tf.constant(True)
        return tf.reduce_all(tf.math.is_finite(tf.concat(statistics, axis=0)))

    def _local_loop(self) -> tf.types.experimental.PolymorphicFunction:
        """Returns the compiled loop for one device."""
        feed, jit = self._input.feed, compiled_by_xla(self.model)
        update = feed.compiled_part(
            lambda *batch: self._update(feed.shown, *batch), jit=jit
        )

        def advance(given, count):
            def step(done, loss):
                del loss
                return done + 1, update(*feed.taken(given, done))

            return _iterate(step, count)

        return feed.compiled(advance, jit=jit)

    def _distributed_loop(self) -> tf.types.experimental.PolymorphicFunction:
        """Returns the compiled loop over a strategy's devices, fed by tf.data."""

        @tf.function(autograph=False)
        def advance(iterator, count):
            def step(done, loss):
                del loss
                parts = self._strategy.run(self.replica_update, args=next(iterator))
                return done + 1, self._strategy.reduce("SUM", parts, axis=None)

            return _iterate(step, count)

        return advance


def _ready(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, *, sparse: bool
) -> None:
    """Has a model just built, and its optimizer, train as the loop expects of them."""
    use_masks = masked.mask_gradients_only if sparse else masked.ignore_masks
    use_masks(model)
    if distribution.has_gpu():
        pooling.make_pooling_deterministic(model)
    optimizer.build(model.trainable_variables)
    # The loop trains; compiling lets Keras callbacks find the optimizer.
    model.compile(optimizer=optimizer)


def _iterate(step: Callable, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes `count` steps, fewer if the loss is not finite.

    Args:
      step: takes (steps done, loss) and returns them after one more.
      count: scalar int32.

    Returns:
      (updates done, without the one that showed a divergence; last loss).
    """
    done, loss = tf.while_loop(
        lambda done, loss: (done < count) & tf.math.is_finite(loss),
        step,
        [tf.constant(0), tf.constant(0.0)],
    )
    return done - tf.cast(~tf.math.is_finite(loss), tf.int32), loss


def compiled_by_xla(model: keras.Model) -> bool:
    """Returns whether the loop of a model is compiled by XLA on this device.

    Everywhere but for convolutions on a CPU, which XLA makes half as fast.
    """
    return distribution.has_gpu() or not masked.convolves(model)
