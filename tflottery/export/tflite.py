"""TFLite: models for phones and small devices, of which zeros need not be kept.

`from_concrete_functions` on a Keras 3 model silently makes one that answers NaN, and
`SPARSITY` together with `DEFAULT` one that XNNPACK does not run: neither is used.
"""

import contextlib
import dataclasses
import importlib.util
import pathlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np

from tflottery.export.networks import first_line

_LITERT = "ai_edge_litert"
_INSTALL = "pip install tflottery[export]"


class UnsupportedNetwork(ValueError):
    """TFLite has no form of a network, or nothing here runs the one that it has."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network as TFLite.

    Attributes:
      data: the file.
      num_dense_bytes: of the file in which zeros are kept like all other weights.
    """

    data: bytes
    num_dense_bytes: int

    @property
    def is_sparse(self) -> bool:
        """Whether zeros are left out of the file."""
        return len(self.data) < self.num_dense_bytes

    @property
    def told(self) -> str:
        """How zeros are kept, in a sentence."""
        if self.is_sparse:
            return (
                f"zeros are left out: {len(self.data):,} bytes against "
                f"{self.num_dense_bytes:,}"
            )
        return "zeros are kept like all other weights, which takes less here"


def converted(model: keras.Model, *, is_sparse: bool) -> Converted:
    """Returns a model as TFLite, the smaller of zeros left out and kept.

    Args:
      model: of Keras's own layers.
      is_sparse: whether zeros may be left out.

    Raises:
      UnsupportedNetwork: TFLite has no form of it.
    """
    with _saved(model) as folder:
        dense = _converted(folder, is_sparse=False)
        sparse = _converted(folder, is_sparse=True) if is_sparse else dense
    return Converted(min(sparse, dense, key=len), len(dense))


@contextlib.contextmanager
def _saved(model: keras.Model) -> Iterator[str]:
    """Gives the folder of a model as TensorFlow saves it.

    The converter's own way from Keras fails for models of several inputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        yield folder


def _converted(folder: str, *, is_sparse: bool) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if is_sparse:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    try:
        return converter.convert()
    # Of which kind depends on where it fails.
    except Exception as error:
        raise UnsupportedNetwork(
            f"TFLite cannot hold this network: {first_line(error)}"
        ) from error


def interpreters() -> dict[str, Callable]:
    """Returns what can run TFLite here, by name.

    Raises:
      ValueError: nothing can.
    """
    import tensorflow as tf

    found = {}
    if hasattr(tf, "lite") and hasattr(tf.lite, "Interpreter"):
        found["TensorFlow Lite"] = tf.lite.Interpreter
    if importlib.util.find_spec(_LITERT):
        from ai_edge_litert import interpreter

        found["LiteRT"] = interpreter.Interpreter
    if not found:
        raise ValueError(f"There is nothing here that runs TFLite: {_INSTALL}.")
    return found


def missing() -> tuple[str, ...]:
    """Returns what was not tried for want of a package, in sentences."""
    if importlib.util.find_spec(_LITERT):
        return ()
    return (f"not tried with LiteRT, which devices run it by: {_INSTALL}",)


def run(
    path: pathlib.Path, examples: object, *, names: Sequence[str] = ()
) -> dict[str, object]:
    """Returns the outputs of a file, by each interpreter there is.

    Args:
      path: of the file.
      examples: inputs as the model takes them, which are run one by one.
      names: of the model's inputs, in their order; none: that of the alphabet.

    Raises:
      UnsupportedNetwork: an interpreter cannot run it.
    """
    data = path.read_bytes()
    return {
        name: _outputs(Runner(interpreter, data, names=names), examples)
        for name, interpreter in interpreters().items()
    }


def _outputs(runner: "Runner", examples: object) -> object:
    """Returns the outputs on examples."""
    flat = keras.tree.flatten(examples)
    each = [runner(*(one[i : i + 1] for one in flat)) for i in range(len(flat[0]))]
    outputs = [np.concatenate(parts) for parts in zip(*each, strict=True)]
    return outputs[0] if len(outputs) == 1 else outputs


class Runner:
    """A TFLite network, run by one thread on an example at a time."""

    def __init__(
        self, interpreter: Callable, data: bytes, *, names: Sequence[str] = ()
    ):
        """Args:
        interpreter: class of the interpreter.
        data: the file.
        names: of the inputs, in the order in which they are given.

        Raises:
          UnsupportedNetwork: the interpreter does not know all its operations.
        """
        with warnings.catch_warnings():
            # TensorFlow's says that it will be LiteRT's one day.
            warnings.simplefilter("ignore", UserWarning)
            self._interpreter = interpreter(model_content=data, num_threads=1)
        self._allocate()
        # The converter changes the order of both.
        signature = self._interpreter.get_signature_runner()
        inputs, outputs = signature.get_input_details(), signature.get_output_details()
        known = set(names) == set(inputs)
        self._inputs = [inputs[name] for name in (names if known else sorted(inputs))]
        self._outputs = [outputs[name] for name in sorted(outputs, key=_by_number)]
        self._shapes = [tuple(one["shape"]) for one in self._inputs]

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Returns the outputs on an example: arrays of [1, ...]."""
        shapes = [one.shape for one in inputs]
        if shapes != self._shapes:
            # Of a length that the network leaves open, the file has 1.
            for detail, shape in zip(self._inputs, shapes, strict=True):
                self._interpreter.resize_tensor_input(detail["index"], shape)
            self._allocate()
            self._shapes = shapes
        for detail, one in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(detail["index"], one)
        self.invoke()
        return [self._interpreter.get_tensor(one["index"]) for one in self._outputs]

    def invoke(self) -> None:
        """Runs it once more on what it was given."""
        self._interpreter.invoke()

    def _allocate(self) -> None:
        try:
            self._interpreter.allocate_tensors()
        except RuntimeError as error:
            raise UnsupportedNetwork(
                f"TFLite cannot run this network: {first_line(error)}"
            ) from error


def _by_number(name: str) -> tuple[str, int]:
    """Returns what puts output_2 before output_10, and other names by the alphabet."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", name).groups()
    return (stem, int(number)) if stem == "output_" and number else (name, 0)
