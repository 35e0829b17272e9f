"""The training of a user's model: its own `train_step`, in one compiled loop.

Whatever optimizer, loss and metrics it has, a training is a function of the state it
begins from, its masks and its seeds, wherever it is cut: the optimizer's state is kept
whole, batches go by a permutation of each epoch, and what layers draw by iteration.
"""

from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from tflottery import layers
from tflottery.models import weights as model_weights
from tflottery.models.weights import Weights
from tflottery.own_models.problem import (
    Problem,
    batch_indices,
    digest_of,
    validate_initial,
)
from tflottery.training.generators import Generators

# Between two chances to stop, and to tell how far it is.
_UPDATES_AT_ONCE = 100
# By which trainings are told apart that say the same of themselves.
_UPDATES_TRIED = 3


class UpdateLoop:
    """One model of a problem, compiled once, and trained or measured from any state."""

    def __init__(self, problem: Problem):
        """Args:
        problem: whose model it is.

        Raises:
          ValueError: `build_model` returns other initial weights each time, or an
            object cannot be copied.
        """
        self._problem = problem
        self._model = model = problem.compiled(problem.built(1))
        expected = digest_of(problem.initial_weights(1))
        validate_initial(model_weights.weights(model), digest=expected)
        self._generators = Generators(model)
        # Builds losses and metrics, which cannot be done inside a compiled loop.
        model.test_on_batch(*self._first_batch("train"))
        self._fresh = self._slots()
        self._data = keras.tree.map_structure(tf.constant, problem.train)
        self._advance = self._compiled()

    def train(
        self,
        weights: Weights,
        slots: Mapping[str, np.ndarray] | None,
        *,
        masks: Mapping[str, np.ndarray],
        iterations: tuple[int, int],
        seeds: tuple[int, int],
        tell: Callable[[float], None],
    ) -> tuple[Weights, dict[str, np.ndarray]]:
        """Returns weights and optimizer state after a training.

        Args:
          weights: those it begins from, by variable path.
          slots: the optimizer's state, as this returns it; None: a new one's.
          masks: by kernel path; {} is dense.
          iterations: updates done before, and at the end.
          seeds: of the data order, and of what layers draw.
          tell: is told the fraction done, from time to time; may raise.
        """
        first, last = iterations
        order_seed, drawn_seed = seeds
        self._begin(weights, slots, masks=masks, seed=drawn_seed)
        for begin in range(first, last, _UPDATES_AT_ONCE):
            end = min(begin + _UPDATES_AT_ONCE, last)
            self._update(order_seed, first=begin, last=end)
            tell((end - first) / (last - first))
        return model_weights.weights(self._model), self._slots()

    def tried(self) -> str:
        """Returns a digest of what a few updates from the initial weights come to."""
        self._begin(self._problem.initial_weights(1), None, masks={}, seed=0)
        self._update(0, first=0, last=_UPDATES_TRIED)
        weights = model_weights.weights(self._model)
        found = self._model.test_on_batch(*self._first_batch("test"))
        measured = [np.asarray(one) for one in keras.tree.flatten(found)]
        return digest_of((weights, self._slots(), measured))

    def measure(self, weights: Weights, *, split: str) -> dict[str, float]:
        """Returns loss and metrics of a network, by their names.

        Args:
          weights: by variable path; pruned ones are 0.0.
          split: "train" or "test".
        """
        model_weights.assign(self._model, weights)
        layers.set_masks(self._model, {})
        inputs, targets, *sample_weights = getattr(self._problem, split)
        found = self._model.evaluate(
            inputs,
            targets,
            sample_weight=sample_weights[0] if sample_weights else None,
            batch_size=self._problem.batch_size,
            verbose=0,
            return_dict=True,
        )
        return {name: float(value) for name, value in found.items()}

    def _begin(
        self,
        weights: Weights,
        slots: Mapping[str, np.ndarray] | None,
        *,
        masks: Mapping[str, np.ndarray],
        seed: int,
    ) -> None:
        """Puts the model where a training begins: as of `train`."""
        model_weights.assign(self._model, weights)
        self._assign_slots(self._fresh if slots is None else slots)
        layers.set_masks(self._model, dict(masks))
        self._generators.reseed(seed)
        self._model.reset_metrics()

    def _update(self, order_seed: int, *, first: int, last: int) -> None:
        """Makes the updates after `first` to `last`, in the order of a seed."""
        indices = batch_indices(
            order_seed,
            first=first,
            last=last,
            batch_size=self._problem.batch_size,
            num_examples=self._problem.num_train,
        )
        self._advance(tf.constant(indices), tf.constant(first, tf.int64))

    def _first_batch(self, split: str) -> tuple:
        """Returns the first examples of a split, as many as an update takes."""
        size = self._problem.batch_size
        examples = getattr(self._problem, split)
        return keras.tree.map_structure(lambda one: one[:size], examples)

    def _compiled(self) -> tf.types.experimental.PolymorphicFunction:
        """Returns the loop over batches of given examples."""
        # As in `fit`: what Keras and its users write is no autograph.
        update = tf.autograph.experimental.do_not_convert(self._model.train_step)
        gather = tf.autograph.experimental.do_not_convert(_gathered)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, self._problem.batch_size], tf.int64),
                tf.TensorSpec([], tf.int64),
            ]
        )
        def advance(indices: tf.Tensor, first: tf.Tensor) -> None:
            for step in tf.range(tf.shape(indices, tf.int64)[0]):
                self._generators.set(first + step)
                update(gather(self._data, indices[step]))

        return advance

    def _slots(self) -> dict[str, np.ndarray]:
        """Returns the optimizer's state by the number of each variable."""
        variables = self._model.optimizer.variables
        return {f"{n:04d}": np.array(one.numpy()) for n, one in enumerate(variables)}

    def _assign_slots(self, values: Mapping[str, np.ndarray]) -> None:
        for number, variable in enumerate(self._model.optimizer.variables):
            variable.assign(values[f"{number:04d}"])


def _gathered(data: object, indices: tf.Tensor) -> object:
    """Returns the examples of these indices."""
    return keras.tree.map_structure(lambda one: tf.gather(one, indices), data)
