"""What kernels cost an example, against counts by hand."""

import keras
import pytest

import tflottery
from tflottery.models.flops import kernel_flops


def _shared(images):
    layer = keras.layers.Dense(6, name="layer")
    return layer(layer(images))


def _nested(images):
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6)], name="inner")
    return inner(inner(images))


@pytest.mark.parametrize(
    ("shape", "layer", "expected"),
    [
        # Applied at 4 x 4 positions, each of which gives 9 of those that go out.
        (
            (4, 4, 3),
            keras.layers.Conv2DTranspose(2, 3, strides=2),
            [2 * 54 * 16],
        ),
        ((4, 4, 3), keras.layers.Conv2D(2, 3, strides=2, padding="same"), [2 * 54 * 4]),
        (
            (8, 8, 3),
            keras.layers.SeparableConv2D(4, 3),
            [2 * 27 * 36, 2 * 12 * 36],
        ),
        ((7, 6), keras.layers.Dense(5), [2 * 30 * 7]),
        # Of each of 5 words, one application gives two heads of three numbers.
        (
            (5, 6),
            keras.layers.EinsumDense("abc,cde->abde", output_shape=(5, 2, 3)),
            [2 * 36 * 5],
        ),
        ((5, 6), keras.layers.EinsumDense("...x,xy->...y", 3), [2 * 18 * 5]),
        ((6,), _shared, [2 * 2 * 36]),
        ((6,), _nested, [2 * 2 * 36]),
        # Of sequences of any length, and inside of a layer's own code.
        ((None, 3), keras.layers.Conv1D(4, 3), [None]),
        ((None, 6), keras.layers.EinsumDense("abc,cd->abd", (None, 3)), [None]),
        ((5, 6), lambda x: keras.layers.MultiHeadAttention(2, 3)(x, x), [None] * 4),
    ],
)
def test_kernels_count_at_every_position_of_every_call(shape, layer, expected):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    tflottery.mask(model)
    assert list(kernel_flops(model).values()) == expected
