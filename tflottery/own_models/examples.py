"""A user's data as arrays in memory, and the batches that updates are made of."""

import hashlib

import keras
import numpy as np
import tensorflow as tf

from tflottery.core import seeds

# Inputs, targets and perhaps weights of examples, each an array or arrays by name.
Examples = tuple[object, ...]


def examples_of(data: object, *, called: str) -> Examples:
    """Returns the examples of a data set as arrays in memory.

    Args:
      data: (inputs, targets) or (inputs, targets, weights), each an array or arrays by
        name; or a finite tf.data.Dataset of batches of these, in the same order each
        time. It is read once, and its beginning twice.
      called: what the argument is called, for messages.

    Raises:
      ValueError: they are no examples of one number.
    """
    if hasattr(data, "as_numpy_iterator"):
        data = _concatenated(data, called=called)
    if isinstance(data, tuple | list) and len(data) == 3 and data[2] is None:
        data = data[:2]
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


def num_examples(examples: Examples) -> int:
    """Returns how many examples there are."""
    return len(keras.tree.flatten(examples)[0])


def refuse_other_axes(train: Examples, test: Examples) -> None:
    """Raises ValueError if targets to measure on have other axes than those trained on.

    Keras takes targets of (n,) and of (n, 1) each by itself, and not one after another.
    """
    measured = dict(keras.tree.flatten_with_path(test[1]))
    for path, one in keras.tree.flatten_with_path(train[1]):
        other = measured.get(path, one)
        if other.ndim != one.ndim:
            name = "".join(f" {key!r}" for key in path)
            raise ValueError(
                f"Targets{name} of data have the shape {one.shape}, those of test_data "
                f"{other.shape}: expected as many axes. Of (n,) y[:, None] makes "
                "(n, 1), and of that y[:, 0] makes (n,)."
            )


def first(examples: Examples, number: int) -> Examples:
    """Returns the first of some examples."""
    return keras.tree.map_structure(lambda one: one[:number], examples)


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


def digest_of(tree: object) -> str:
    """Returns what stands for all arrays of a tree, their order and names."""
    digest = hashlib.sha256()
    for path, array in keras.tree.flatten_with_path(tree):
        digest.update(f"{path} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def num_not_finite(examples: Examples) -> int:
    """Returns how many values of the examples are NaN or infinite."""
    return sum(
        int(np.count_nonzero(~np.isfinite(one)))
        for one in keras.tree.flatten(examples)
        if np.issubdtype(one.dtype, np.inexact)
    )


def _concatenated(data: tf.data.Dataset, *, called: str) -> object:
    """Returns the batches of a data set as one.

    Raises:
      ValueError: it has no end, no batches, or batches of different shapes; or it is
        another one each time.
    """
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"{called} is a data set without end, and is to be held in memory: leave "
            "out its `repeat`."
        )
    batches = list(data.as_numpy_iterator())
    if not batches:
        raise ValueError(f"{called} is an empty data set.")
    shapes = {tuple(map(np.shape, keras.tree.flatten(one))) for one in batches}
    if () in next(iter(shapes)) or len({_of_one(one) for one in shapes}) > 1:
        raise ValueError(
            f"{called} is a data set of {data.element_spec}, expected one of batches "
            "whose examples have one shape: call its `batch`, after padding what is "
            "not as long."
        )
    before, again = (
        digest_of(keras.tree.map_structure(_array, one))
        for one in (batches[0], next(data.as_numpy_iterator(), batches[0]))
    )
    if before != again:
        raise ValueError(
            f"{called} is a data set that is another one each time it is read, so that "
            "a second call would find nothing of what the first one trained. Leave out "
            "its `shuffle` (trainings shuffle by themselves) and what it draws at "
            "random: layers of the model do that."
        )
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)


def _of_one(shapes: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Returns the shapes of one example, from those of a batch."""
    return tuple(shape[1:] for shape in shapes)


def _array(values: object) -> np.ndarray:
    """Returns an array of examples; of double precision only where Keras has it so."""
    array = np.asarray(values)
    if array.dtype == np.float64:
        array = array.astype(keras.config.floatx())
    # Text of a tf.data.Dataset, say.
    for kind in (bytes, str):
        if array.dtype == object and all(isinstance(one, kind) for one in array.flat):
            array = array.astype(kind)
    if array.dtype == object or not array.ndim:
        raise ValueError(
            f"Examples came as {array.dtype} of shape {array.shape}: expected arrays "
            "of numbers or text, [examples, ...]. A list is taken for several arrays: "
            "np.array(...) makes one of it."
        )
    return array
