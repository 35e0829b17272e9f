"""Layers whose kernels are masked: how a subnetwork is trained.

Masks are all ones at first; `set_masks` prunes a model, and makes its optimizer forget
the pruned weights. How a layer uses its masks is in `kernel_masks`.
"""

import keras
import numpy as np

from tflottery.layers import kernel_masks, optimizer_state
from tflottery.layers.kernel_masks import MaskedKernel, masks_kernels

Masks = dict[str, np.ndarray]


@keras.saving.register_keras_serializable(package="tflottery")
@masks_kernels("kernel")
class MaskedDense(keras.layers.Dense):
    """A Dense layer with a mask of its kernel, all ones at first.

    Inputs: [batch, ..., inputs] floating; outputs: [batch, ..., units].
    """

    def __init__(
        self, units: int, *, kernel_initializer: object = "he_normal", **kwargs: object
    ):
        """Args: those of `keras.layers.Dense`, with Kaiming normal kernels."""
        super().__init__(units, kernel_initializer=kernel_initializer, **kwargs)


@keras.saving.register_keras_serializable(package="tflottery")
@masks_kernels("kernel")
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


def _masked_class(base: type, *names: str) -> type:
    """Returns the masked class of a Keras layer, with its defaults and arguments."""
    text = f"Keras's {base.__name__} with masks of its kernels, all ones at first."
    body = {"__doc__": text, "__module__": __name__}
    made = masks_kernels(*names)(type(f"Masked{base.__name__}", (base,), body))
    return keras.saving.register_keras_serializable(package="tflottery")(made)


# By the Keras class, and only that: one derived from it may compute otherwise.
MASKED_CLASSES = {
    keras.layers.Dense: MaskedDense,
    keras.layers.Conv2D: MaskedConv2D,
} | {
    base: _masked_class(base, *names)
    for names, bases in {
        ("kernel",): (
            keras.layers.EinsumDense,
            keras.layers.Conv1D,
            keras.layers.Conv3D,
            keras.layers.Conv1DTranspose,
            keras.layers.Conv2DTranspose,
            keras.layers.Conv3DTranspose,
            keras.layers.DepthwiseConv1D,
            keras.layers.DepthwiseConv2D,
        ),
        ("depthwise_kernel", "pointwise_kernel"): (
            keras.layers.SeparableConv1D,
            keras.layers.SeparableConv2D,
        ),
    }.items()
    for base in bases
}
_NO_CONVOLUTIONS = (MaskedDense, MASKED_CLASSES[keras.layers.EinsumDense])


def masked_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the masked layers of a built model, nested ones included, in order."""
    # Keras has no public way to the layers inside composite layers.
    layers = model._flatten_layers(include_self=True, recursive=True)
    return [layer for layer in layers if is_masked(layer)]


def masked_kernels(model: keras.Model) -> list[MaskedKernel]:
    """Returns the kernels of the masked layers of a built model, in order."""
    return [
        one
        for layer in masked_layers(model)
        for one in kernel_masks.masked_kernels_of(layer)
    ]


def is_masked(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer masks kernels of its own."""
    return isinstance(layer, tuple(MASKED_CLASSES.values()))


def convolves(model: keras.Model) -> bool:
    """Returns whether a built model has a masked convolution."""
    found = masked_layers(model)
    return any(not isinstance(layer, _NO_CONVOLUTIONS) for layer in found)


def masks(model: keras.Model) -> Masks:
    """Returns a copy of every mask: float32 0 or 1, keyed by its kernel's path."""
    return {
        one.kernel.path: one.mask.numpy().astype(np.float32, copy=False)
        for one in masked_kernels(model)
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
    masked = {one.kernel.path: one for one in masked_kernels(model)}
    _validate(masks, masked)
    ignoring = [path for path in masks if masked[path].layer.mask_use == "none"]
    if any(not np.all(masks[path]) for path in ignoring):
        raise ValueError(
            f"Model {model.name!r} ignores the masks of {sorted(ignoring)}: a model "
            "that `ignore_masks` was called on cannot be pruned. Build another."
        )
    for path, one in masked.items():
        shape = tuple(one.kernel.shape)
        mask = np.asarray(masks.get(path, np.ones(shape)), np.float32)
        # Most often it is there already: a network is dense, or goes on.
        if not np.array_equal(one.mask.numpy(), mask):
            one.mask.assign(mask)
        if not mask.all():
            slots = optimizer_state.of(getattr(model, "optimizer", None), one.kernel)
            for variable in (one.kernel, *slots):
                values = variable.numpy()
                variable.assign(np.where(mask == 1, values, np.zeros_like(values)))


def ignore_masks(model: keras.Model) -> None:
    """Leaves the masks out of a model, for one never pruned or only looked at.

    Results are the same bit for bit, since a product with one is exact; a dense layer's
    step under XLA takes about a sixth less time. Call it before the model is traced.

    Changes: how the model's masked layers compute.
    """
    for layer in masked_layers(model):
        kernel_masks.use_masks(layer, "none")


def mask_gradients_only(model: keras.Model) -> None:
    """Uses the masks in gradients alone: for a loop that keeps pruned weights at 0.0.

    Gradients and outputs are those of kernel * mask, as long as every pruned weight is
    0.0, which `set_masks` sees to; a dense layer's step under XLA takes a fifth less
    time. Call it before the model is traced.

    Changes: how the model's masked layers compute.
    """
    for layer in masked_layers(model):
        kernel_masks.use_masks(layer, "gradient")


def _validate(masks: Masks, masked: dict[str, MaskedKernel]) -> None:
    """Raises ValueError unless every mask fits the kernel of its path."""
    unknown = sorted(masks.keys() - masked.keys())
    if unknown:
        free = sorted(masked.keys() - masks.keys())
        raise ValueError(
            f"Masks for kernels that the model does not have or cannot mask: {unknown}."
            f" Masked kernels of the model without a mask here: {free}."
        )
    for path, mask in masks.items():
        mask, expected = np.asarray(mask), tuple(masked[path].kernel.shape)
        if mask.shape != expected:
            raise ValueError(
                f"Mask of {path!r} has shape {mask.shape}; its kernel's is {expected}."
            )
        if not ((mask == 0) | (mask == 1)).all():
            wrong = mask[(mask != 0) & (mask != 1)].flat[0]
            raise ValueError(
                f"Mask of {path!r} holds {wrong!r}; expected 0 (pruned) or 1 (kept)."
            )
