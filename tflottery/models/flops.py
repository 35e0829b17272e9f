"""How many multiplications and additions the kernels of a network take.

Counted are the kernels that masks are for, at every position of every call of their
layers.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tflottery.models import architecture

if TYPE_CHECKING:
    import keras


def kernel_flops(model: "keras.Model") -> dict[str, int | None]:
    """Returns what each maskable kernel costs an example, by its path.

    Multiplications and additions count apart. None is not known: Keras keeps no shapes
    of what is called in the code of another layer, as inside of MultiHeadAttention, and
    sequences may be of any length.
    """
    from tflottery import layers

    positions: dict[int, list[int | None]] = {}
    for call in _calls(model):
        positions.setdefault(id(call.operation), []).append(_positions(call))
    found = {}
    for one in layers.masked_kernels(model):
        several = positions.get(id(one.layer), [None])
        known = None not in several
        count = 2 * math.prod(one.kernel.shape)
        found[one.kernel.path] = count * sum(several) if known else None
    return found


def _calls(model: object) -> Iterator[object]:
    """Yields the calls of layers that are kernels' own, in models inside it too."""
    from tflottery import layers

    graph = architecture.graph_of(model)
    for call in [] if graph is None else architecture.calls_of(graph):
        if architecture.graph_of(call.operation) is not None:
            yield from _calls(call.operation)
        elif isinstance(call.operation, tuple(layers.MASKED_CLASSES)):
            yield call


def _positions(call: object) -> int | None:
    """Returns how often a call applies the layer's kernel to an example; None: unknown.

    Transposed convolutions apply it to each position that comes in, all others for each
    that goes out.
    """
    import keras

    layer, (output,) = call.operation, call.outputs
    sizes = list(output.shape[1:])
    if isinstance(layer, keras.layers.EinsumDense):
        # Of what goes out, the rest is what one application of the kernel gives.
        operands, _, given = layer.equation.partition("->")
        named = zip(operands.partition(",")[2], layer.kernel.shape, strict=True)
        once = math.prod(size for label, size in named if label in given)
        return None if None in sizes else math.prod(sizes) // once
    if isinstance(layer, _transposed()):
        sizes = list(call.input_tensors[0].shape[1:])
    channels_first = getattr(layer, "data_format", None) == "channels_first"
    del sizes[0 if channels_first else -1]
    return None if None in sizes else math.prod(sizes)


def _transposed() -> tuple[type, ...]:
    from keras import layers

    return layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose
