"""Weights of a model as arrays by variable path: read, assigned, drawn afresh.

They hold the trainable variables and the batch norm statistics; masks are apart
(`layers.masks`).
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core import key_mismatch, seeds
from tflottery.core.initializers import Initializers

if TYPE_CHECKING:
    import keras

Weights = dict[str, np.ndarray]

_DEFAULT = Initializers()
# Initial values of all that is not drawn, by the last part of the path.
_CONSTANTS = {
    "bias": 0.0,
    "beta": 0.0,
    "gamma": 1.0,
    "moving_mean": 0.0,
    "moving_variance": 1.0,
}


def weights(model: "keras.Model") -> Weights:
    """Returns a copy of the model's weights, in the model's order; pruned ones are 0.0.

    Raises:
      ValueError: two variables of the model share a path.
    """
    from tflottery import layers

    values = {path: variable.numpy() for path, variable in _variables(model).items()}
    masked = layers.masked_kernels(model)
    return values | {one.kernel.path: layers.kernel_in_use(one) for one in masked}


def assign(model: "keras.Model", weights: Weights) -> None:
    """Gives every variable of the model its weights; masks stay as they are.

    Changes: the model's weights and batch norm statistics.

    Raises:
      ValueError: paths or shapes are not the model's. Nothing is changed then.
    """
    variables = _variables(model)
    if differing := key_mismatch.differing(weights, expected=variables):
        raise ValueError(
            f"These weights are not those of model {model.name!r}: {differing}."
        )
    for path, variable in variables.items():
        came, expected = np.shape(weights[path]), tuple(variable.shape)
        if came != expected:
            raise ValueError(
                f"The weights of {path!r} have shape {came}; model {model.name!r} has "
                f"{expected} there."
            )
    for path, variable in variables.items():
        # Keras's own `assign` reads the variable again, which takes as long.
        value = np.asarray(weights[path], variable.dtype)
        variable.value.assign(value, read_value=False)


def initial_weights(
    model: "keras.Model", seed: int, initializers: Initializers = _DEFAULT
) -> Weights:
    """Returns fresh weights of a model, as `initial_values` draws them.

    Args:
      model: whose variables to draw for; it is not changed.
      seed: of `core.seeds.init_seed` or the like.
      initializers: what they are drawn from.

    Raises:
      ValueError: a variable is neither a kernel nor a known constant.
    """
    return initial_values(variable_shapes(model), seed, initializers)


def initial_values(
    shapes: Mapping[str, tuple[int, ...]],
    seed: int,
    initializers: Initializers = _DEFAULT,
) -> Weights:
    """Returns fresh weights: a function of the arguments, each path by itself.

    Kernels have mean 0 and `initial_std`. Biases, batch norm's beta and moving mean are
    0, its moving variance is 1; so is its gamma, unless it is drawn from [0, 1).

    Args:
      shapes: of each weight to draw, by variable path.
      seed: of `core.seeds.init_seed` or the like.
      initializers: what kernels and gammas are drawn from.

    Raises:
      ValueError: a path is neither a kernel's nor one of those constants'.
    """
    return {
        path: _initial(path, shape, seed, initializers)
        for path, shape in shapes.items()
    }


def initial_std(shape: tuple[int, ...], initializers: Initializers = _DEFAULT) -> float:
    """Returns the standard deviation of a fresh kernel.

    That is the root of 2 / fan-in for the initializers of He, of 2 / (fan-in + fan-out)
    for those of Glorot. The fan-in is the product of all axes but the last, the fan-out
    that of all but the last but one, as dense and convolution kernels have it (but not
    depthwise ones).

    Args:
      shape: of the kernel, two axes at least.
      initializers: what the kernel is drawn from.

    Raises:
      ValueError: the shape has fewer axes, or one of length 0.
    """
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(
            f"shape={shape!r} is not a kernel's: expected two axes or more, each of "
            "length 1 or more."
        )
    fans = math.prod(shape[:-1])
    if initializers.kernel.startswith("glorot"):
        fans += math.prod(shape[:-2]) * shape[-1]
    return math.sqrt(2.0 / fans)


def variable_shapes(model: "keras.Model") -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the model's weights by path, in the model's order."""
    return {path: tuple(v.shape) for path, v in _variables(model).items()}


def trainable_paths(model: "keras.Model") -> tuple[str, ...]:
    """Returns the paths of what an optimizer changes: no batch norm statistics."""
    return tuple(variable.path for variable in model.trainable_variables)


def _variables(model: "keras.Model") -> dict[str, "keras.Variable"]:
    """Returns the model's variables by path, without masks."""
    from tflottery import layers

    masks = {id(one.mask) for one in layers.masked_kernels(model)}
    variables = [v for v in model.weights if id(v) not in masks]
    paths = Counter(variable.path for variable in variables)
    twice = sorted(path for path, count in paths.items() if count > 1)
    if twice:
        raise ValueError(
            f"Model {model.name!r} has several variables of the same path: {twice}. "
            "Give every layer a name of its own."
        )
    return {variable.path: variable for variable in variables}


def _initial(
    path: str, shape: tuple[int, ...], seed: int, initializers: Initializers
) -> np.ndarray:
    """Returns the initial value of one variable: float32 of `shape`."""
    name = path.rsplit("/", 1)[-1]
    if name == "kernel" and len(shape) > 1:
        std = initial_std(shape, initializers)
        if initializers.kernel.endswith("normal"):
            return seeds.standard_normal(seed, path, shape) * np.float32(std)
        # Uniform in [-limit, limit), whose variance is limit ** 2 / 3.
        centered = 2 * seeds.uniform(seed, path, shape) - 1
        return centered * np.float32(math.sqrt(3.0) * std)
    if name == "gamma" and initializers.batch_norm_scale == "uniform":
        return seeds.uniform(seed, path, shape)
    if name in _CONSTANTS:
        return np.full(shape, _CONSTANTS[name], np.float32)
    raise ValueError(
        f"No initial value is known for variable {path!r} of shape {shape}. Known: "
        f"kernel, {', '.join(_CONSTANTS)}."
    )
