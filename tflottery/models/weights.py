"""Weights of a model as arrays by variable path: read, assigned, drawn afresh.

They hold the trainable variables and the batch norm statistics; masks are apart
(`layers.masks`).
"""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from tflottery import layers
from tflottery.core import seeds

if TYPE_CHECKING:
    import keras

Weights = dict[str, np.ndarray]

# Initial values of all that is not a kernel, by the last part of the path.
_CONSTANTS = {
    "bias": 0.0,
    "beta": 0.0,
    "gamma": 1.0,
    "moving_mean": 0.0,
    "moving_variance": 1.0,
}


def weights(model: "keras.Model") -> Weights:
    """Returns a copy of the model's weights, in the model's order.

    Raises:
      ValueError: two variables of the model share a path.
    """
    return {path: variable.numpy() for path, variable in _variables(model).items()}


def assign(model: "keras.Model", weights: Weights) -> None:
    """Gives every variable of the model its weights; masks stay as they are.

    Changes: the model's weights and batch norm statistics.

    Raises:
      ValueError: paths or shapes are not the model's. Nothing is changed then.
    """
    variables = _variables(model)
    missing = sorted(variables.keys() - weights.keys())
    unknown = sorted(weights.keys() - variables.keys())
    if missing or unknown:
        raise ValueError(
            f"These weights are not those of model {model.name!r}: missing {missing}, "
            f"too much {unknown}."
        )
    for path, variable in variables.items():
        came, expected = np.shape(weights[path]), tuple(variable.shape)
        if came != expected:
            raise ValueError(
                f"The weights of {path!r} have shape {came}; model {model.name!r} has "
                f"{expected} there."
            )
    for path, variable in variables.items():
        variable.assign(weights[path])


def initial_weights(model: "keras.Model", seed_: int) -> Weights:
    """Returns fresh weights: a function of the seed, the paths and the shapes alone.

    Kernels are Kaiming normal: mean 0, variance 2 / fan-in, where the fan-in is the
    product of all axes but the last (as dense and convolution kernels have it, but not
    depthwise ones). Biases, batch norm's beta and moving mean are 0,
    its gamma and moving variance 1.

    Args:
      model: whose variables to draw for; it is not changed.
      seed_: of `core.seeds.init_seed` or the like.

    Raises:
      ValueError: a variable is neither a kernel nor one of those constants.
    """
    return {
        path: _initial(path, shape, seed_)
        for path, shape in variable_shapes(model).items()
    }


def variable_shapes(model: "keras.Model") -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the model's weights by path, in the model's order."""
    return {path: tuple(v.shape) for path, v in _variables(model).items()}


def trainable_paths(model: "keras.Model") -> tuple[str, ...]:
    """Returns the paths of what an optimizer changes: no batch norm statistics."""
    return tuple(variable.path for variable in model.trainable_variables)


def _variables(model: "keras.Model") -> dict[str, "keras.Variable"]:
    """Returns the model's variables by path, without masks."""
    masks = {id(layer.mask) for layer in layers.masked_layers(model)}
    variables = [v for v in model.weights if id(v) not in masks]
    paths = Counter(variable.path for variable in variables)
    twice = sorted(path for path, count in paths.items() if count > 1)
    if twice:
        raise ValueError(
            f"Model {model.name!r} has several variables of the same path: {twice}. "
            "Give every layer a name of its own."
        )
    return {variable.path: variable for variable in variables}


def _initial(path: str, shape: tuple[int, ...], seed_: int) -> np.ndarray:
    """Returns the initial value of one variable: float32 of `shape`."""
    name = path.rsplit("/", 1)[-1]
    if name == "kernel" and len(shape) > 1:
        fan_in = int(np.prod(shape[:-1]))
        normal = seeds.standard_normal(seed_, path, shape)
        return normal * np.float32(np.sqrt(2.0 / fan_in))
    if name in _CONSTANTS:
        return np.full(shape, _CONSTANTS[name], np.float32)
    raise ValueError(
        f"No initial value is known for variable {path!r} of shape {shape}. Known: "
        f"kernel, {', '.join(_CONSTANTS)}."
    )
