"""How a layer of any class masks its kernels: variables of 0 and 1 beside them.

One decorator makes a masked layer of a Keras layer. The forward pass uses kernel * mask
so that a pruned weight (mask 0) has no influence and gets a gradient of zero. It stays
exactly 0.0 whoever trains: a constraint of the kernel, which every Keras optimizer
obeys, sets it back after each update.
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np
from keras import ops


@dataclasses.dataclass(frozen=True)
class MaskedKernel:
    """A kernel and its mask.

    Attributes:
      layer: whose they are.
      kernel: trained.
      mask: 1 keeps, 0 prunes; of the kernel's shape, not trained.
    """

    layer: keras.layers.Layer
    kernel: keras.Variable
    mask: keras.Variable


def masks_kernels(*names: str) -> Callable[[type], type]:
    """Returns a decorator that gives a subclass of a Keras layer masks of its kernels.

    Args:
      names: of the attributes that hold the kernels, each with "kernel" in it; the mask
        of `depthwise_kernel` is the attribute `depthwise_mask`.
    """

    def decorated(cls: type) -> type:
        (base,) = cls.__bases__

        def build(self: keras.layers.Layer, input_shape: tuple[int | None, ...]):
            base.build(self, input_shape)
            add_masks(self)

        @functools.wraps(base.call)
        def call(self: keras.layers.Layer, *args: object, **kwargs: object) -> object:
            return base.call(_WithMaskedKernels(self), *args, **kwargs)

        def refuse(self: keras.layers.Layer, *args: object, **kwargs: object):
            raise ValueError(
                f"Layer {self.name!r} has masks of its kernels, of which LoRA and "
                "quantized kernels would know nothing: take them out of the model "
                "first (tflottery.layers.unmask)."
            )

        cls.masked_kernel_names = names
        cls.enable_lora = cls.quantize = refuse
        cls.build, cls.call = build, call
        # Most layers save their kernels and bias only, which would lose the masks.
        cls.save_own_variables = keras.layers.Layer.save_own_variables
        cls.load_own_variables = keras.layers.Layer.load_own_variables
        return cls

    return decorated


def add_masks(layer: keras.layers.Layer) -> None:
    """Gives a built layer of a masked class its masks: ones, in use."""
    for name in layer.masked_kernel_names:
        mask = layer.add_weight(
            name=_mask_name(name),
            shape=getattr(layer, name).shape,
            initializer="ones",
            trainable=False,
        )
        setattr(layer, _mask_name(name), mask)
    use_masks(layer, "product")


def remove_masks(layer: keras.layers.Layer) -> None:
    """Takes a layer's masks away; its kernels are as they were used, zeros included.

    Changes: the layer's kernels, their constraints and its variables.
    """
    for one in masked_kernels_of(layer):
        one.kernel.assign(kernel_in_use(one))
    use_masks(layer, "none")
    for name in layer.masked_kernel_names:
        # Keras collects garbage when a weight is deleted, which takes long.
        layer._untrack_variable(getattr(layer, _mask_name(name)))
        object.__delattr__(layer, _mask_name(name))


def masked_kernels_of(layer: keras.layers.Layer) -> list[MaskedKernel]:
    """Returns the kernels of a built layer of a masked class."""
    return [
        MaskedKernel(layer, getattr(layer, name), getattr(layer, _mask_name(name)))
        for name in layer.masked_kernel_names
    ]


def use_masks(layer: keras.layers.Layer, use: str) -> None:
    """Sets how a layer uses its masks: as a "product", in the "gradient" or "none".

    Changes: the layer's `mask_use` and its kernels' constraints.
    """
    layer.mask_use = use
    for one in masked_kernels_of(layer):
        own = own_constraint(one.kernel)
        one.kernel.constraint = _Pruned(one.mask, own) if use == "product" else own


def kernel_in_use(one: MaskedKernel) -> np.ndarray:
    """Returns a copy of a masked kernel, as its layer's forward pass uses it.

    That is the variable's value, but where somebody has written over pruned weights
    since: an average of weights from before the pruning, say.
    """
    values, mask = one.kernel.numpy(), one.mask.numpy()
    if one.layer.mask_use != "product" or mask.all():
        return values
    return np.where(mask == 1, values, np.zeros_like(values))


def own_constraint(weight: keras.Variable) -> object | None:
    """Returns the constraint that a weight was given, seen through that of its mask."""
    constraint = weight.constraint
    return constraint.own if isinstance(constraint, _Pruned) else constraint


def _mask_name(kernel_name: str) -> str:
    return kernel_name.replace("kernel", "mask")


class _WithMaskedKernels:
    """A layer as its own forward pass sees it: with masked kernels, else the same.

    Not the layer itself, whose kernels are variables for everybody else meanwhile.
    """

    def __init__(self, layer: keras.layers.Layer):
        self._layer = layer
        for one, name in zip(
            masked_kernels_of(layer), layer.masked_kernel_names, strict=True
        ):
            setattr(self, name, _effective(layer.mask_use, one.kernel, one.mask))

    def __getattr__(self, name: str) -> object:
        return getattr(self._layer, name)


def _effective(use: str, kernel: object, mask: object) -> object:
    """Returns what takes the kernel's place in the forward pass."""
    if use == "product":
        return ops.multiply(kernel, mask)
    if use == "gradient":
        return _with_masked_gradient(kernel, mask)
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
