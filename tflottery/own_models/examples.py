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
        name; or a finite tf.data.Dataset of batches of these, which is read once, so
        that it must not shuffle.
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


def _concatenated(data: tf.data.Dataset, *, called: str) -> object:
    """Returns the batches of a data set as one."""
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"{called} is a data set without end, and is to be held in memory: leave "
            "out its `repeat`."
        )
    batches = list(data.as_numpy_iterator())
    if not batches:
        raise ValueError(f"{called} is an empty data set.")
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)


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
            f"Examples came as {array.dtype} of shape {array.shape}: expected numbers "
            "or text, [examples, ...]."
        )
    return array
