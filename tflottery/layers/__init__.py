"""Layers: masked dense and convolution layers, fused batch norm, dropout.

The names below are loaded on demand, so that reading a model's recipe imports no Keras.
"""

import importlib

_HOMES = {
    "MaskedConv2D": "masked",
    "MaskedDense": "masked",
    "convolves": "masked",
    "ignore_masks": "masked",
    "mask_gradients_only": "masked",
    "masked_layers": "masked",
    "masks": "masked",
    "set_masks": "masked",
    "BatchNormalization": "normalization",
    "Dropout": "dropout",
    "normalizations": "normalization",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
