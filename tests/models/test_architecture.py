"""Fingerprints of networks: different for what computes differently, and stable."""

import functools

import keras
import numpy as np
import pytest

from tflottery import layers
from tflottery.models.architecture import architecture, is_known


def _model(
    *,
    middle=keras.layers.ReLU,
    norm=layers.BatchNormalization,
    dtype="float32",
    size=8,
    change=lambda model: None,
    **options,
):
    """Returns a small network; each argument changes what it computes."""
    images = keras.Input((size, size, 3), name="images")
    options = {"filters": 4, "kernel_size": 3, "padding": "same"} | options
    x = layers.MaskedConv2D(**options, dtype=dtype, name="conv")(images)
    x = middle()(norm(name="norm", dtype=dtype)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = layers.MaskedDense(10, name="head")(x)
    model = keras.Model(images, logits)
    change(model)
    return model


def _freeze(model):
    model.get_layer("conv").trainable = False


@keras.saving.register_keras_serializable(package="tests")
class _Scale(keras.layers.Layer):
    """A layer of a user's own."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return self.factor * inputs

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


@keras.saving.register_keras_serializable(package="tests")
class _Other(_Scale):
    """Another layer of the same options."""


class _Dumb(keras.layers.Layer):
    """A layer that cannot say what it is made of."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


@keras.saving.register_keras_serializable(package="tests")
class _Composite(keras.layers.Layer):
    """Layers inside a layer."""

    def __init__(self, units=4, inner="relu", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units, activation=inner, name="inner")

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        return super().get_config() | {"units": self.units}


_DIFFERENT = {
    "as it is": {},
    "mixed precision": {"dtype": "mixed_bfloat16"},
    "a frozen layer": {"change": _freeze},
    "another batch norm": {"norm": keras.layers.BatchNormalization},
    "batch norm's epsilon": {
        "norm": lambda **options: layers.BatchNormalization(epsilon=1e-3, **options)
    },
    "batch norm's momentum": {
        "norm": lambda **options: layers.BatchNormalization(momentum=0.99, **options)
    },
    "batch renorm": {
        "norm": lambda **options: layers.BatchNormalization(renorm=True, **options)
    },
    "batch renorm's momentum": {
        "norm": lambda **options: layers.BatchNormalization(
            renorm=True, renorm_momentum=0.5, **options
        )
    },
    "another activation": {"middle": lambda: keras.layers.Activation("tanh")},
    "a third activation": {"middle": lambda: keras.layers.Activation("sigmoid")},
    "a slope below zero": {"middle": lambda: keras.layers.ReLU(negative_slope=0.1)},
    "an activation inside": {"activation": "relu"},
    "no bias": {"use_bias": False},
    "strides": {"strides": 2},
    "strides of one direction": {"strides": (1, 2)},
    "dilation": {"dilation_rate": 2},
    "padding": {"padding": "valid"},
    "kernel size": {"kernel_size": 5},
    "filters": {"filters": 5},
    "larger images": {"size": 9},
    "dropout": {"middle": lambda: keras.layers.Dropout(0.5)},
    "more dropout": {"middle": lambda: keras.layers.Dropout(0.6)},
    "dropout of ours": {"middle": lambda: layers.Dropout(0.5)},
    "noise": {"middle": lambda: keras.layers.GaussianNoise(0.1)},
    "a layer of one's own": {"middle": lambda: _Scale(2.0)},
    "of another option": {"middle": lambda: _Scale(3.0)},
    "of an array": {"middle": lambda: _Scale(np.arange(4.0))},
    "of another array": {"middle": lambda: _Scale(np.arange(4.0) + 1)},
    "of another class": {"middle": lambda: _Other(2.0)},
    "layers inside a layer": {"middle": lambda: _Composite(name="composite")},
    "other layers inside": {
        "middle": lambda: _Composite(inner="tanh", name="composite")
    },
    "an operation": {"middle": lambda: lambda x: keras.ops.sum(x, 1, keepdims=True)},
    "along another axis": {
        "middle": lambda: lambda x: keras.ops.sum(x, 2, keepdims=True)
    },
    "a constant": {"middle": lambda: lambda x: x * 2.0},
    "another constant": {"middle": lambda: lambda x: x * 3.0},
    "called in training": {
        "middle": lambda: lambda x: keras.layers.Dropout(0.5)(x, training=True)
    },
    "layers in a row": {
        "middle": lambda: keras.Sequential(
            [keras.Input((8, 8, 4)), keras.layers.ReLU(), keras.layers.ReLU()]
        )
    },
    "more layers in a row": {
        "middle": lambda: keras.Sequential(
            [keras.Input((8, 8, 4)), keras.layers.ReLU()]
        )
    },
}


@functools.cache
def _built(name):
    return _model(**_DIFFERENT[name])


def test_networks_that_compute_differently_differ():
    found = {name: architecture(_built(name)) for name in _DIFFERENT}
    same = [name for name in found if list(found.values()).count(found[name]) > 1]
    assert not same
    assert all(len(one) == 16 for one in found.values())


@pytest.mark.parametrize("name", _DIFFERENT)
def test_a_network_built_again_is_the_same(name):
    """Keras numbers layers without a name anew."""
    assert architecture(_model(**_DIFFERENT[name])) == architecture(_built(name))


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel_initializer": "zeros"},
        {"strides": (1, 1)},
        {"padding": "SAME"},
        {"activation": "linear"},
        {"middle": lambda: keras.layers.ReLU(name="other", negative_slope=0)},
        {"change": lambda model: layers.set_masks(model, {})},
        {"change": layers.ignore_masks},
        {"change": lambda model: model.compile()},
        {"change": lambda model: model.get_layer("head").bias.assign(np.ones(10))},
    ],
)
def test_what_changes_nothing_that_is_computed_does_not_count(changes):
    assert architecture(_model(**changes)) == architecture(_model())


def _joined(*, swap=False, names=("one", "two"), shared=False):
    """Returns two layers side by side, concatenated in one order or the other."""
    images = keras.Input((8, 8, 3), name="images")
    first, second = (layers.MaskedConv2D(2, 3, name=name) for name in names)
    ways = [first(images), first(images) if shared else second(images)]
    x = keras.layers.Concatenate()(ways[::-1] if swap else ways)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def test_connections_and_names_of_weights_count():
    found = [
        architecture(model)
        for model in (
            _joined(),
            _joined(swap=True),
            _joined(shared=True),
            _joined(names=("one", "three")),
        )
    ]
    assert len(set(found)) == 4


def test_the_order_in_which_layers_were_made_does_not_count():
    def model(first):
        images = keras.Input((8, 8, 3), name="images")
        made = {name: None for name in (("one", "two") if first else ("two", "one"))}
        for name in made:
            made[name] = layers.MaskedConv2D(2, 3, name=name)(images)
        x = keras.layers.Add()([made["one"], made["two"]])
        return keras.Model(images, keras.layers.Flatten()(x))

    assert architecture(model(True)) == architecture(model(False))


def test_slices_and_constants_count():
    def found(take):
        inputs = keras.Input((4, 6))
        return architecture(keras.Model(inputs, keras.ops.sum(take(inputs), axis=1)))

    takes = (
        lambda x: x[:, 0],
        lambda x: x[:, :2],
        lambda x: x[..., None],
        lambda x: x * keras.ops.arange(6, dtype="float32"),
        lambda x: x * keras.ops.ones(6),
        lambda x: x + keras.Variable(np.ones(6, np.float32)),
    )
    assert len({found(take) for take in takes}) == len(takes)
    assert list(map(found, takes)) == list(map(found, takes))


def test_a_call_with_what_nobody_can_tell_again_is_refused():
    class Odd(keras.Operation):
        def call(self, x, what):
            return x

        def compute_output_spec(self, x, what):
            return keras.KerasTensor(x.shape)

    inputs = keras.Input((4,))
    model = keras.Model(inputs, Odd(name="odd")(inputs, object()))
    with pytest.raises(ValueError, match="'odd' of class .*Odd is called with.*object"):
        architecture(model)


def test_outputs_count():
    model = _joined()
    inside = model.layers[-2].output
    several = keras.Model(model.inputs, [*model.outputs, inside])
    assert architecture(several) != architecture(model)


def test_a_layer_that_cannot_say_what_it_is_made_of_is_refused():
    text = r"class .*_Dumb cannot say what it is made of \(.*\).* `get_config` of plain"
    with pytest.raises(ValueError, match=text):
        architecture(_model(middle=lambda: _Dumb(lambda x: x)))


def test_known_networks_consist_of_layers_of_the_table():
    known = {name for name in _DIFFERENT if is_known(_built(name))}
    unknown = _DIFFERENT.keys() - known
    assert {"as it is", "dropout", "dropout of ours", "an operation"} <= known
    assert unknown == {
        *("noise", "a layer of one's own", "of another option", "of another class"),
        *("of an array", "of another array", "layers inside a layer"),
        *("other layers inside", "layers in a row", "more layers in a row"),
        *("batch renorm", "batch renorm's momentum"),
    }


def test_a_model_that_is_code_is_known_by_its_class_and_layers():
    class Code(keras.Model):
        def __init__(self, units):
            super().__init__(name="code")
            self.dense = layers.MaskedDense(units, name="dense")

        def call(self, inputs):
            return self.dense(inputs)

        def get_config(self):
            return {}

    found = []
    for units in (3, 3, 4):
        model = Code(units)
        model(np.ones((1, 2), np.float32))
        assert not is_known(model)
        found.append(architecture(model))
    assert found[0] == found[1] != found[2]
