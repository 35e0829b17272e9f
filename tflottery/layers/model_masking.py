"""Masks in a model that was built without: layers become masked ones where they stand.

Weights, paths and outputs stay as they are, whether the model is Sequential, functional
or a class of its own that keeps layers as attributes. A layer that is made of others,
such as MultiHeadAttention or a model of a class of its own, is saved as what it was,
and masked again when it is loaded.
"""

import functools
from collections.abc import Iterable

import keras

from tflottery.layers import kernel_masks, masked
from tflottery.layers.dropout import Dropout
from tflottery.layers.normalization import BatchNormalization

# Keras's classes of the layers that stand in for them, without the masked ones.
_PLAIN_CLASSES = {
    BatchNormalization: keras.layers.BatchNormalization,
    Dropout: keras.layers.Dropout,
}
# In the configuration of a layer of masked ones: what it was, and which inside of it
# have matrices without masks.
_ORIGINAL, _UNMASKED = "original", "unmasked"


def mask(model: keras.Model, *, unpruned: Iterable[str] = ()) -> keras.Model:
    """Returns the model itself, with masks in its layers: all ones, outputs the same.

    Masked are the kernels of Dense, EinsumDense (so attention too) and of convolutions,
    transposed, depthwise and separable ones included. `layers.masks` and `set_masks`
    read and set them by path; pruned weights stay 0.0 in `fit`. Saved and loaded as any
    model: `.keras` after `import tflottery.layers`, `.weights.h5` into a model masked
    likewise.

    Args:
      model: built, of any class; the whole of what is trained, since a compiled model
        that contains it goes on as it was traced.
      unpruned: what to leave as it is: names or paths of layers, with all inside them,
        or paths of single weights that a layer has beside those inside it.

    Changes: the model's layers. It is traced anew if it was compiled.

    Raises:
      ValueError: it is no model; it or a layer that would be masked is not built; or a
        layer cannot be masked and is not in `unpruned`: one of another class with a
        weight of two axes or more, which is named, or one with LoRA or quantized.
        Nothing is changed then.
    """
    if isinstance(unpruned, str):
        raise ValueError(f"unpruned={unpruned!r}, expected a list of names.")
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(f"model is {model!r}, expected a keras.Model that is built.")
    names = frozenset(unpruned)
    every = _every(model)
    left = {
        id(one)
        for layer in every
        if {layer.name, layer.path} & names
        for one in _every(layer)
    }
    _validate(model, [one for one in every if id(one) not in left], names)
    _mask(every, left)
    if isinstance(model, keras.Model):
        model.train_function = model.test_function = model.predict_function = None
    return model


def unmask(model: keras.Model) -> keras.Model:
    """Returns the model itself, of Keras's layers alone: masks multiplied in, and gone.

    Outputs stay the same, up to rounding in batch norm. It is saved and opened without
    this package; weights that were pruned are zeros like any others.

    Args:
      model: built, of any class.

    Changes: the model's layers. It is traced anew if it was compiled.

    Raises:
      ValueError: a layer is of a class of somebody's own that masks kernels. Nothing is
        changed then.
    """
    plain = {ours: base for base, ours in masked.MASKED_CLASSES.items()}
    found = _every(model)
    for layer in found:
        if masked.is_masked(layer) and type(layer) not in plain:
            raise ValueError(
                f"Layer {layer.name!r} of class {type(layer).__name__} masks kernels "
                "in a way of its own, and cannot be made a layer of Keras's."
            )
    for layer in found:
        if type(layer) in plain:
            kernel_masks.remove_masks(layer)
            layer.__class__ = plain[type(layer)]
        elif hasattr(type(layer), "unmasked_class"):
            layer.__class__ = type(layer).unmasked_class
        elif type(layer) in _PLAIN_CLASSES:
            layer.__class__ = _PLAIN_CLASSES[type(layer)]
    if isinstance(model, keras.Model):
        model.train_function = model.test_function = model.predict_function = None
    return model


def _every(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a layer and all inside it, each once, in an order that is no names'."""
    # Keras has no public way to the layers inside composite layers.
    return layer._flatten_layers(include_self=True, recursive=True)


def _validate(
    model: keras.Model, found: list[keras.layers.Layer], names: frozenset[str]
) -> None:
    """Raises ValueError for what cannot be masked, or is not there.

    Args:
      model: that all is in.
      found: the layers that are not left as they are.
      names: of layers and weights that are.
    """
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built, so it has no kernels to mask. Begin "
            "it with a keras.Input, or call it on a batch first."
        )
    every = _every(model)
    known = {name for layer in every for name in (layer.name, layer.path)}
    known |= {one.path for layer in every for one in _own_matrices(layer)}
    if unknown := sorted(names - known):
        raise ValueError(
            f"unpruned names layers that model {model.name!r} does not have: {unknown}."
            f" It has {sorted(layer.path or layer.name for layer in every)}."
        )
    maskable = [one for one in found if type(one) in masked.MASKED_CLASSES]
    unbuilt = [one.name for one in maskable if not one.built]
    if unbuilt:
        raise ValueError(
            f"Layers of model {model.name!r} are not built, so they have no kernels to "
            f"mask: {unbuilt}. Call the model on a batch that they take part in, or "
            "name them in unpruned."
        )
    if names and not maskable and not any(map(masked.is_masked, found)):
        raise ValueError(
            f"unpruned={sorted(names)} leaves nothing of model {model.name!r} to mask. "
            "Name weights or layers further inside."
        )
    changed = [one.path for one in maskable if _is_no_kernel(one)]
    if changed:
        raise ValueError(
            f"Layers {changed} of model {model.name!r} have LoRA or are quantized, so "
            "that their kernels are no plain variables: mask models before that, or "
            "name them in unpruned."
        )
    _refuse_unmaskable(model, found, names)


def _refuse_unmaskable(
    model: keras.Model, found: list[keras.layers.Layer], names: frozenset[str]
) -> None:
    """Raises ValueError for layers with matrices that nobody knows how to mask."""
    bare = {}
    for layer in found:
        if type(layer) not in masked.MASKED_CLASSES and not masked.is_masked(layer):
            own = [one for one in _own_matrices(layer) if one.path not in names]
            if own:
                bare[layer] = own
    if not bare:
        return
    told = {
        layer.path: ", ".join([type(layer).__name__, *(one.name for one in own)])
        for layer, own in bare.items()
    }
    advice = []
    for layer, own in bare.items():
        # By the name of a layer all inside it would go without masks, too.
        alone = len(_every(layer)) == 1
        advice += [layer.path] if alone else [one.path for one in own]
    raise ValueError(
        f"Layers of model {model.name!r} that cannot be masked: {told}. Masked are "
        f"{sorted(one.__name__ for one in masked.MASKED_CLASSES)}, and what is made of "
        f"these. To leave the others as they are, say so: unpruned={sorted(advice)}."
    )


def _own_matrices(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a layer's own weights of two axes or more, which are trained."""
    # Without those of layers inside it; Keras has no public way.
    return [one for one in layer._trainable_variables if len(one.shape) > 1]


def _is_no_kernel(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer computes with something else than its kernel."""
    has_lora = getattr(layer, "lora_enabled", False)
    return bool(has_lora or getattr(layer, "quantization_mode", None))


def _mask(every: list[keras.layers.Layer], left: set[int]) -> None:
    """Masks layers, but for those with the ids `left`."""
    for layer in every:
        if type(layer) in masked.MASKED_CLASSES and id(layer) not in left:
            _mask_layer(layer)
    for layer in every:
        if _is_composite(layer) and masked.masked_layers(layer):
            layer.__class__ = _composite_class(type(layer))


def _mask_layer(layer: keras.layers.Layer) -> None:
    """Makes a built layer the masked one of its class, masks all ones."""
    layer.__class__ = masked.MASKED_CLASSES[type(layer)]
    # Keras locks the state of built layers, and has no public way to unlock it.
    layer._tracker.unlock()
    with layer._open_name_scope():
        kernel_masks.add_masks(layer)
    layer._lock_state()


def _is_composite(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer is made of others in code, which Keras does not save.

    Sequential and functional models are saved layer by layer.
    """
    is_of_keras = type(layer).__module__.split(".")[0] == "keras"
    is_graph = is_of_keras and hasattr(layer, "operations")
    has_layers = bool(layer._flatten_layers(include_self=False, recursive=False))
    return has_layers and not is_graph and not hasattr(type(layer), "unmasked_class")


@functools.cache
def _composite_class(base: type) -> type:
    """Returns a class like `base` that is saved as such, and masked when loaded."""

    def get_config(self: keras.layers.Layer) -> dict[str, object]:
        # Keras asks the class for what it is made of, whether it says so or not.
        made = type(self)
        self.__class__ = base
        try:
            original = keras.saving.serialize_keras_object(self)
        finally:
            self.__class__ = made
        original.pop("compile_config", None)
        # By place: made anew, layers have other names, unless they were given some.
        unmasked = [
            place
            for place, one in enumerate(_every(self))
            if type(one) in masked.MASKED_CLASSES
        ]
        return {_ORIGINAL: original, _UNMASKED: unmasked}

    body = {
        "__module__": __name__,
        "unmasked_class": base,
        "get_config": get_config,
        # It stands in the configuration, as what it was.
        "get_build_config": lambda self: None,
        "from_config": classmethod(_from_config),
    }
    made = type(f"Masked{base.__name__}", (base,), body)
    return keras.saving.register_keras_serializable("tflottery", "Masked")(made)


def _from_config(
    cls: type, config: dict[str, object], custom_objects: dict | None = None
) -> keras.layers.Layer:
    """Returns the layer of a configuration, of whatever class it was, masked."""
    original = keras.saving.deserialize_keras_object(
        config[_ORIGINAL], custom_objects=custom_objects
    )
    every = _every(original)
    if not all(one.built for one in every):
        _build_inner(original, config[_ORIGINAL].get("build_config") or {})
    _mask(every, {id(every[place]) for place in config[_UNMASKED]})
    return original


def _build_inner(layer: keras.layers.Layer, shapes: dict[str, object]) -> None:
    """Builds the layers inside a layer without a `build` of its own: by calling it.

    Keras does so for models alone; masks would come too late for layers that are built
    by the first call.

    Raises:
      ValueError: that fails.
    """
    with layer._open_name_scope():
        if "input_shape" in shapes:
            layer._build_by_run_for_single_pos_arg(shapes["input_shape"])
        elif "shapes_dict" in shapes:
            layer._build_by_run_for_kwargs(shapes["shapes_dict"])
    maskable = [one for one in _every(layer) if type(one) in masked.MASKED_CLASSES]
    unbuilt = [one.name for one in maskable if not one.built]
    if unbuilt:
        raise ValueError(
            f"Layers {unbuilt} inside of {layer.name!r} cannot be built before it is "
            f"called. Give its class {type(layer).__name__} a `build` that builds them."
        )


# So that a process that has masked no such layer opens saved ones.
_composite_class(keras.layers.MultiHeadAttention)
