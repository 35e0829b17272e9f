"""Gradual magnitude pruning by tensorflow-model-optimization, on `tf_keras`.

*To prune, or not to prune* (Zhu and Gupta, 2017) as its implementers publish it: the
wrapper `prune_low_magnitude` around each layer, whose masks follow `PolynomialDecay`,
and training by `model.fit`. It takes no model of Keras 3, so the network is built again
of the layers of `tf_keras`, with the same names, options and initial weights. Both live
side by side: only what asks for `tf.keras` would be given the old one, and nothing here
does.

Optimizers are those of `tf_keras`. Momentum is of the rate times gradients there, and
pruned weights keep it; the L2 term is a regularizer of every weight.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf

from tflottery import layers
from tflottery.core.recipes import Recipe
from tflottery.models.weights import Weights
from tflottery.pruning import masks as pruning_masks
from tflottery.training import optimizers
from tflottery.training.trainer import Diverged

_LEGACY = "TF_USE_LEGACY_KERAS"
# Of the layers that this package's networks for small images are made of.
_OPTIONS = {
    layers.MaskedDense: ("Dense", ("units", "activation", "use_bias")),
    layers.MaskedConv2D: (
        "Conv2D",
        ("filters", "kernel_size", "strides", "padding", "activation", "use_bias"),
    ),
    layers.BatchNormalization: ("BatchNormalization", ("momentum", "epsilon")),
    keras.layers.ReLU: ("ReLU", ()),
    keras.layers.Add: ("Add", ()),
    keras.layers.Flatten: ("Flatten", ()),
    keras.layers.ZeroPadding2D: ("ZeroPadding2D", ("padding",)),
    keras.layers.MaxPooling2D: ("MaxPooling2D", ("pool_size", "strides", "padding")),
    keras.layers.GlobalAveragePooling2D: ("GlobalAveragePooling2D", ()),
}
_L2 = {
    "Dense": ("kernel_regularizer", "bias_regularizer"),
    "Conv2D": ("kernel_regularizer", "bias_regularizer"),
    "BatchNormalization": ("gamma_regularizer", "beta_regularizer"),
}


@dataclasses.dataclass(frozen=True)
class PruningTimes:
    """When `PolynomialDecay` prunes.

    Attributes:
      begin: the first update before which masks change.
      end: the last one; a whole number of `frequency` later.
      frequency: updates from one change to the next.
    """

    begin: int
    end: int
    frequency: int


def trained(
    model: keras.Model,
    weights: Weights,
    batches: tf.data.Dataset,
    *,
    recipe: Recipe,
    survivors: Mapping[str, int],
    times: PruningTimes,
    between: Callable[[float], None],
) -> tuple[Weights, Weights]:
    """Trains a network of `tf_keras` like a model, and prunes it meanwhile.

    Args:
      model: of Keras 3, functional, of layers as above; it is not changed.
      weights: initial ones by variable path.
      batches: images and labels of every update, at least as many as training has.
      recipe: resolved.
      survivors: how many weights of each kernel are kept in the end, by path; other
        kernels are not pruned.
      times: when masks change.
      between: called after each update with the fraction that is done; may raise.

    Returns:
      Weights, with pruned ones exactly 0.0, and masks, by path.

    Raises:
      ValueError: the model has a layer that is not translated; says which.
      Diverged: the loss or the weights are not finite.
    """
    tf_keras, sparsity = _libraries()
    fractions = {
        path: 1 - kept / weights[path].size for path, kept in survivors.items()
    }
    wrapped = _wrapper(sparsity, fractions, times)
    network, own = legacy_model(model, l2=recipe.weight_decay, wrapped=wrapped)
    _assign(own, weights)
    network.compile(
        _optimizer(tf_keras, recipe),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    network.fit(
        batches,
        steps_per_epoch=recipe.training_iterations,
        callbacks=[
            sparsity.UpdatePruningStep(),
            _between(tf_keras, between, recipe.training_iterations),
        ],
        shuffle=False,
        verbose=0,
    )
    masks = {
        f"{one.layer.name}/kernel": one.pruning_vars[0][1].numpy()
        for one in network.layers
        if hasattr(one, "pruning_vars")
    }
    found = _values(own)
    if not all(np.isfinite(value).all() for value in found.values()):
        raise Diverged(recipe.training_iterations)
    masks |= {path: np.ones_like(weights[path]) for path in survivors.keys() - masks}
    return pruning_masks.apply(found, masks), masks


def legacy_model(
    model: keras.Model,
    *,
    l2: float = 0.0,
    wrapped: Callable[[object], object] = lambda layer: layer,
) -> tuple[object, dict[str, object]]:
    """Returns a network of `tf_keras` like a functional model, and its layers by name.

    Args:
      model: of Keras 3.
      l2: factor of the L2 term in the gradient of every weight.
      wrapped: what takes the place of a layer, such as a wrapper of it.

    Raises:
      ValueError: the model has a layer that is not translated, or several outputs.
    """
    tf_keras, _ = _libraries()
    if not isinstance(model, keras.Model) or len(model.outputs) != 1:
        raise ValueError(
            f"Model {model.name!r} has {len(model.outputs)} outputs; gradual_pruning "
            "trains networks of one."
        )
    (images,) = model.inputs
    inputs = tf_keras.Input(tuple(images.shape[1:]), name="images")
    known, own = {id(images): inputs}, {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        own[layer.name] = made = _layer(tf_keras, layer, l2=l2)
        (node,) = layer._inbound_nodes
        given = [known[id(one)] for one in node.input_tensors]
        known[id(node.outputs[0])] = wrapped(made)(
            given if len(given) > 1 else given[0]
        )
    return tf_keras.Model(inputs, known[id(model.outputs[0])]), own


def _libraries() -> tuple[ModuleType, ModuleType]:
    """Returns `tf_keras`, and what prunes it.

    The library sets a variable of the environment, by which this process's children
    would take the old Keras for `tf.keras`.
    """
    before = os.environ.get(_LEGACY)
    try:
        import tf_keras
        from tensorflow_model_optimization.python.core.sparsity.keras import (
            prune,
            pruning_callbacks,
            pruning_schedule,
        )
    finally:
        if before is None:
            os.environ.pop(_LEGACY, None)
        else:
            os.environ[_LEGACY] = before
    sparsity = ModuleType("sparsity")
    sparsity.prune_low_magnitude = prune.prune_low_magnitude
    sparsity.PolynomialDecay = pruning_schedule.PolynomialDecay
    sparsity.UpdatePruningStep = pruning_callbacks.UpdatePruningStep
    return tf_keras, sparsity


def _wrapper(
    sparsity: ModuleType, fractions: Mapping[str, float], times: PruningTimes
) -> Callable[[object], object]:
    """Returns what wraps a layer whose kernel is pruned, by the fraction that goes."""

    def wrapped(layer: object) -> object:
        final = fractions.get(f"{layer.name}/kernel")
        if not final:
            return layer
        schedule = sparsity.PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=final,
            begin_step=times.begin,
            end_step=times.end,
            frequency=times.frequency,
        )
        return sparsity.prune_low_magnitude(layer, schedule)

    return wrapped


def _layer(tf_keras: ModuleType, layer: keras.layers.Layer, *, l2: float) -> object:
    """Returns the layer of `tf_keras` that does the same."""
    if type(layer) not in _OPTIONS:
        known = sorted(one.__name__ for one in _OPTIONS)
        raise ValueError(
            f"Layer {layer.name!r} is a {type(layer).__name__}, which gradual_pruning "
            f"does not build in tf_keras. Known: {', '.join(known)}."
        )
    name, options = _OPTIONS[type(layer)]
    config = layer.get_config()
    given = {option: config[option] for option in options}
    if name in ("Dense", "Conv2D"):
        # Weights are given; drawing them would need a seed.
        given["kernel_initializer"] = "zeros"
    if l2:
        # Its gradient is twice the factor times the weight.
        term = tf_keras.regularizers.L2(l2 / 2)
        given |= dict.fromkeys(_L2.get(name, ()), term)
    return getattr(tf_keras.layers, name)(name=layer.name, **given)


def _optimizer(tf_keras: ModuleType, recipe: Recipe) -> object:
    """Returns the optimizer of `tf_keras` that a recipe names, with its schedule."""
    rate = optimizers.schedule_of(recipe)

    class Rate(tf_keras.optimizers.schedules.LearningRateSchedule):
        """The recipe's rate at an iteration."""

        def __call__(self, step: object) -> object:
            return rate(step)

    if recipe.optimizer == "adam":
        return tf_keras.optimizers.Adam(Rate(), epsilon=1e-8, jit_compile=False)
    return tf_keras.optimizers.SGD(Rate(), momentum=recipe.momentum, jit_compile=False)


def _between(
    tf_keras: ModuleType, between: Callable[[float], None], iterations: int
) -> object:
    """Returns the callback that tells how far training is, and whether it diverged."""

    class Between(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            if not np.isfinite((logs or {}).get("loss", 0.0)):
                # The loss is that of the weights before this update.
                raise Diverged(max(batch, 1))
            between((batch + 1) / iterations)

    return Between()


def _assign(own: Mapping[str, object], weights: Weights) -> None:
    """Gives layers by name their weights by path. Changes: the layers' variables."""
    for path, value in weights.items():
        layer, name = path.split("/", 1)
        getattr(own[layer], name).assign(value)


def _values(own: Mapping[str, object]) -> Weights:
    """Returns the weights of layers by name, by path."""
    names = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    return {
        f"{layer}/{name}": getattr(one, name).numpy()
        for layer, one in own.items()
        for name in names
        if getattr(one, name, None) is not None
    }
