"""What is exported: a network of Keras's own layers, and what is known of it."""

import dataclasses
import functools

import keras
import numpy as np

from tflottery.models.weights import Weights
from tflottery.pruning import masks as pruning_masks
from tflottery.pruning.masks import Masks

# Exported and measured outputs may differ by rounding: this part of the largest.
TOLERANCE = 1e-4
_SEED = 0
_NUM_MADE = 16


class ExportError(ValueError):
    """What was exported is not what was measured; it was not kept."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExportedNetwork:
    """A network to be exported.

    Attributes:
      name: for its files.
      model: of Keras's own layers, without masks; pruned weights are 0.0.
      examples: inputs of it, an array or arrays as the model takes them.
      expected: the outputs on these of the network that this one stands for, masks and
        all, as the package measures it.
      masks: 0 or 1 by the path of the kernel; {} where nothing was pruned.
      rewound: the weights that its training began from, pruned ones 0.0, by path; None
        where they are not known.
      flops: multiplications and additions an example takes, by the path of the kernel;
        None where one's are not known.
      description: all else that is known, in plain values.
    """

    name: str
    model: keras.Model
    examples: object
    expected: object
    masks: Masks
    rewound: Weights | None
    flops: dict[str, int | None]
    description: dict[str, object]

    @functools.cached_property
    def weights(self) -> Weights:
        """The weights by path, in the model's order."""
        return {one.path: _array(one) for one in self.model.weights}

    @property
    def num_examples(self) -> int:
        """How many examples are compared."""
        return len(keras.tree.flatten(self.examples)[0])

    def difference(self, outputs: object) -> float:
        """Returns by how much some outputs differ from those expected, at most.

        Raises:
          ExportError: by more than rounding.
        """
        found, expected = map(keras.tree.flatten, (outputs, self.expected))
        found = [np.asarray(one, np.float64) for one in found]
        expected = [np.asarray(one, np.float64) for one in expected]
        shapes = [[one.shape for one in some] for some in (found, expected)]
        if shapes[0] != shapes[1]:
            raise ExportError(
                f"Its outputs have shapes {shapes[0]}, those of the network "
                f"{shapes[1]}."
            )
        pairs = list(zip(found, expected, strict=True))
        difference = max(float(np.abs(a - b).max()) for a, b in pairs)
        largest = max(1.0, max(float(np.abs(one).max()) for one in expected))
        # Also where one of them is not a number.
        if not difference <= TOLERANCE * largest:
            raise ExportError(
                f"Its outputs differ from those of the network by {difference:.3g}, "
                f"and the largest of these is {largest:.3g}: more than rounding."
            )
        return difference


def density_described(masks: Masks) -> dict[str, object]:
    """Returns how many weights are left, as descriptions have it."""
    # Without masks a network is dense.
    if not masks:
        return {"density": 1.0, "num_prunable": None, "num_survivors": None}
    size, kept = sum(one.size for one in masks.values()), pruning_masks.num_ones(masks)
    return {"density": kept / size, "num_prunable": size, "num_survivors": kept}


def outputs_of(model: keras.Model, examples: object) -> object:
    """Returns a model's outputs as arrays."""
    return keras.tree.map_structure(_array, model(examples, training=False))


def _array(value: object) -> np.ndarray:
    """Returns a value as an array; bfloat16, which files do not have, as float32."""
    found = np.asarray(value)
    return found.astype(np.float32) if found.dtype.name == "bfloat16" else found


def input_of(model: keras.Model) -> object:
    """Returns what a model that is a graph takes, symbolic, as it takes it."""
    # What Sequential itself says of its input is missing once it was loaded.
    return getattr(model, "_functional", model).input


def input_names(model: keras.Model) -> list[str]:
    """Returns the names of a model's inputs, in the order of its flat inputs.

    Of a model that is code there are none.
    """
    if getattr(model, "inputs", None) is None:
        return []
    return [one.name for one in keras.tree.flatten(input_of(model))]


def first_line(error: Exception) -> str:
    """Returns the beginning of what a framework's error says, or else its kind."""
    told = str(error).strip().splitlines() or [type(error).__name__]
    return told[0][:300]


def renamed(
    arrays: dict[str, np.ndarray], before: list[str], after: list[str]
) -> dict[str, np.ndarray]:
    """Returns arrays by path, the paths of one model being those of another.

    Args:
      arrays: by some of the paths before.
      before: of all weights of the one model, in its order.
      after: of the other's.
    """
    names = dict(zip(before, after, strict=True))
    return {names[path]: value for path, value in arrays.items()}


def made_examples(model: keras.Model) -> object:
    """Returns inputs that a model takes: numbers drawn at random.

    Raises:
      ValueError: the model does not say what it takes, or takes text.
    """
    if getattr(model, "inputs", None) is None:
        raise ValueError(
            f"Model {model.name!r} does not say what it takes, so that nothing can be "
            "compared. Give some inputs with --examples=FILE.npy."
        )
    generator = np.random.default_rng(_SEED)
    sizes = [
        layer.input_dim
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Embedding)
    ]

    def made(tensor: keras.KerasTensor) -> np.ndarray:
        shape = (_NUM_MADE, *(size or 8 for size in tensor.shape[1:]))
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if dtype == "string":
            raise ValueError(
                f"Model {model.name!r} takes text. Give some with --examples=FILE.npy."
            )
        # Whole numbers as floats may be looked up as well.
        if sizes or "int" in dtype:
            return generator.integers(0, min(sizes, default=2), shape).astype(dtype)
        return generator.standard_normal(shape).astype(dtype)

    return keras.tree.map_structure(made, input_of(model))
