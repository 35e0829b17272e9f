"""A model that was built without masks computes the same with them, saved or not."""

import keras
import numpy as np
import pytest

from tflottery import layers

_LAYERS = {
    "dense": ((7,), lambda: keras.layers.Dense(5)),
    "einsum": (
        (4, 6),
        lambda: keras.layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="e"),
    ),
    "conv_1d": ((9, 3), lambda: keras.layers.Conv1D(4, 3, padding="causal")),
    "conv_2d": ((8, 8, 4), lambda: keras.layers.Conv2D(6, 3, groups=2, strides=2)),
    "conv_3d": ((4, 4, 4, 2), lambda: keras.layers.Conv3D(3, 2)),
    "transposed_1d": ((5, 3), lambda: keras.layers.Conv1DTranspose(4, 3)),
    "transposed_2d": ((5, 5, 3), lambda: keras.layers.Conv2DTranspose(4, 3, strides=2)),
    "transposed_3d": ((3, 3, 3, 2), lambda: keras.layers.Conv3DTranspose(2, 2)),
    "depthwise_1d": ((9, 3), lambda: keras.layers.DepthwiseConv1D(3)),
    "depthwise_2d": (
        (6, 6, 3),
        lambda: keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
    ),
    "separable_1d": ((9, 3), lambda: keras.layers.SeparableConv1D(4, 3)),
    "separable_2d": ((6, 6, 3), lambda: keras.layers.SeparableConv2D(4, 3)),
}


@keras.saving.register_keras_serializable(package="test")
class Residual(keras.layers.Layer):
    """A layer that keeps others as attributes and in a list."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = [keras.layers.Dense(units, activation="relu"), None]
        self.norm = keras.layers.LayerNormalization()

    def build(self, input_shape):
        self.inner[1] = keras.layers.Dense(input_shape[-1])
        self.inner[0].build(input_shape)
        self.inner[1].build((*input_shape[:-1], self.units))
        self.norm.build(input_shape)

    def call(self, inputs):
        return inputs + self.norm(self.inner[1](self.inner[0](inputs)))

    def get_config(self):
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable(package="test")
class Block(keras.layers.Layer):
    """A layer without a `build`, with a matrix of its own beside the layers inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(4, activation="relu")
        self.second = keras.layers.EinsumDense("abc,cd->abd", (None, 6))
        self.token = self.add_weight(shape=(1, 1, 6), name="token")

    def call(self, inputs):
        return inputs + self.second(self.first(inputs)) + self.token


@keras.saving.register_keras_serializable(package="test")
class Subclassed(keras.Model):
    """A model in code, which masks nothing when it is made anew."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = keras.layers.Dense(units)
        self.attention = keras.layers.MultiHeadAttention(2, 3)
        self.blocks = [Residual(4), Residual(5)]
        self.last = keras.layers.Dense(3)

    def call(self, inputs, training=False):
        x = self.first(inputs)
        x = self.attention(x, x, training=training)
        for block in self.blocks:
            x = block(x)
        return self.last(x)

    def get_config(self):
        return super().get_config() | {"units": self.units}


def _subclassed(_):
    model = Subclassed(6)
    model(np.zeros((1, 4, 6)))
    return model, (4, 6)


def _sequential(generator):
    name = generator.choice(sorted(_LAYERS))
    shape, layer = _LAYERS[name]
    last = [keras.layers.Flatten(), keras.layers.Dense(3, activation="tanh")]
    return keras.Sequential([keras.Input(shape), layer(), *last]), shape


def _functional(generator):
    inputs = keras.Input((6, 6))
    x = inputs
    shared = keras.layers.Dense(6)
    for _ in range(generator.integers(1, 4)):
        kind = generator.integers(5)
        if kind == 0:
            x = keras.layers.MultiHeadAttention(2, 3)(x, x)
        elif kind == 1:
            x = shared(x) + x
        elif kind == 2:
            x = keras.layers.TimeDistributed(keras.layers.Dense(6))(x)
        elif kind == 3:
            x = Residual(3)(x)
        else:
            block = [keras.Input((6, 6)), keras.layers.Conv1D(6, 3, padding="same")]
            x = keras.Sequential(block)(x)
    return keras.Model(inputs, keras.layers.Dense(2)(x)), (6, 6)


_BUILD = {
    "sequential": _sequential,
    "functional": _functional,
    "subclassed": _subclassed,
}


def _randomized(model, generator):
    for variable in model.trainable_variables:
        variable.assign(generator.normal(size=variable.shape) / 2)


def _half(model, generator):
    return {
        path: (generator.random(mask.shape) < 0.5).astype(np.float32)
        for path, mask in layers.masks(model).items()
    }


def _kernel_paths(model):
    paths = [variable.path for variable in model.trainable_variables]
    return sorted(path for path in paths if path.endswith("kernel"))


@pytest.mark.parametrize("name", _LAYERS)
def test_every_layer_computes_the_same_with_masks_and_with_pruned_weights(name):
    generator = np.random.default_rng(0)
    shape, layer = _LAYERS[name]
    model = keras.Sequential([keras.Input(shape), layer()])
    _randomized(model, generator)
    x = generator.normal(size=(3, *shape)).astype(np.float32)
    before, weights = np.asarray(model(x)), model.get_weights()
    config = model.layers[0].get_config()
    assert layers.mask(model) is model
    np.testing.assert_array_equal(model(x), before)
    assert model.layers[0].get_config() == config
    assert sorted(layers.masks(model)) == _kernel_paths(model)
    masks = _half(model, generator)
    # Written over after the pruning: the masks alone keep them out.
    layers.set_masks(model, masks)
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
    plain = keras.Sequential([keras.Input(shape), layer()])
    pairs = zip(plain.trainable_variables, model.trainable_variables, strict=True)
    for variable, own in pairs:
        variable.assign(own * masks[own.path] if own.path in masks else own)
    np.testing.assert_array_equal(model(x), plain(x))


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.parametrize(
    ("kind", "seed"),
    [("subclassed", 0), ("sequential", 1), ("functional", 3)]
    + [
        pytest.param(kind, seed, marks=pytest.mark.slow)
        for kind, seed in (("sequential", 2), *(("functional", s) for s in range(3)))
    ],
)
def test_any_model_is_the_same_masked_saved_and_loaded(tmp_path, kind, seed, suffix):
    generator = np.random.default_rng(seed)
    model, shape = _BUILD[kind](generator)
    _randomized(model, generator)
    x = generator.normal(size=(3, *shape)).astype(np.float32)
    before = np.asarray(model(x))
    paths = [variable.path for variable in model.trainable_variables]
    layers.mask(model)
    np.testing.assert_array_equal(model(x), before)
    assert [variable.path for variable in model.trainable_variables] == paths
    assert sorted(layers.masks(model)) == _kernel_paths(model)

    layers.set_masks(model, _half(model, generator))
    file = tmp_path / f"model{suffix}"
    if suffix == ".keras":
        model.save(file)
        loaded = keras.models.load_model(file)
    else:
        model.save_weights(file)
        loaded, _ = _BUILD[kind](np.random.default_rng(seed))
        layers.mask(loaded).load_weights(file)
    np.testing.assert_array_equal(loaded(x), model(x))
    pairs = zip(
        layers.masks(loaded).values(), layers.masks(model).values(), strict=True
    )
    for found, expected in pairs:
        np.testing.assert_array_equal(found, expected)


def test_layers_without_build_are_masked_when_a_model_opens(tmp_path):
    inputs = keras.Input((4, 6))
    x = Block(name="one")(inputs)
    inner = keras.Sequential([keras.Input((4, 6)), Block(name="two")], name="inner")
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(inner(x)))
    # A layer with a matrix of its own goes unmasked as a whole, or but for that.
    with pytest.raises(
        ValueError, match=r"one.*Block, token.*unpruned=\['one/token', 'two/token'"
    ):
        layers.mask(model)
    tokens = [one.path for one in model.weights if "token" in one.path]
    layers.mask(model, unpruned=[*tokens, "head"])
    assert len(layers.masks(model)) == 4
    generator = np.random.default_rng(0)
    layers.set_masks(model, _half(model, generator))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = generator.normal(size=(3, 4, 6)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    # Layers inside of it that have no name of their own get another.
    for one, other in zip(
        *(layers.masks(m).values() for m in (loaded, model)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"'one', 'two'\] leaves nothing"):
        layers.mask(keras.Sequential(model.layers[:3]), unpruned=["two", "one"])


def test_a_model_masked_again_opens_as_it_is(tmp_path):
    model, shape = _subclassed(None)
    layers.mask(model, unpruned=[model.last.name])
    layers.mask(model)
    assert len(layers.masks(model)) == len(_kernel_paths(model))
    # What is masked already stays so, whoever names it later.
    layers.mask(model, unpruned=[model.first.name])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(layers.masks(loaded)) == len(_kernel_paths(model))


def test_kernels_that_are_no_variables_are_named():
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, lora_rank=1, name="low")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="high")(outputs))
    with pytest.raises(ValueError, match=r"\['low'\].*LoRA"):
        layers.mask(model)
    assert type(model.get_layer("high")) is keras.layers.Dense
    layers.mask(model, unpruned=["low"])
    with pytest.raises(ValueError, match=r"'high' has masks.*unmask"):
        model.get_layer("high").enable_lora(1)
    plain = keras.Sequential([inputs, keras.layers.Dense(2, name="small")])
    plain.quantize("int8")
    with pytest.raises(ValueError, match=r"small'\].*quantized"):
        layers.mask(plain)
    with pytest.raises(ValueError, match="unpruned='small'.*list"):
        layers.mask(plain, unpruned="small")


@pytest.mark.slow
def test_a_compiled_model_goes_on_in_fit_with_pruned_weights_zero(tmp_path):
    model, shape = _subclassed(None)
    x, y = np.random.default_rng(0).normal(size=(8, *shape)), np.zeros((8, 4, 3))
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(x, y, verbose=0)
    layers.mask(model)
    masks = _half(model, np.random.default_rng(1))
    layers.set_masks(model, masks)
    model.fit(x, y, verbose=0)
    for one in layers.masked_kernels(model):
        kernel = one.kernel.numpy()
        assert not kernel[masks[one.kernel.path] == 0].any()
        assert kernel.any()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 2


def test_what_cannot_be_masked_is_named_and_nothing_changes():
    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(9, 4, name="tokens")(inputs)
    x = keras.layers.GRU(3, name="memory")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
    with pytest.raises(ValueError, match=r"tokens.*Embedding.*memory.*GRUCell.*kernel"):
        layers.mask(model)
    assert not layers.masked_layers(model)
    with pytest.raises(ValueError, match=r"\['hat'\].*has.*'head'"):
        layers.mask(model, unpruned=["hat"])
    layers.mask(model, unpruned=["tokens", "memory"])
    assert list(layers.masks(model)) == ["head/kernel"]
    assert layers.mask(model, unpruned=["tokens", "memory"]) is model

    with pytest.raises(ValueError, match="not built"):
        layers.mask(keras.Sequential([keras.layers.Dense(2)]))
    for wrong in (5, keras.Sequential):
        with pytest.raises(ValueError, match="expected a keras.Model"):
            layers.mask(wrong)


def test_layers_left_unpruned_stay_so_when_loaded(tmp_path):
    model, shape = _subclassed(None)
    layers.mask(model, unpruned=[model.last.name])
    assert not [path for path in layers.masks(model) if model.last.name in path]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(layers.masks(loaded)) == len(layers.masks(model))
    x = np.ones((2, *shape), np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
