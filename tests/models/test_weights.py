"""Weights by variable path: read, assigned, drawn from a seed."""

import re

import keras
import numpy as np
import pytest

from tflottery import layers
from tflottery.core.initializers import KERNEL_INITIALIZERS, Initializers
from tflottery.models import weights as model_weights


def _model(name: str = "small") -> keras.Model:
    images = keras.Input((8, 8, 3), name="images")
    x = layers.MaskedConv2D(64, 3, name="conv")(images)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(images, layers.MaskedDense(500, name="head")(x), name=name)


_PATHS = [
    "conv/kernel",
    "conv/bias",
    "norm/gamma",
    "norm/beta",
    "norm/moving_mean",
    "norm/moving_variance",
    "head/kernel",
    "head/bias",
]


def test_weights_hold_statistics_and_no_masks():
    model = _model()
    found = model_weights.weights(model)
    assert list(found) == _PATHS
    assert all(weight.dtype == np.float32 for weight in found.values())
    shapes = model_weights.variable_shapes(model)
    assert shapes == {path: weight.shape for path, weight in found.items()}
    assert model_weights.trainable_paths(model) == tuple(
        path for path in _PATHS if "moving" not in path
    )


def test_weights_are_copies():
    model = _model()
    found = model_weights.weights(model)
    kept = found["conv/kernel"].copy()
    model.get_layer("conv").kernel.assign_add(np.ones(kept.shape))
    np.testing.assert_array_equal(found["conv/kernel"], kept)
    found["head/kernel"][:] = 7
    assert not (model_weights.weights(model)["head/kernel"] == 7).any()


def test_frozen_weights_stay_among_the_weights():
    model = _model()
    model.get_layer("conv").trainable = False
    assert set(model_weights.weights(model)) == set(_PATHS)


def test_assign_gives_every_variable_its_weights_and_no_mask():
    model = _model()
    mask = np.zeros((64, 500))
    layers.set_masks(model, {"head/kernel": mask})
    given = {
        path: np.full(shape, index, np.float32)
        for index, (path, shape) in enumerate(
            model_weights.variable_shapes(model).items()
        )
    }
    model_weights.assign(model, given)
    for variable in model.variables:
        if variable.path in given:
            np.testing.assert_array_equal(variable, given.pop(variable.path))
    assert not given and not model_weights.weights(model)["head/kernel"].any()
    np.testing.assert_array_equal(layers.masks(model)["head/kernel"], mask)


def test_assign_refuses_what_does_not_fit():
    model = _model()
    good = model_weights.weights(model)
    other = {**good, "tail/bias": np.zeros(3)}
    del other["norm/beta"]
    with pytest.raises(ValueError, match=r"'small'.*\['norm/beta'\].*\['tail/bias'\]"):
        model_weights.assign(model, other)
    changed = {**good, "conv/bias": good["conv/bias"] + 1, "head/bias": np.zeros(9)}
    with pytest.raises(ValueError, match=r"'head/bias'.*\(9,\).*\(500,\)"):
        model_weights.assign(model, changed)
    for path, weight in model_weights.weights(model).items():
        np.testing.assert_array_equal(weight, good[path])


def test_two_variables_of_one_path_are_refused():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__(name="twins")
            self.first = layers.MaskedDense(4, name="same")
            self.second = layers.MaskedDense(4, name="same")

        def call(self, inputs: object) -> object:
            return self.second(self.first(inputs))

    model = Twins()
    model(np.zeros((1, 4), np.float32))
    with pytest.raises(ValueError, match=r"'twins'.*same/kernel.*name of its own"):
        model_weights.weights(model)


def test_initial_weights_follow_seed_and_path_alone():
    model = _model()
    first = model_weights.initial_weights(model, 1)
    again = model_weights.initial_weights(_model("other"), 1)
    second = model_weights.initial_weights(model, 2)
    for path, weight in first.items():
        assert weight.dtype == np.float32
        np.testing.assert_array_equal(again[path], weight)
        assert (second[path] != weight).any() == path.endswith("kernel")
    model_weights.assign(model, first)


def test_initial_values_are_those_of_the_weights_by_path_and_shape():
    model = _model()
    expected = model_weights.initial_weights(model, 1)
    shapes = model_weights.variable_shapes(model)
    # Neither the order nor what else is drawn matters.
    for paths in (_PATHS[::-1], ["head/kernel", "norm/gamma"]):
        found = model_weights.initial_values({path: shapes[path] for path in paths}, 1)
        assert list(found) == paths
        for path, value in found.items():
            np.testing.assert_array_equal(value, expected[path])
    assert model_weights.initial_values({}, 1) == {}


def test_kernels_of_one_shape_are_drawn_from_streams_of_their_own():
    """The values are those that stores hold: a change of them is a change of runs."""
    shapes = {f"{layer}/kernel": (2, 2) for layer in ("dense_1", "dense_2", "head")}
    found = model_weights.initial_values(shapes, 1)
    expected = {
        "dense_1/kernel": [[-0.7371103, 0.021923313], [0.29626143, 1.125773]],
        "dense_2/kernel": [[-0.8241113, 0.84552276], [-2.8273053, -1.5024036]],
        "head/kernel": [[0.17538834, 0.6348966], [0.31497028, 0.36469337]],
    }
    for path, values in expected.items():
        np.testing.assert_allclose(found[path], values, rtol=1e-6, err_msg=path)
    one, two, three = (np.abs(value).ravel() for value in found.values())
    assert not np.isin(one, two).any() and not np.isin(two, three).any()


def test_initial_values_name_what_they_do_not_know():
    text = r"'head/scale' of shape \(3,\).*Known: kernel, bias"
    with pytest.raises(ValueError, match=text):
        model_weights.initial_values({"head/kernel": (2, 3), "head/scale": (3,)}, 1)


@pytest.mark.parametrize(
    ("shape", "fan_in"),
    [((3, 3, 16, 32), 144), ((1, 1, 16, 32), 16), ((64, 10), 64), ((2, 1), 2)],
)
def test_initial_std_is_of_the_fan_in(shape, fan_in):
    assert model_weights.initial_std(shape) == np.sqrt(2 / fan_in)


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((3, 3, 16, 32), 144 + 288), ((1, 1, 16, 32), 48), ((64, 10), 74), ((2, 1), 3)],
)
def test_initial_std_of_glorots_initializers_is_of_both_fans(shape, fans):
    for kernel in ("glorot_normal", "glorot_uniform"):
        found = model_weights.initial_std(shape, Initializers(kernel))
        assert found == np.sqrt(2 / fans)


@pytest.mark.parametrize("shape", [(), (10,), (3, 0), (0, 3)])
def test_initial_std_is_of_kernels_only(shape):
    text = re.escape(f"shape={shape!r} is not a kernel's: expected two axes or more")
    with pytest.raises(ValueError, match=text):
        model_weights.initial_std(shape)


def test_initial_weights_are_kaiming_normal():
    drawn = model_weights.initial_weights(_model(), 1)
    for path, fan_in in (("conv/kernel", 27), ("head/kernel", 64)):
        kernel, std = drawn[path], np.sqrt(2 / fan_in)
        count = kernel.size
        assert abs(kernel.mean()) < 4 * std / np.sqrt(count)
        assert kernel.std() == pytest.approx(std, rel=4 / np.sqrt(2 * count))
        # Normal, not truncated: about 4.6% lie beyond two standard deviations.
        assert np.mean(np.abs(kernel) > 2 * std) == pytest.approx(0.0455, abs=0.025)
    for path, value in (("norm/gamma", 1), ("norm/moving_variance", 1)):
        assert (drawn[path] == value).all()
    for path in ("conv/bias", "norm/beta", "norm/moving_mean", "head/bias"):
        assert (drawn[path] == 0).all()


@pytest.mark.parametrize("kernel", KERNEL_INITIALIZERS)
def test_kernels_are_drawn_from_what_is_named(kernel):
    initializers = Initializers(kernel)
    shapes = {"a/kernel": (3, 3, 20, 30), "b/kernel": (100, 200)}
    found = model_weights.initial_values(shapes, 1, initializers)
    for path, shape in shapes.items():
        values, std = found[path], model_weights.initial_std(shape, initializers)
        assert (values.shape, values.dtype) == (shape, np.float32)
        assert abs(values.mean()) < 4 * std / np.sqrt(values.size)
        assert values.std() == pytest.approx(std, rel=0.03)
        limit = np.sqrt(3) * std if kernel.endswith("uniform") else 5 * std
        assert 0.95 * limit < np.abs(values).max() <= limit or "normal" in kernel
        beyond = np.mean(np.abs(values) > 2 * std)
        expected = 0 if kernel.endswith("uniform") else 0.0455
        assert beyond == pytest.approx(expected, abs=0.01)


def test_uniform_scales_are_drawn_from_0_to_1_and_nothing_else_changes():
    shapes = model_weights.variable_shapes(_model()) | {"other/gamma": (5_000,)}
    uniform = Initializers(batch_norm_scale="uniform")
    ones, found, again, other = (
        model_weights.initial_values(shapes, seed, initializers)
        for seed, initializers in (
            (1, Initializers()),
            (1, uniform),
            (1, uniform),
            (2, uniform),
        )
    )
    scales = found["other/gamma"]
    assert scales.dtype == np.float32 and 0 <= scales.min() and scales.max() < 1
    assert scales.mean() == pytest.approx(0.5, abs=0.02)
    assert scales.std() == pytest.approx(np.sqrt(1 / 12), abs=0.01)
    assert not np.isin(found["norm/gamma"], scales).any()
    for path, values in found.items():
        np.testing.assert_array_equal(again[path], values)
        assert (ones[path] == values).all() == (not path.endswith("gamma"))
    # Whoever is drawn afresh has other scales too.
    assert (other["other/gamma"] != scales).any()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"kernel": "lecun_normal"},
            "kernel='lecun_normal', expected .*glorot_uniform",
        ),
        ({"batch_norm_scale": 1}, "batch_norm_scale=1, expected one of ones, uniform"),
    ],
)
def test_unknown_initializers_list_the_known_ones(options, text):
    with pytest.raises(ValueError, match=text):
        Initializers(**options)


def test_initial_weights_name_what_they_do_not_know():
    tokens = keras.Input((4,), name="tokens")
    model = keras.Model(tokens, keras.layers.Embedding(3, 2, name="table")(tokens))
    with pytest.raises(ValueError, match=r"'table/embeddings'.*Known: kernel, bias"):
        model_weights.initial_weights(model, 1)
