"""Masked models of one's own are exported, whatever they are made of."""

import json

import keras
import numpy as np
import pytest
import safetensors.numpy

from tflottery import layers
from tflottery.export import __main__ as program
from tflottery.export import networks, plain_models, resolving, tflite
from tflottery.pruning import masks as pruning_masks
from tflottery.training import tickets


@keras.saving.register_keras_serializable("tests_of_export")
class OwnModel(keras.Model):
    """A model that is code."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(5, activation="relu", name="inner")
        self.outer = keras.layers.Dense(2, name="outer")

    def call(self, inputs):
        return self.outer(self.inner(inputs))


def _convolutions():
    return keras.Sequential(
        [
            keras.Input((12, 3)),
            keras.layers.Conv1D(6, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def _attention():
    words = keras.Input((7,), dtype="int32", name="words")
    x = keras.layers.Embedding(11, 8, name="embedding")(words)
    x = keras.layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = keras.layers.GlobalAveragePooling1D(name="average")(x)
    return keras.Model(words, keras.layers.Dense(3, name="head")(x))


def _two_inputs():
    inputs = {"b": keras.Input((2,), name="b"), "a": keras.Input((6,), name="a")}
    x = keras.layers.Concatenate()([inputs["a"], inputs["b"]])
    return keras.Model(inputs, keras.layers.Dense(4)(x))


def _pruned(model, *, unpruned=()):
    """Masks a model, half of each kernel pruned; batch norm is as if trained."""
    generator = np.random.default_rng(0)
    model.set_weights(
        [np.abs(v + 0.1 * generator.random(v.shape)) for v in model.get_weights()]
    )
    layers.mask(model, unpruned=unpruned)
    scores = {p: generator.random(one.shape) for p, one in layers.masks(model).items()}
    kept = sum(one.size for one in scores.values()) // 2
    layers.set_masks(model, pruning_masks.keep_highest(scores, num_survivors=kept))
    return model


@pytest.fixture
def save(tmp_path):
    """Saves a model, compiled as users have it; returns how its file is named."""

    def saved(model):
        model.compile("adam", "mse")
        path = tmp_path / "own.keras"
        model.save(path)
        return resolving.resolve(str(path))

    return saved


@pytest.mark.parametrize(
    ("build", "unpruned", "form"),
    [
        pytest.param(*model, form, marks=pytest.mark.slow if form == "tflite" else ())
        for model in (
            (_convolutions, ()),
            (_attention, ("embedding",)),
            (_two_inputs, ()),
        )
        for form in ("keras", "tflite")
    ],
)
def test_every_kind_of_model_leaves_as_keras_and_tflite(
    build, unpruned, form, save, tmp_path
):
    model = _pruned(build(), unpruned=unpruned)
    found = save(model)
    generator = np.random.default_rng(1)

    def example(tensor):
        shape = (3, *tensor.shape[1:])
        if tensor.dtype == "int32":
            return generator.integers(0, 11, shape).astype(np.int32)
        return generator.random(shape).astype(np.float32)

    inputs = keras.tree.map_structure(example, networks.input_of(model))
    expected = np.asarray(model(inputs))
    path = tmp_path / f"plain.{form}"
    program.exported(found, form, path)
    if form == "tflite":
        (outputs, *_) = tflite.run(path, inputs).values()
    else:
        plain = keras.models.load_model(path)
        modules = [type(one).__module__ for one in plain._flatten_layers()]
        assert not any(one.startswith("tflottery") for one in modules)
        outputs = plain(inputs)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


@pytest.mark.slow
def test_tflite_is_given_inputs_in_the_order_of_the_model(save, tmp_path):
    # Not that of the alphabet, nor are the outputs; and one is of any length.
    inputs = [keras.Input((None, 3), name="words"), keras.Input((3,), name="a")]
    x = keras.layers.GlobalAveragePooling1D()(inputs[0])
    x = keras.layers.Concatenate()([x, inputs[1]])
    heads = [keras.layers.Dense(1 + n, name=f"head_{n}")(x) for n in range(11)]
    model = _pruned(keras.Model(inputs, heads))
    lines = program.exported(save(model), "tflite", tmp_path / "plain.tflite")
    assert "TensorFlow Lite" in lines[-2]


def test_a_bundle_has_the_weights_of_the_ticket(save, tmp_path, nothing_measured):
    model = _pruned(_convolutions())
    rewound = tickets.of(model, rewind_iteration=7)
    tickets.save(rewound, tmp_path / "ticket.safetensors")
    model.set_weights([0.5 * value for value in model.get_weights()])
    layers.set_masks(model, rewound.masks)
    path = str(tmp_path / "ticket.safetensors")
    program.exported(save(model), "bundle", tmp_path / "bundle", ticket=path)
    told = json.loads((tmp_path / "bundle/bundle.json").read_text())
    assert told["rewind_iteration"] == 7 and told["density"] == 0.5
    arrays = safetensors.numpy.load_file(tmp_path / "bundle/rewind.safetensors")
    for name, value in zip(told["variables"], rewound.weights.values(), strict=True):
        np.testing.assert_array_equal(arrays[name], value)
    with pytest.raises(ValueError, match="--ticket=.* of another model: missing"):
        other = save(_pruned(_attention(), unpruned=["embedding"]))
        program.exported(other, "bundle", tmp_path / "other", ticket=path)


def test_a_model_that_is_code_is_compared_on_examples_that_are_given(
    save, tmp_path, nothing_measured
):
    model = OwnModel(name="own")
    x = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    model(x)
    _pruned(model)
    found, path = save(model), tmp_path / "plain.keras"
    with pytest.raises(ValueError, match="does not say what it takes.*--examples"):
        program.exported(found, "keras", path)
    (tmp_path / "x.npy").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"--examples=.*x\.npy' cannot be read"):
        program.exported(found, "keras", path, examples=str(tmp_path / "x.npy"))
    np.save(tmp_path / "x.npy", x)
    program.exported(found, "keras", path, examples=str(tmp_path / "x.npy"))
    plain = keras.models.load_model(path)
    assert type(plain) is OwnModel
    np.testing.assert_allclose(plain(x), model(x), atol=1e-6)
    for form in ("savedmodel", "bundle"):
        program.exported(found, form, tmp_path / form, examples=str(tmp_path / "x.npy"))
    bundle = resolving.resolve(str(tmp_path / "bundle"))
    program.exported(bundle, "savedmodel", tmp_path / "again")


def test_bfloat16_leaves_as_float32():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(2, dtype="bfloat16")]
    )
    outputs = networks.outputs_of(model, np.ones((3, 6), np.float32))
    assert outputs.dtype == np.float32 and outputs.any()


def test_a_module_may_have_a_name_that_begins_like_this_package():
    assert not plain_models._needing_ours({"module": "tflottery_mine", "a": [1]})
    for config in ({"module": "tflottery.layers"}, {"registered_name": "tflottery>A"}):
        assert plain_models._needing_ours({"b": [config | {"class_name": "A"}]}) == {
            "A"
        }


def test_models_without_masks_and_damaged_files_are_refused(save, tmp_path):
    with pytest.raises(ValueError, match="has no masked layers"):
        program.exported(save(_two_inputs()), "keras", tmp_path / "plain.keras")
    found = save(_pruned(_two_inputs()))
    content = (tmp_path / "own.keras").read_bytes()
    (tmp_path / "own.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot be opened as a Keras model"):
        program.exported(found, "keras", tmp_path / "plain.keras")
