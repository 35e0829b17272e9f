"""Dense and convolution layers whose kernels are masked: how a subnetwork is trained.

The forward pass uses kernel * mask, so that a pruned weight (mask 0) has no influence
and gets a gradient of zero. It stays exactly 0.0 whoever trains: a constraint of the
kernel, which every Keras optimizer obeys, sets it back after each update, and
`set_masks` makes the optimizer forget it.
"""

import keras
import numpy as np
from keras import ops

from tflottery.layers import optimizer_state

Masks = dict[str, np.ndarray]


@keras.saving.register_keras_serializable(package="tflottery")
class MaskedDense(keras.layers.Dense):
    """A Dense layer with a mask of its kernel, all ones at first.

    Inputs: [batch, ..., inputs] floating; outputs: [batch, ..., units].
    """

    def __init__(
        self, units: int, *, kernel_initializer: object = "he_normal", **kwargs: object
    ):
        """Args: those of `keras.layers.Dense`, with Kaiming normal kernels."""
        super().__init__(units, kernel_initializer=kernel_initializer, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        _add_mask(self)

    def call(self, inputs: object, training: bool | None = None) -> object:
        outputs = ops.matmul(inputs, _effective(self, self.kernel))
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    # Dense saves its kernel and bias only, which would lose the mask.
    def save_own_variables(self, store: dict) -> None:
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: dict) -> None:
        keras.layers.Layer.load_own_variables(self, store)


@keras.saving.register_keras_serializable(package="tflottery")
class MaskedConv2D(keras.layers.Conv2D):
    """A Conv2D layer with a mask of its kernel, all ones at first.

    Inputs: [batch, height, width, channels] floating (channels last is the fast order
    on a CPU); outputs: [batch, new height, new width, filters].
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        *,
        kernel_initializer: object = "he_normal",
        **kwargs: object,
    ):
        """Args: those of `keras.layers.Conv2D`, with Kaiming normal kernels."""
        super().__init__(
            filters, kernel_size, kernel_initializer=kernel_initializer, **kwargs
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        _add_mask(self)

    def convolution_op(self, inputs: object, kernel: object) -> object:
        return super().convolution_op(inputs, _effective(self, kernel))

    # Conv2D saves its kernel and bias only, which would lose the mask.
    def save_own_variables(self, store: dict) -> None:
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: dict) -> None:
        keras.layers.Layer.load_own_variables(self, store)


def masked_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the masked layers of a built model, nested ones included, in order."""
    # Keras has no public way to the layers inside composite layers.
    layers = model._flatten_layers(include_self=True, recursive=True)
    return [layer for layer in layers if isinstance(layer, MaskedDense | MaskedConv2D)]


def convolves(model: keras.Model) -> bool:
    """Returns whether a built model has a masked convolution."""
    return any(isinstance(layer, MaskedConv2D) for layer in masked_layers(model))


def masks(model: keras.Model) -> Masks:
    """Returns a copy of every mask: float32 0 or 1, keyed by its kernel's path."""
    return {
        layer.kernel.path: layer.mask.numpy().astype(np.float32, copy=False)
        for layer in masked_layers(model)
    }


def set_masks(model: keras.Model, masks: Masks) -> None:
    """Prunes a model: sets its masks, and its pruned weights to 0.0 for good.

    The optimizer that the model is compiled with forgets them: momentum, moments and
    averages of them are 0.0. Assign weights first: weights assigned later are set to
    zero only by the next update (though the masks keep them out of the forward pass).

    Args:
      model: a built model with masked layers.
      masks: 0 or 1 of any dtype, of the kernel's shape, keyed by the kernel's path. A
        kernel without a mask here is not pruned: `{}` removes every mask.

    Changes: the masks of the model's masked layers; their kernels, and what the model's
    optimizer keeps of these, where pruned.

    Raises:
      ValueError: a path is not that of a masked kernel, a shape is not the kernel's, or
        a value is neither 0 nor 1. Nothing is changed then.
    """
    layers = {layer.kernel.path: layer for layer in masked_layers(model)}
    _validate(masks, layers)
    ignoring = [path for path in masks if layers[path].mask_use == "none"]
    if any(not np.all(masks[path]) for path in ignoring):
        raise ValueError(
            f"Model {model.name!r} ignores the masks of {sorted(ignoring)}: a model "
            "that `ignore_masks` was called on cannot be pruned. Build another."
        )
    for path, layer in layers.items():
        shape = tuple(layer.kernel.shape)
        mask = np.asarray(masks.get(path, np.ones(shape)), np.float32)
        # Most often it is there already: a network is dense, or goes on.
        if not np.array_equal(layer.mask.numpy(), mask):
            layer.mask.assign(mask)
        if not mask.all():
            slots = optimizer_state.of(getattr(model, "optimizer", None), layer.kernel)
            for variable in (layer.kernel, *slots):
                values = variable.numpy()
                variable.assign(np.where(mask == 1, values, np.zeros_like(values)))


def kernel_in_use(layer: keras.layers.Layer) -> np.ndarray:
    """Returns a copy of a masked layer's kernel, as its forward pass uses it.

    That is the variable's value, but where somebody has written over pruned weights
    since: an average of weights from before the pruning, say.
    """
    values, mask = layer.kernel.numpy(), layer.mask.numpy()
    if layer.mask_use != "product" or mask.all():
        return values
    return np.where(mask == 1, values, np.zeros_like(values))


def own_constraint(weight: keras.Variable) -> object | None:
    """Returns the constraint that a weight was given, seen through that of its mask."""
    constraint = weight.constraint
    return constraint.own if isinstance(constraint, _Pruned) else constraint


def ignore_masks(model: keras.Model) -> None:
    """Leaves the masks out of a model, for one never pruned or only looked at.

    Results are the same bit for bit, since a product with one is exact; a dense layer's
    step under XLA takes about a sixth less time. Call it before the model is traced.

    Changes: how the model's masked layers compute.
    """
    for layer in masked_layers(model):
        _use_mask(layer, "none")


def mask_gradients_only(model: keras.Model) -> None:
    """Uses the masks in gradients alone: for a loop that keeps pruned weights at 0.0.

    Gradients and outputs are those of kernel * mask, as long as every pruned weight is
    0.0, which `set_masks` sees to; a dense layer's step under XLA takes a fifth less
    time. Call it before the model is traced.

    Changes: how the model's masked layers compute.
    """
    for layer in masked_layers(model):
        _use_mask(layer, "gradient")


def _effective(layer: keras.layers.Layer, kernel: object) -> object:
    """Returns what takes the kernel's place in the forward pass."""
    if layer.mask_use == "product":
        return ops.multiply(kernel, layer.mask)
    if layer.mask_use == "gradient":
        return _with_masked_gradient(kernel, layer.mask)
    return kernel


def _with_masked_gradient(kernel: object, mask: object) -> object:
    """Returns the kernel as it is; its gradient is multiplied by the mask."""

    @ops.custom_gradient
    def masked(kernel: object) -> tuple[object, object]:
        def gradient(*args: object, upstream: object = None) -> object:
            # Backends differ in how they hand over the upstream gradient.
            upstream = args[0] if upstream is None else upstream
            # Layers may compute in another dtype than that of their variables.
            return ops.multiply(upstream, ops.cast(mask, upstream.dtype))

        return kernel, gradient

    return masked(ops.convert_to_tensor(kernel))


def _add_mask(layer: keras.layers.Layer) -> None:
    """Gives a layer its variable `mask`: ones of the kernel's shape, in use."""
    layer.mask = layer.add_weight(
        name="mask", shape=layer.kernel.shape, initializer="ones", trainable=False
    )
    _use_mask(layer, "product")


def _use_mask(layer: keras.layers.Layer, use: str) -> None:
    """Sets how a layer uses its mask: as a "product", in the "gradient" or "none".

    Changes: the layer's `mask_use` and its kernel's constraint.
    """
    layer.mask_use = use
    own = layer.kernel_constraint
    layer.kernel.constraint = _Pruned(layer.mask, own) if use == "product" else own


class _Pruned(keras.constraints.Constraint):
    """Pruned weights are 0.0; the others obey the user's own constraint, if any."""

    def __init__(self, mask: keras.Variable, own: keras.constraints.Constraint | None):
        self._mask = mask
        self.own = own

    def __call__(self, kernel: object) -> object:
        """Returns what the kernel has to be; optimizers call it after each update."""
        kernel = _pruned(kernel, self._mask)
        return kernel if self.own is None else _pruned(self.own(kernel), self._mask)


def _pruned(values: object, mask: object) -> object:
    """Returns values with exactly 0.0 where the mask is 0."""
    # A product would leave -0.0 where a negative weight was, and NaN.
    return ops.where(ops.cast(mask, "bool"), values, ops.zeros_like(values))


def _validate(masks: Masks, layers: dict[str, keras.layers.Layer]) -> None:
    """Raises ValueError unless every mask fits the layer of its path."""
    unknown = sorted(masks.keys() - layers.keys())
    if unknown:
        free = sorted(layers.keys() - masks.keys())
        raise ValueError(
            f"Masks for kernels that the model does not have or cannot mask: {unknown}."
            f" Masked kernels of the model without a mask here: {free}."
        )
    for path, mask in masks.items():
        mask, expected = np.asarray(mask), tuple(layers[path].kernel.shape)
        if mask.shape != expected:
            raise ValueError(
                f"Mask of {path!r} has shape {mask.shape}; its kernel's is {expected}."
            )
        if not ((mask == 0) | (mask == 1)).all():
            wrong = mask[(mask != 0) & (mask != 1)].flat[0]
            raise ValueError(
                f"Mask of {path!r} holds {wrong!r}; expected 0 (pruned) or 1 (kept)."
            )
