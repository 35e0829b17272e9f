"""Layers: masked dense and convolution layers, fused batch norm, dropout, pooling.

Importing them imports Keras and makes the classes known to it, so that a saved model
opens again. What a process reads that trains nothing, such as the recipes of models,
imports them inside functions.
"""

from tflottery.layers.dropout import Dropout
from tflottery.layers.kernel_masks import (
    MaskedKernel,
    kernel_in_use,
    own_constraint,
)
from tflottery.layers.masked import (
    MASKED_CLASSES,
    MaskedConv2D,
    MaskedDense,
    convolves,
    ignore_masks,
    mask_gradients_only,
    masked_kernels,
    masked_layers,
    masks,
    set_masks,
)
from tflottery.layers.model_masking import mask, unmask
from tflottery.layers.normalization import BatchNormalization, normalizations
from tflottery.layers.pooling import make_pooling_deterministic

__all__ = [
    "MASKED_CLASSES",
    "BatchNormalization",
    "Dropout",
    "MaskedConv2D",
    "MaskedDense",
    "MaskedKernel",
    "convolves",
    "ignore_masks",
    "kernel_in_use",
    "make_pooling_deterministic",
    "mask",
    "mask_gradients_only",
    "masked_kernels",
    "masked_layers",
    "masks",
    "normalizations",
    "own_constraint",
    "set_masks",
    "unmask",
]
