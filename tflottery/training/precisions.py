"""Precision: in what numbers a network computes while it trains.

Under mixed_bfloat16 layers compute in bfloat16, which accelerators do several times as
fast, and CPUs with AVX512-BF16 or AMX twice where there are convolutions. Weights,
masks, optimizer slots, batch norm statistics, outputs and losses stay float32, and so
does all that is measured: an evaluator builds the network as it is.
"""

from typing import TYPE_CHECKING

from tflottery.core.registry import MODELS

if TYPE_CHECKING:
    import keras

FLOAT32, MIXED_BFLOAT16 = "float32", "mixed_bfloat16"
PRECISIONS = (FLOAT32, MIXED_BFLOAT16)


def build(
    model_name: str,
    *,
    input_shape: tuple[int, ...],
    num_classes: int,
    precision: str | None = None,
) -> "keras.Model":
    """Returns a new network that computes in a precision.

    Args:
      model_name: a registered model.
      input_shape: (height, width, channels) of the images.
      num_classes: outputs of the network.
      precision: one of `PRECISIONS`; None: the network's own.
    """
    function = MODELS[model_name].function
    shape = {"input_shape": input_shape, "num_classes": num_classes}
    if precision != MIXED_BFLOAT16:
        return function(**shape)
    return _mixed(function, shape)


def _mixed(function: object, shape: dict[str, object]) -> "keras.Model":
    """Returns a network whose layers compute in bfloat16, but for the last ones.

    What the author said of a layer's precision stands.
    """
    import keras

    from tflottery.training import requirements

    model = function(**shape)
    if requirements.precision(model) == MIXED_BFLOAT16:
        return model
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(MIXED_BFLOAT16)
    try:
        model = function(**shape)
    finally:
        keras.config.set_dtype_policy(before)
    for operation in requirements.last_operations(model):
        if isinstance(operation, keras.layers.Layer):
            operation.dtype_policy = FLOAT32
    return model
