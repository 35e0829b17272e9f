"""Large networks of which tests look at the layers alone."""

import functools

import keras
import pytest

from tflottery.core.registry import MODELS


@pytest.fixture(scope="session")
def shaped():
    """Returns a network of zeros, built once: to draw all weights takes longest.

    Whoever changes a variable changes it back.
    """

    def zeros(self, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    @functools.cache
    def build(name, *, input_shape, num_classes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)
            return MODELS[name].function(
                input_shape=input_shape, num_classes=num_classes
            )

    return build
