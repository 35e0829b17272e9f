"""Layers: masked dense and convolution layers, fused batch norm, dropout.

Importing them imports Keras and makes the classes known to it, so that a saved model
opens again. What a process reads that trains nothing, such as the recipes of models,
imports them inside functions.
"""

from tflottery.layers.dropout import Dropout
from tflottery.layers.masked import (
    MaskedConv2D,
    MaskedDense,
    convolves,
    ignore_masks,
    kernel_in_use,
    mask_gradients_only,
    masked_layers,
    masks,
    own_constraint,
    set_masks,
)
from tflottery.layers.normalization import BatchNormalization, normalizations

__all__ = [
    "BatchNormalization",
    "Dropout",
    "MaskedConv2D",
    "MaskedDense",
    "convolves",
    "ignore_masks",
    "kernel_in_use",
    "mask_gradients_only",
    "masked_layers",
    "masks",
    "normalizations",
    "own_constraint",
    "set_masks",
]
