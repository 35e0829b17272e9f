"""Masks in a model that was built without: layers become masked ones where they stand.

Weights, paths and outputs stay as they are, whether the model is Sequential, functional
or a class of its own that keeps layers as attributes. A layer that is made of others,
such as MultiHeadAttention or a model of a class of its own, is saved as what it was,
and masked again when it is loaded.
"""

import functools
from collections.abc import Iterable, Iterator

import keras

from tflottery.layers import kernel_masks, masked
from tflottery.layers.dropout import Dropout
from tflottery.layers.normalization import BatchNormalization

# Keras's classes of the layers that stand in for them, without the masked ones.
_PLAIN_CLASSES = {
    BatchNormalization: keras.layers.BatchNormalization,
    Dropout: keras.layers.Dropout,
}
# In the configuration of a layer of masked ones.
_ORIGINAL, _UNPRUNED = "original", "unpruned"


def mask(model: keras.Model, *, unpruned: Iterable[str] = ()) -> keras.Model:
    """Returns the model itself, with masks in its layers: all ones, outputs the same.

    Masked are the kernels of Dense, EinsumDense (so attention too) and of convolutions,
    transposed, depthwise and separable ones included. `layers.masks` and `set_masks`
    read and set them by path; pruned weights stay 0.0 in `fit`. Saved and loaded as any
    model: `.keras` after `import tflottery.layers`, `.weights.h5` into a model masked
    likewise.

    Args:
      model: built, of any class.
      unpruned: names or paths of layers to leave as they are, with all inside them.

    Changes: the model's layers. It is traced anew if it was compiled.

    Raises:
      ValueError: the model or a layer that would be masked is not built, or a layer
        cannot be masked and is not in `unpruned`: one of another class with a weight of
        two axes or more, which is named. Nothing is changed then.
    """
    unpruned = tuple(unpruned)
    found = list(_layers(model, unpruned))
    _validate(model, found, unpruned)
    for layer in found:
        if type(layer) in masked.MASKED_CLASSES:
            _mask_layer(layer)
    # Inner ones first, so that an outer one is saved with masked layers in it.
    for layer in reversed(found):
        if _is_composite(layer) and masked.masked_layers(layer):
            layer.__class__ = _composite_class(type(layer))
            layer._unpruned = _places(layer, unpruned)
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
    found = list(model._flatten_layers(include_self=True, recursive=True))
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


def _layers(
    layer: keras.layers.Layer, unpruned: tuple[str, ...], seen: set[int] | None = None
) -> Iterator[keras.layers.Layer]:
    """Yields a layer and those inside it, each once, without those left unpruned."""
    seen = set() if seen is None else seen
    if id(layer) in seen or {layer.name, layer.path} & set(unpruned):
        return
    seen.add(id(layer))
    yield layer
    # Keras has no public way to the layers inside composite layers.
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        yield from _layers(inner, unpruned, seen)


def _inner(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns all layers inside a layer, in an order that does not go by names."""
    return list(layer._flatten_layers(include_self=False, recursive=True))


def _places(layer: keras.layers.Layer, names: Iterable[str]) -> tuple[int, ...]:
    """Returns which of the layers inside a layer are named.

    Made anew, they have other names, unless their author gave them one.
    """
    return tuple(
        place
        for place, one in enumerate(_inner(layer))
        if {one.name, one.path} & set(names)
    )


def _validate(
    model: keras.Model, found: list[keras.layers.Layer], unpruned: tuple[str, ...]
) -> None:
    """Raises ValueError for what cannot be masked, or is not there."""
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built, so it has no kernels to mask. Begin "
            "it with a keras.Input, or call it on a batch first."
        )
    every = model._flatten_layers(include_self=True, recursive=True)
    names = {name for layer in every for name in (layer.name, layer.path)}
    if unknown := sorted(set(unpruned) - names):
        raise ValueError(
            f"unpruned names layers that model {model.name!r} does not have: {unknown}."
            f" It has {sorted(layer.path or layer.name for layer in every)}."
        )
    unbuilt = [one for one in found if type(one) in masked.MASKED_CLASSES]
    unbuilt = [one.name for one in unbuilt if not one.built]
    if unbuilt:
        raise ValueError(
            f"Layers of model {model.name!r} are not built, so they have no kernels to "
            f"mask: {unbuilt}. Call the model on a batch that they take part in, or "
            "name them in unpruned."
        )
    bare = {one.path: _unmaskable(one) for one in found if _unmaskable(one)}
    if bare:
        maskable = sorted(one.__name__ for one in masked.MASKED_CLASSES)
        raise ValueError(
            f"Layers of model {model.name!r} that cannot be masked: {bare}. Masked are "
            f"{maskable}, and what is made of these. To leave the others as they are, "
            f"say so: unpruned={sorted(bare)}."
        )


def _unmaskable(layer: keras.layers.Layer) -> str:
    """Returns the class and weights of a layer that has unmasked matrices, or ""."""
    if type(layer) in masked.MASKED_CLASSES or masked.is_masked(layer):
        return ""
    # The layer's own, without those of layers inside it; Keras has no public way.
    own = [one.name for one in layer._trainable_variables if len(one.shape) > 1]
    return f"{type(layer).__name__}, {', '.join(own)}" if own else ""


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
        return {_ORIGINAL: original, _UNPRUNED: list(self._unpruned)}

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
    inner = _inner(original)
    return mask(original, unpruned=[inner[place].path for place in config[_UNPRUNED]])


# So that a process that has masked no such layer opens saved ones.
_composite_class(keras.layers.MultiHeadAttention)
