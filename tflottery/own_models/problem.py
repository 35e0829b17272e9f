"""What a ticket is sought for: a model, data, and how the one is trained on the other.

Its key stands for all of that: the layers of the model, every example, and the
configurations of optimizer, loss and metrics. Of code of the user's own that is the
name of a class with its `get_config`, and of a function its compiled code.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import inspect
import random
import types
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np

from tflottery import layers
from tflottery.core import fingerprints, seeds
from tflottery.models import weights as model_weights
from tflottery.models.architecture import architecture
from tflottery.models.weights import Weights

# Inputs, targets and perhaps weights of examples, each an array or arrays by name.
Examples = tuple[object, ...]

_SEED_BITS = 32
# Of an attribute that is not there.
_UNKNOWN = object()


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A model with data; kept by the process that it was made in.

    Attributes:
      build_model: returns a Keras model, which is not compiled, or not by what it is
        compiled with. Called for each replicate.
      train: examples to train on.
      test: examples to measure on.
      optimizer: what `compile` takes; each training has one like it.
      loss: what `compile` takes.
      metrics: what `compile` takes.
      batch_size: examples of an update.
      unpruned: layers without masks, as of `layers.mask`; None: all of them.
    """

    build_model: Callable[[], keras.Model]
    train: Examples
    test: Examples
    optimizer: object
    loss: object
    metrics: tuple[object, ...]
    batch_size: int
    unpruned: tuple[str, ...] | None

    def __post_init__(self) -> None:
        """Raises ValueError for a batch size that the data do not allow."""
        if not 1 <= self.batch_size <= self.num_train:
            raise ValueError(
                f"batch_size={self.batch_size!r}, expected from 1 to the "
                f"{self.num_train} examples that are trained on."
            )

    @property
    def num_train(self) -> int:
        """Number of training examples."""
        return _length(self.train)

    @functools.cached_property
    def key(self) -> str:
        """Hash of all that decides a training but the seeds and initial weights."""
        return fingerprints.fingerprint(
            {
                "architecture": self._first.architecture,
                "train": digest_of(self.train),
                "test": digest_of(self.test),
                "optimizer": _plain(keras.optimizers.get(self.optimizer)),
                "loss": _plain(self.loss),
                "metrics": _plain(self.metrics),
                "batch_size": self.batch_size,
            }
        )

    def built(self, replicate: int) -> keras.Model:
        """Returns a replicate's model with its initial weights, masked if
        anything may be pruned.

        Raises:
          ValueError: `build_model` returned no model, or one that cannot be masked.
        """
        with _numbered_anew(), _seeded(seeds.init_seed(replicate)):
            model = self.build_model()
            if not isinstance(model, keras.Model):
                raise ValueError(
                    f"build_model returned {model!r}, expected a keras.Model."
                )
            if not model.built:
                model(keras.tree.map_structure(lambda one: one[:1], self.train[0]))
        if self.unpruned is None:
            return model
        return layers.mask(model, unpruned=self.unpruned)

    def compiled(self, model: keras.Model) -> keras.Model:
        """Returns a model, compiled with optimizer, loss and metrics of its own."""
        model.compile(
            optimizer=_copied(keras.optimizers.get(self.optimizer)),
            loss=self.loss,
            metrics=[_copied(one) for one in self.metrics],
            jit_compile=False,
        )
        # Saved unbuilt, it would be said not to fit when it is loaded.
        model.optimizer.build(model.trainable_variables)
        return model

    @property
    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all kernels that can be pruned, by path, in network order."""
        return self._first.kernel_shapes

    def initial_weights(self, replicate: int) -> Weights:
        """Returns the initial weights of a replicate, by variable path."""
        if replicate == 1:
            return self._first.weights
        return model_weights.weights(self.built(replicate))

    @functools.cached_property
    def _first(self) -> "_Facts":
        """What is known of the first replicate's model, which need not stay built."""
        model = self.built(1)
        shapes = {path: mask.shape for path, mask in layers.masks(model).items()}
        return _Facts(architecture(model), shapes, model_weights.weights(model))


@dataclasses.dataclass(frozen=True, eq=False)
class _Facts:
    """Of a model: its fingerprint, the shapes of its masks, and its weights."""

    architecture: str
    kernel_shapes: dict[str, tuple[int, ...]]
    weights: Weights


def validate_initial(weights: Weights, *, digest: str) -> None:
    """Raises ValueError for initial weights unlike those that a plan was made for.

    Args:
      weights: of the model of a replicate, built again.
      digest: of those it had.
    """
    if digest_of(weights) != digest:
        raise ValueError(
            "build_model returned other initial weights than a moment ago, of the same "
            "replicate. Draw them by Keras's initializers, whose seeds are set, or by "
            "Python's or numpy's global generator."
        )


def examples_of(data: object, *, called: str) -> Examples:
    """Returns the examples of a data set as arrays in memory.

    Args:
      data: (inputs, targets) or (inputs, targets, weights), each an array or arrays by
        name; or a finite tf.data.Dataset of batches of these, which is read once, so
        that it must not shuffle.
      called: what the argument is called, for messages.

    Raises:
      ValueError: they are no examples of one number.
    """
    if hasattr(data, "as_numpy_iterator"):
        batches = list(data.as_numpy_iterator())
        if not batches:
            raise ValueError(f"{called} is an empty data set.")
        data = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise ValueError(
            f"{called} is {type(data).__name__}, expected (inputs, targets) or (inputs,"
            " targets, weights) of arrays, or a tf.data.Dataset of batches of these."
        )
    found = tuple(keras.tree.map_structure(_array, part) for part in data)
    lengths = {len(one) for one in keras.tree.flatten(found)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"The arrays of {called} have {sorted(lengths)} examples, expected one "
            "number of them, at least one."
        )
    return found


def batch_indices(
    seed: int, *, first: int, last: int, batch_size: int, num_examples: int
) -> np.ndarray:
    """Returns which examples the updates after `first` to `last` are made of.

    The data order is the endless row of its epochs' permutations.

    Returns:
      [updates, batch_size] int64.
    """
    start, stop, parts = first * batch_size, last * batch_size, []
    for epoch in range(start // num_examples, -(-stop // num_examples)):
        order = seeds.permutation(seed, epoch, num_examples)
        begin = epoch * num_examples
        parts.append(order[max(start - begin, 0) : stop - begin])
    return np.concatenate(parts).reshape(-1, batch_size)


def _array(values: object) -> np.ndarray:
    """Returns an array of examples; numbers of double precision become float32."""
    array = np.asarray(values)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype == object or not array.ndim:
        raise ValueError(
            f"Examples came as {array.dtype} of shape {array.shape}: expected numbers "
            "or text, [examples, ...]."
        )
    return array


def _length(examples: Examples) -> int:
    return len(keras.tree.flatten(examples)[0])


def digest_of(tree: object) -> str:
    """Returns what stands for all arrays of a tree, their order and names."""
    digest = hashlib.sha256()
    for path, array in keras.tree.flatten_with_path(tree):
        digest.update(f"{path} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _copied(one: object) -> object:
    """Returns an object of Keras's like another one, in its initial state.

    Raises:
      ValueError: it does not say all that it was made with, so the copy is another.
    """
    if not hasattr(one, "get_config"):
        return one
    config = one.get_config()
    for name, parameter in inspect.signature(type(one).__init__).parameters.items():
        if name in config or name in ("self", "name", "dtype", "kwargs", "args"):
            continue
        if getattr(one, name, _UNKNOWN) != parameter.default:
            raise ValueError(
                f"{type(one).__name__} was made with {name!r}, of which its get_config "
                "says nothing, so that it cannot be copied. Give its class a "
                "get_config with all arguments."
            )
    copy = type(one).from_config(config)
    if getattr(one, "use_ema", False) and not one.ema_overwrite_frequency:
        raise ValueError(
            f"{type(one).__name__} with use_ema=True averages weights that nobody "
            "would see: give it an ema_overwrite_frequency, or leave use_ema out."
        )
    # What an optimizer is told after it was made is in no configuration.
    excluded = getattr(one, "_exclude_from_weight_decay_pattern", None)
    if excluded is not None:
        copy.exclude_from_weight_decay(var_names=[excluded.pattern])
    return copy


def _plain(value: object) -> object:
    """Returns plain values that stand for an object that trainings depend on.

    Raises:
      ValueError: it has neither a configuration nor code.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value) if isinstance(value, bytes) else value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        # Names are numbered anew in each process.
        return {str(k): _plain(one) for k, one in value.items() if k != "name"}
    if isinstance(value, np.ndarray):
        return digest_of((value,))
    if hasattr(value, "get_config"):
        return {"class": type(value).__qualname__, "config": _plain(value.get_config())}
    if isinstance(value, functools.partial):
        return _plain([value.func, value.args, value.keywords])
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        code = _plain_code(value.__code__)
        return {
            "code": code,
            "closure": _plain(cells),
            "to": _plain(value.__defaults__),
        }
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    raise ValueError(
        f"{value!r} of type {type(value).__name__} cannot be told from others of its "
        "kind in another process. Give it a `get_config` of plain values, or take a "
        "function."
    )


def _plain_code(code: types.CodeType) -> list[object]:
    """Returns what a function computes, in plain values."""
    constants = [
        _plain_code(one) if isinstance(one, types.CodeType) else repr(one)
        for one in code.co_consts
    ]
    return [code.co_name, code.co_code.hex(), constants, list(code.co_names)]


@contextlib.contextmanager
def _numbered_anew() -> Iterator[None]:
    """Has Keras number what has no name from the start, as in a new process.

    Paths of weights would else depend on how many models were built before.
    """
    # Keras has no public way but to forget all that it has built.
    from keras.src.backend.common import global_state

    name = "object_name_uids"
    before = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, collections.defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(name, before)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Has initializers without a seed of their own draw by this one.

    Keras takes their seeds from Python's generator.
    """
    before, numpy_before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**_SEED_BITS)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)


def of_arguments(
    build_model: Callable[[], keras.Model],
    data: object,
    *,
    test_data: object,
    optimizer: object,
    loss: object,
    metrics: Sequence[object],
    batch_size: int,
    unpruned: Sequence[str] | None,
) -> Problem:
    """Returns the problem that the arguments of a public function state."""
    return Problem(
        build_model,
        examples_of(data, called="data"),
        examples_of(test_data, called="test_data"),
        optimizer=optimizer,
        loss=loss,
        metrics=tuple(metrics),
        batch_size=batch_size,
        unpruned=None if unpruned is None else tuple(unpruned),
    )
