"""The training of a user's model: its own `train_step`, in one compiled loop.

Whatever optimizer, loss and metrics it has, a training is a function of the state it
begins from, its masks and its seeds, wherever it is cut: the optimizer's state is kept
whole, batches go by a permutation of each epoch, and what layers draw by iteration.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from tflottery import layers
from tflottery.core import fingerprints
from tflottery.models import weights as model_weights
from tflottery.models.architecture import architecture
from tflottery.models.weights import Weights
from tflottery.own_models import examples
from tflottery.own_models.configurations import plain
from tflottery.own_models.evaluation_loop import EvaluationLoop
from tflottery.own_models.examples import batch_indices, digest_of
from tflottery.own_models.problem import Problem, numbered_anew
from tflottery.own_models.spans import Spans
from tflottery.training import requirements
from tflottery.training.generators import Generators

# By which trainings are told apart that say the same of themselves.
_UPDATES_TRIED = 3
# By how much of its movement a weight may differ the second time.
_ROUNDING = 0.01
_DRAWN_ANEW = (
    "build_model returned other initial weights than a moment ago, of the same "
    "replicate. Draw them by Keras's initializers, whose seeds are set, or by Python's "
    "or numpy's global generator."
)


class UpdateLoop:
    """One model of a problem, compiled once, and trained or measured from any state.

    Attributes:
      problem: whose model it is.
      kernel_shapes: of all kernels that can be pruned, by path, in network order.
    """

    def __init__(self, problem: Problem):
        """Args:
        problem: whose model it is.

        Raises:
          ValueError: `build_model` returns other initial weights each time, or the same
            model or layers; the model draws what cannot be drawn again; or an object
            cannot be copied.
        """
        self.problem = problem
        model = problem.built(1)
        self._initial_weights = model_weights.weights(model)
        _validate_built_anew(model, problem.built(1))
        # Of the model as it came: with masks of ones it computes the same.
        self._architecture = architecture(model)
        self._model = problem.mask(model)
        self.kernel_shapes = {
            path: mask.shape for path, mask in layers.masks(model).items()
        }
        requirements.validate_repeatable(model, self._first_batch("train")[0])
        self._generators = Generators(model)
        with numbered_anew():
            problem.compiled(model)
            # Builds losses and metrics, which cannot be done inside a compiled loop.
            found = self._measured_first("train")
        self._names = list(_numbers(found))
        self._fresh = self._slots()
        train, test = keras.tree.map_structure(
            tf.constant, (problem.train, problem.test)
        )
        self._data = train
        self._advance = self._compiled()
        self._updating = Spans()
        self._measuring = {
            "train": EvaluationLoop(model, train, problem.batch_size),
            "test": EvaluationLoop(model, test, problem.batch_size),
        }

    @functools.cached_property
    def key(self) -> str:
        """Hash of all that decides a training but the seeds and initial weights.

        What the problem says of itself is not all of that: functions call others, and
        objects hold what no configuration tells. So what a few updates come to is part
        of it.
        """
        problem = self.problem
        return fingerprints.fingerprint(
            {
                "architecture": self._architecture,
                "train": digest_of(problem.train),
                "test": digest_of(problem.test),
                "optimizer": plain(keras.optimizers.get(problem.optimizer)),
                "loss": plain(problem.loss),
                "metrics": plain(problem.metrics),
                "batch_size": problem.batch_size,
                "tried": self._tried(),
            }
        )

    @property
    def num_bytes(self) -> int:
        """What weights and the optimizer's state take."""
        every = [*self._initial_weights.values(), *self._fresh.values()]
        return sum(one.nbytes for one in every)

    def initial_weights(self, replicate: int, *, digest: str | None = None) -> Weights:
        """Returns the initial weights of a replicate, by variable path.

        Args:
          replicate: which one.
          digest: of those it had before, if it was built before.

        Raises:
          ValueError: it has others now.
        """
        weights = self._initial_weights
        if replicate != 1:
            weights = model_weights.weights(self.problem.built(replicate))
        if digest not in (None, digest_of(weights)):
            raise ValueError(_DRAWN_ANEW)
        return weights

    def rises(self) -> dict[str, bool | None]:
        """Returns whether a higher value of loss or metric is better, by name.

        None: its class does not say, as one of the user's own.
        """
        metrics = []
        for one in self._model.metrics:
            # What `compile` was given is inside of one that has no name of its own.
            metrics += getattr(one, "metrics", None) or [one]
        found = {}
        for name in self._names:
            # Of several outputs, names are those of output and metric.
            own = [m for m in metrics if f"_{name}".endswith(f"_{m.name}")]
            best = max(own, key=lambda metric: len(metric.name), default=None)
            direction = getattr(best, "_direction", None)
            if direction is None and f"_{name}".endswith("_loss"):
                direction = "down"
            found[name] = None if direction is None else direction == "up"
        return found

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
        for begin, end in self._updating.between(first, last):
            self._update(order_seed, first=begin, last=end)
            tell((end - first) / (last - first))
        return model_weights.weights(self._model), self._slots()

    def measure(self, weights: Weights, *, split: str) -> dict[str, float]:
        """Returns loss and metrics of a network, by their names.

        Args:
          weights: by variable path; pruned ones are 0.0.
          split: "train" or "test".
        """
        model_weights.assign(self._model, weights)
        layers.set_masks(self._model, {})
        return _numbers(self._measuring[split].found())

    def _tried(self) -> str:
        """Returns a digest of what a few updates from the initial weights come to.

        Raises:
          ValueError: they fail, or come to something else a second time.
        """
        weights = self._few_updates()
        measured = {
            name: np.float64(one)
            for name, one in _numbers(self._measured_first("test")).items()
        }
        found = digest_of((weights, self._slots(), measured))
        _validate_repeated(self._initial_weights, weights, self._few_updates())
        return found

    def _few_updates(self) -> Weights:
        """Returns the weights after a few updates from the initial ones."""
        self._begin(self._initial_weights, None, masks={}, seed=0)
        with self._blaming("train"):
            self._update(0, first=0, last=_UPDATES_TRIED)
        return model_weights.weights(self._model)

    def _measured_first(self, split: str) -> Mapping[str, object]:
        """Returns loss and metrics of the first examples of a split, by name."""
        batch = keras.tree.map_structure(_measurable, self._first_batch(split))
        with self._blaming(split):
            return self._model.test_on_batch(*batch, return_dict=True)

    @contextlib.contextmanager
    def _blaming(self, split: str) -> Iterator[None]:
        """Has what fails say that the model and a split do not fit together.

        Raises:
          ValueError: something failed; says what.
        """
        try:
            yield
        except (tf.errors.OpError, ValueError, TypeError) as error:
            told = [
                keras.tree.map_structure(lambda one: f"{one.dtype}{one.shape}", part)
                for part in self._first_batch(split)
            ]
            called = "data" if split == "train" else "test_data"
            # Before it, TensorFlow lists every line that led there.
            why = str(error).strip().split("\n\n")[-1]
            raise ValueError(
                f"Model, loss and metrics fail on the first examples of {called}, "
                f"which come as {told}: {why}"
            ) from error

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
            batch_size=self.problem.batch_size,
            num_examples=self.problem.num_train,
        )
        self._advance(tf.constant(indices), tf.constant(first, tf.int64))
        # Waits for the updates, so that they can be timed.
        self._model.optimizer.iterations.numpy()

    def _first_batch(self, split: str) -> tuple:
        """Returns the first examples of a split, as many as an update takes."""
        found = getattr(self.problem, split)
        return examples.first(found, self.problem.batch_size)

    def _compiled(self) -> tf.types.experimental.PolymorphicFunction:
        """Returns the loop over batches of given examples."""
        # As in `fit`: what Keras and its users write is no autograph.
        update = tf.autograph.experimental.do_not_convert(self._model.train_step)
        gather = tf.autograph.experimental.do_not_convert(_gathered)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, self.problem.batch_size], tf.int64),
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


def _validate_built_anew(model: keras.Model, another: keras.Model) -> None:
    """Raises ValueError unless a model was built anew, with the same weights."""
    before = {id(one) for one in model.variables}
    common = sorted(one.path for one in another.variables if id(one) in before)
    if common:
        raise ValueError(
            f"build_model returned variables that it had returned before: {common}. "
            "Make the model and its layers inside of the function, or clone them there "
            "(keras.models.clone_model)."
        )
    first, second = map(model_weights.weights, (model, another))
    if digest_of(first) != digest_of(second):
        raise ValueError(_DRAWN_ANEW)


def _validate_repeated(initial: Weights, first: Weights, second: Weights) -> None:
    """Raises ValueError unless two trainings from one state come to the same.

    But for rounding, which threads and GPUs do in one order or another. Weights whose
    gradient would be 0 without it, such as biases before batch norm, move by nothing
    else, under Adam by whole steps. So what counts is whether most weights differ.
    """
    num_moved, num_apart = 0, {}
    for path in initial:
        begin, one, other = (np.float64(v[path]) for v in (initial, first, second))
        with np.errstate(invalid="ignore"):
            # Of a training that diverges, which is told later, they are NaN.
            moved, apart = (abs(one - v) for v in (begin, other))
        num_moved += np.count_nonzero((moved > 0) | (apart > 0))
        num_apart[path] = np.count_nonzero(apart > _ROUNDING * moved)
    every = sum(num_apart.values())
    if every > num_moved / 2:
        most = max(num_apart, key=num_apart.get)
        raise ValueError(
            "Trained twice from the same state, most weights come out otherwise: of "
            f"{num_moved:,} that {_UPDATES_TRIED} updates move, {every:,} differ by "
            f"more than {_ROUNDING:.0%} of that, {num_apart[most]:,} of {most!r} among "
            "them. Something that the model's train_step uses goes on from one "
            "training to the next, such as an optimizer beside that of `compile`, or "
            "draws from no keras.random.SeedGenerator of a layer."
        )


def _measurable(values: np.ndarray) -> object:
    """Returns examples as Keras measures on them: text as TensorFlow's."""
    return tf.constant(values) if values.dtype.kind in "SU" else values


def _numbers(found: Mapping[str, object]) -> dict[str, float]:
    """Returns what was measured as numbers, by name.

    Raises:
      ValueError: a metric has several values.
    """
    several = {k: np.shape(one) for k, one in found.items() if np.size(one) != 1}
    if several:
        raise ValueError(
            f"Metrics come as arrays of the shapes {several}, expected one number each:"
            ' say how classes are averaged, as in F1Score(average="macro").'
        )
    return {name: float(np.squeeze(one)) for name, one in found.items()}


def _gathered(data: object, indices: tf.Tensor) -> object:
    """Returns the examples of these indices."""
    return keras.tree.map_structure(lambda one: tf.gather(one, indices), data)
