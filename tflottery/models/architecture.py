"""What a network computes, as a fingerprint: it tells networks apart in keys.

Keras describes a network by configurations that change between its releases and hold
what changes nothing, such as initializers. Here a network is a list of our own: its
layers, each with the options that decide what it computes, whether it is trained, its
dtypes and its weights; and how they are connected.

A layer of a class that is not in the table below enters with its whole `get_config` and
the class's path, those of layers inside it too. Code itself is known by its name alone:
whoever changes what a layer or function of their own computes gives it another name, or
a registered one (`keras.saving.register_keras_serializable`) that counts versions.
"""

import functools
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core import fingerprints

if TYPE_CHECKING:
    import keras

_CONVOLUTION = (
    *("filters", "kernel_size", "strides", "padding", "data_format"),
    *("dilation_rate", "groups", "activation", "use_bias"),
)
_POOL = ("pool_size", "strides", "padding", "data_format")
_NORMALIZATION = ("axis", "momentum", "epsilon", "center", "scale", "synchronized")
_DENSE = ("units", "activation", "use_bias")
# The options that decide what a layer computes, by kind of layer. One that is off
# (None, False) or that a release of Keras does not know is left out.
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "keras>Activation": ("activation",),
    "keras>Add": (),
    "keras>AveragePooling2D": _POOL,
    "keras>BatchNormalization": _NORMALIZATION,
    "keras>Concatenate": ("axis",),
    "keras>Conv2D": _CONVOLUTION,
    "keras>Dense": _DENSE,
    "keras>Dropout": ("rate", "noise_shape"),
    "keras>Flatten": ("data_format",),
    "keras>GlobalAveragePooling2D": ("data_format", "keepdims"),
    "keras>GlobalMaxPooling2D": ("data_format", "keepdims"),
    "keras>InputLayer": ("batch_shape",),
    "keras>MaxPooling2D": _POOL,
    "keras>ReLU": ("max_value", "negative_slope", "threshold"),
    "keras>SpatialDropout2D": ("rate", "data_format"),
    "keras>ZeroPadding2D": ("padding", "data_format"),
    "tflottery>BatchNormalization": _NORMALIZATION,
    "tflottery>Dropout": ("rate", "noise_shape"),
    "tflottery>MaskedConv2D": _CONVOLUTION,
    "tflottery>MaskedDense": _DENSE,
}
# Of a layer: in which it computes, and in which its variables are.
_DTYPES = "dtypes"
# Of a layer's whole configuration, what is told apart from it or changes nothing: the
# package draws initial values itself.
_APART = ("name", "trainable", "dtype", "build_config", "module")

# What a spawned process calls the program that its parent calls by the other name.
_MAIN = {"__mp_main__": "__main__"}


def architecture(model: "keras.Model", *, compute_dtype: str | None = None) -> str:
    """Returns the fingerprint of a built model: 16 hexadecimal digits.

    Names of layers count where they are part of a weight's path; Keras numbers the
    others anew in each process.

    Args:
      model: which one.
      compute_dtype: in which layers count as computing; None: their own.

    Raises:
      ValueError: a layer cannot say what it is made of.
    """
    from tflottery import layers

    masks = {id(one.mask) for one in layers.masked_kernels(model)}
    found = _layer(model, masks)
    if compute_dtype is not None:
        found = _computing_in(compute_dtype, found)
    return fingerprints.fingerprint(found, length=16)


def is_known(model: "keras.Model") -> bool:
    """Returns whether all layers of a model are of classes that the table describes."""
    # Keras has no public way to the layers inside composite layers.
    parts = model._flatten_layers(include_self=False, recursive=True)
    return graph_of(model) is not None and all(map(_is_described, parts))


def _computing_in(dtype: str, found: object) -> object:
    """Returns what a layer is made of, with another dtype in which it computes."""
    if isinstance(found, list):
        return [_computing_in(dtype, one) for one in found]
    if not isinstance(found, dict):
        return found
    return {
        name: [dtype, value[1]] if name == _DTYPES else _computing_in(dtype, value)
        for name, value in found.items()
    }


def _layer(layer: object, masks: set[int]) -> dict[str, object]:
    """Returns what a layer, a model or an operation without weights is made of.

    Args:
      layer: built.
      masks: ids of the variables that are masks, which are no part of a network.
    """
    import keras

    if not isinstance(layer, keras.layers.Layer):
        return {"kind": f"operation {kind(layer)}", "options": _whole_config(layer)}
    found = {
        "kind": kind(layer),
        "trainable": bool(layer.trainable),
        _DTYPES: [layer.compute_dtype, layer.variable_dtype],
    }
    if graph_of(layer) is not None:
        return found | _connected(graph_of(layer), masks)
    found["weights"] = [_weight(one) for one in layer.weights if id(one) not in masks]
    if _is_described(layer):
        return found | {"options": _described_options(layer)}
    parts = layer._flatten_layers(include_self=False, recursive=False)
    return found | {
        "options": _whole_config(layer),
        "parts": [_layer(part, masks) for part in parts],
    }


def graph_of(layer: object) -> object | None:
    """Returns the functional form of a model; None of what is just code."""
    layer = getattr(layer, "_functional", layer)
    return layer if hasattr(layer, "operations") else None


def _connected(graph: object, masks: set[int]) -> dict[str, object]:
    """Returns the layers of a functional model and how they are connected."""
    nodes = calls_of(graph)
    # Not in Keras's order of the layers, which another release may change.
    operations = {id(node.operation): node.operation for node in nodes}
    numbers = {one: number for number, one in enumerate(operations)}
    calls = {id(node): call for call, node in enumerate(nodes)}

    def reference(tensor: "keras.KerasTensor") -> dict[str, object]:
        call = calls[id(_maker(tensor))]
        return {"call": call, "output": tensor._keras_history.tensor_index}

    return {
        "layers": [_layer(one, masks) for one in operations.values()],
        "calls": [
            {
                "layer": numbers[id(node.operation)],
                **_arguments(node, reference),
            }
            for node in nodes
        ],
        "inputs": [reference(tensor) for tensor in graph.inputs],
        "outputs": [reference(tensor) for tensor in graph.outputs],
    }


def _arguments(node: object, reference: object) -> dict[str, object]:
    """Returns what a layer or operation is called with, symbolic tensors by reference.

    Raises:
      ValueError: with something that cannot be told again.
    """
    given = {k: v for k, v in node.arguments.kwargs.items() if v is not None}
    try:
        return {
            "args": _plain(node.arguments.args, reference),
            "kwargs": {name: _plain(one, reference) for name, one in given.items()},
        }
    except TypeError as error:
        raise ValueError(
            f"{node.operation.name!r} of class {_path(type(node.operation))} is called "
            f"with what could not be told apart in another process ({error}). Call it "
            "inside of a layer of your own."
        ) from error


def calls_of(graph: object) -> list[object]:
    """Returns the calls that lead to a model's outputs, each after those it needs."""
    found: dict[int, object] = {}
    inputs = {id(tensor) for tensor in graph.inputs}
    waiting = [_maker(tensor) for tensor in reversed([*graph.inputs, *graph.outputs])]
    while waiting:
        node = waiting[-1]
        # What lies before a model's inputs is not the model.
        own = (
            [] if any(id(one) in inputs for one in node.outputs) else node.input_tensors
        )
        lacking = [one for one in map(_maker, own) if id(one) not in found]
        if lacking:
            waiting += reversed(lacking)
        else:
            found.setdefault(id(node), node)
            waiting.pop()
    return list(found.values())


def _maker(tensor: "keras.KerasTensor") -> object:
    """Returns the call that made a symbolic tensor. Keras has no public way to it."""
    operation, node_index, _ = tensor._keras_history
    return operation._inbound_nodes[node_index]


def _described_options(layer: "keras.layers.Layer") -> dict[str, object]:
    """Returns the options of a layer that the table has, but for those that are off."""
    values = {name: getattr(layer, name, None) for name in _OPTIONS[kind(layer)]}
    return {
        name: _plain(value)
        for name, value in values.items()
        if value is not None and value is not False
    }


def _is_described(layer: object) -> bool:
    """Returns whether the table has all options of a layer."""
    # Batch renormalization has options that not every release of Keras knows.
    return kind(layer) in _OPTIONS and not getattr(layer, "renorm", False)


def _weight(variable: "keras.Variable") -> dict[str, object]:
    """Returns what a variable is, but for its values."""
    from tflottery import layers

    return {
        "path": variable.path,
        "shape": list(variable.shape),
        "dtype": variable.dtype,
        "trainable": bool(variable.trainable),
        "constraint": _plain(layers.own_constraint(variable)),
    }


def kind(one: object) -> str:
    """Returns the name of an object's class that outlives releases of Keras."""
    import keras

    registered = keras.saving.get_registered_name(type(one))
    return registered if ">" in registered else _path(type(one))


def _path(code: object) -> str:
    """Returns the name of a class or function: Keras moves its own between modules."""
    module = code.__module__.split(".")[0]
    module = module if module == "keras" else code.__module__
    return f"{_MAIN.get(module, module)}>{code.__qualname__}"


def _whole_config(layer: object) -> object:
    """Returns the configuration of a layer or operation of a class not in the table."""
    try:
        return _plain(layer.get_config())
    except (NotImplementedError, TypeError) as error:
        why = str(error).strip().splitlines()[0]
        raise ValueError(
            f"Layer {layer.name!r} of class {_path(type(layer))} cannot say what it is "
            f"made of ({why}), so that networks with it could not be told apart. Give "
            "the class a `get_config` of plain values."
        ) from error


def _plain(value: object, reference: object = None) -> object:
    """Returns plain values that stand for those of a configuration or a call.

    Args:
      value: what to stand for.
      reference: returns what stands for a symbolic tensor.

    Raises:
      TypeError: there is nothing that would be the same in every process.
    """
    import keras

    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        # 1 and 1.0 compute the same.
        return int(value) if value == value // 1 else float(value)
    within = functools.partial(_plain, reference=reference)
    if isinstance(value, list | tuple):
        return [within(one) for one in value]
    if isinstance(value, Mapping):
        return {
            str(name): within(one)
            for name, one in value.items()
            if name not in _APART and not str(name).endswith("_initializer")
        }
    if isinstance(value, keras.KerasTensor) and reference is not None:
        return reference(value)
    if isinstance(value, slice):
        return {"slice": within([value.start, value.stop, value.step])}
    if value is Ellipsis:
        return {"slice": "..."}
    if isinstance(value, keras.Variable) or keras.ops.is_tensor(value):
        # A constant: what a model trains is a weight of one of its layers.
        value = keras.ops.convert_to_numpy(value)
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value)).hexdigest()
        return {"array": digest, "shape": list(value.shape), "dtype": str(value.dtype)}
    if hasattr(value, "get_config"):
        return {"kind": kind(value), "options": _plain(value.get_config())}
    if callable(value) and hasattr(value, "__qualname__"):
        return _path(value)
    raise TypeError(f"{value!r} of type {type(value).__name__} is no plain value")
