"""What the loop cannot train is refused before it is tried."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.training import requirements


def _model(
    *, middle=lambda: keras.layers.ReLU(), dtype=None, last="float32", **options
):
    images = keras.Input((4, 4, 1), name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    x = layers.MaskedDense(8, name="dense", dtype=dtype, **options)(x)
    x = middle()(x)
    return keras.Model(images, layers.MaskedDense(3, name="head", dtype=last)(x))


class _Drawing(keras.layers.Layer):
    """A layer of a user's own that draws random numbers somehow."""

    def __init__(self, how):
        super().__init__(name="drawing")
        self.how = how
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training=False):
        if not training:
            return inputs
        shape = keras.ops.shape(inputs)
        if self.how == "seed generator":
            return inputs + keras.random.normal(shape, seed=self.seed_generator)
        if self.how == "global":
            return inputs + keras.random.normal(shape)
        if self.how == "tensorflow":
            return inputs + tf.random.normal(shape)
        return inputs + np.random.default_rng().random()

    def compute_output_spec(self, inputs, training=False):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {"how": self.how}


@pytest.mark.parametrize(
    "middle",
    [
        keras.layers.ReLU,
        lambda: keras.layers.Dropout(0.5),
        lambda: layers.Dropout(0.5),
        lambda: keras.layers.GaussianNoise(0.5),
        lambda: _Drawing("seed generator"),
        # Keeps a state of its own, which is none of chance's.
        lambda: keras.layers.SpectralNormalization(
            keras.layers.Dense(8, name="inner"), name="spectral"
        ),
    ],
)
def test_random_numbers_of_seed_generators_are_supported(middle):
    requirements.validate(_model(middle=middle))


@pytest.mark.parametrize("how", ["global", "tensorflow", "numpy"])
def test_random_numbers_from_elsewhere_are_refused(how):
    text = "draws random numbers that do not come from seed generators .*SeedGenerator"
    with pytest.raises(ValueError, match=text):
        requirements.validate(_model(middle=lambda: _Drawing(how)))


@pytest.mark.parametrize(
    ("dtype", "last", "expected"),
    [
        ("float32", "float32", "float32"),
        ("mixed_bfloat16", "float32", "mixed_bfloat16"),
    ],
)
def test_precision_of_what_is_supported(dtype, last, expected):
    model = _model(dtype=dtype, last=last)
    assert requirements.precision(model) == expected
    requirements.validate(model)


@pytest.mark.parametrize(
    ("dtype", "last", "text"),
    [
        (
            "mixed_float16",
            "float32",
            "computes in float16, float32, with variables of f",
        ),
        (
            "bfloat16",
            "float32",
            "variables of bfloat16, float32 and outputs of float32",
        ),
        ("float64", "float64", "computes in float64, .* and outputs of float64"),
        ("mixed_bfloat16", "mixed_bfloat16", "outputs of bfloat16.*for the last one"),
    ],
)
def test_other_precisions_are_refused(dtype, last, text):
    with pytest.raises(ValueError, match=text):
        requirements.validate(_model(dtype=dtype, last=last))


@pytest.mark.parametrize(
    ("end", "name"),
    [
        (keras.layers.Softmax(name="last"), "softmax"),
        (keras.layers.Activation("softmax", name="last"), "softmax"),
        (keras.layers.Dense(3, activation="sigmoid", name="last"), "sigmoid"),
        (keras.ops.softmax, "softmax"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(end, name):
    model = _model()
    ended = keras.Model(model.inputs, end(model.outputs[0]), name="inner")
    around = keras.Sequential([model.inputs[0], ended])
    for one in (ended, around):
        with pytest.raises(ValueError, match=f"ends in a {name} .*without activation"):
            requirements.validate(one)


def test_losses_that_the_loop_would_leave_out_are_refused():
    model = _model(kernel_regularizer=keras.regularizers.L2(1e-4))
    with pytest.raises(ValueError, match="adds 1 losses .*--weight_decay"):
        requirements.validate(model)
