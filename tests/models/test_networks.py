"""Contracts of every registered model: counts, names, training, saving."""

import functools
import math
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.core.registry import MODELS
from tflottery.models import weights as model_weights
from tflottery.models.architecture import architecture, is_known
from tflottery.training import tasks

# Counts are for ten classes, but a thousand where the paper's data has them; AlexNet's
# for the smallest images, of which its first dense layer gets 256 values.
_NUM_CLASSES = {
    **{"alexnet": 1000, "alexnet_grouped": 1000},
    **{"inception_v3": 1000, "resnet50": 1000},
}
_TRAINABLE = {
    "alexnet": 61_100_840 - (9216 - 256) * 4096,
    "alexnet_cifar_stem": 20_326_218,
    "alexnet_grouped": 60_965_224 - (9216 - 256) * 4096,
    "inception_v3": 27_161_264,
    "lenet": 266_610,
    "lenet_batch_norm": 262_210,
    "resnet18": 11_181_642,
    "resnet18_cifar_stem": 11_173_962,
    "resnet20": 272_474,
    "resnet50": 25_557_032,
    "resnet50_cifar_stem": 23_520_842,
    "resnet56": 855_770,
    "vgg11": 9_231_114,
    "vgg13": 9_416_010,
    "vgg16": 14_728_266,
    "vgg19": 20_040_522,
    "wrn16_8": 11_093_130,
    "wrn16_8_preactivation": 10_961_370,
}
_PRUNABLE = {
    "alexnet": 56_994_496 - (9216 - 256) * 4096,
    # Convolutions 4,800 + 307,200 + 663,552 + 884,736 + 589,824; dense layers 1,048,576
    # + 16,777,216.
    "alexnet_cifar_stem": 20_275_904,
    # Convolutions 34,848 + 307,200 + 884,736 + 663,552 + 442,368.
    "alexnet_grouped": 20_158_496,
    "inception_v3": 27_123_040,
    "lenet": 266_200,
    "lenet_batch_norm": 261_400,
    # Stem 9,408; stages 147,456 + 516,096 + 2,064,384 + 8,257,536; projections 172,032;
    # head 5,120. A stem of 3 * 64 * 9 = 1,728 takes 7,680 away.
    "resnet18": 11_172_032,
    "resnet18_cifar_stem": 11_164_352,
    "resnet20": 270_896,
    "resnet50": 25_502_912,
    # Convolutions 23,454,912, of which a stem of 3 * 64 * 9 takes 7,680 away.
    "resnet50_cifar_stem": 23_447_232,
    "resnet56": 851_504,
    "vgg11": 9_217_728,
    "vgg13": 9_402_048,
    "vgg16": 14_710_464,
    "vgg19": 20_018_880,
    # Stem 3,456; stages 589,824 + 2,064,384 + 8,257,536; projections 163,840; head
    # 5,120.
    "wrn16_8": 11_084_160,
    # Stem 432; stages 460,800 + 2,064,384 + 8,257,536; projections 165,888; head 5,120.
    "wrn16_8_preactivation": 10_954_160,
}
# What networks are called in keys, whatever release of Keras builds them. A change of
# one makes all runs of that network others; it belongs to a change of what is computed.
_ARCHITECTURES = {
    "alexnet": "ccfba3bdc0a87c8a",
    "alexnet_cifar_stem": "3641140f6e78a7d5",
    "alexnet_grouped": "17ab0fb36190963a",
    "inception_v3": "2aa997bec86398f4",
    "lenet": "2573f923f3363811",
    "lenet_batch_norm": "004e6c6873d4d943",
    "resnet18": "bf83a9d46927cf29",
    "resnet18_cifar_stem": "4e75ceab4eb55c0e",
    "resnet20": "4d0cc45307eddfe7",
    "resnet50": "7bdf86f8e845cef9",
    "resnet50_cifar_stem": "a60f063a33496d2a",
    "resnet56": "9e974cf186306e6f",
    "vgg11": "2d5b0d5f14b75c34",
    "vgg13": "94d9f45b389911b7",
    "vgg16": "c7c7a81a4a7ddb85",
    "vgg19": "de46640e7e18d677",
    "wrn16_8": "874b040335415a17",
    "wrn16_8_preactivation": "f9f9054fb35bab7b",
}
_every_model = pytest.mark.parametrize("name", MODELS.names())
_DEEP = (
    *("alexnet", "alexnet_cifar_stem", "alexnet_grouped", "inception_v3"),
    *("resnet18", "resnet18_cifar_stem", "resnet50", "resnet50_cifar_stem"),
    *("resnet56", "vgg11", "vgg13", "vgg16", "vgg19"),
    *("wrn16_8", "wrn16_8_preactivation"),
)
_deep_ones_slow = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in _DEEP else ())
        for name in MODELS.names()
    ],
)
# One of each family where depth changes nothing but the time a test takes.
_every_family = pytest.mark.parametrize(
    "name",
    ["lenet", "resnet20", pytest.param("vgg11", marks=pytest.mark.slow)],
)


_IMAGE_SHAPES = {"lenet": (28, 28, 1), "lenet_batch_norm": (16, 16, 3)}


def _sizes(name: str) -> dict[str, object]:
    """Returns what of its inputs and outputs a network is built with."""
    size = MODELS[name]["minimum_image_size"]
    return {
        "input_shape": _IMAGE_SHAPES.get(name, (size, size, 3)),
        "num_classes": _NUM_CLASSES.get(name, 10),
    }


def _build(name: str) -> keras.Model:
    return MODELS[name].function(**_sizes(name))


_built = functools.cache(_build)


def _batch(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, *model.input_shape[1:])).astype(np.float32)
    return images, rng.integers(0, 10, 4).astype(np.int32)


def _convolutions(model: keras.Model) -> list[layers.MaskedConv2D]:
    """Returns the masked convolutions in the model's order."""
    found = layers.masked_layers(model)
    return [layer for layer in found if isinstance(layer, layers.MaskedConv2D)]


def _stages(count: int) -> list[str]:
    return [f"stage_{index}" for index in range(1, count + 1)]


def _train(model: keras.Model, *, iterations: int) -> list[float]:
    """Returns the losses of a few eager iterations (cheaper than tracing a graph)."""
    images, labels = _batch(model)
    optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
    values = []
    for _ in range(iterations):
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = tf.reduce_mean(tasks.Task().training_losses(labels, outputs))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        values.append(float(loss))
    return values


def test_every_model_has_its_counts_here():
    assert set(MODELS.names()) == set(_TRAINABLE) == set(_PRUNABLE)
    assert set(MODELS.names()) == set(_ARCHITECTURES)
    assert len(set(_ARCHITECTURES.values())) == len(_ARCHITECTURES)


@_every_model
def test_parameter_counts(name: str, shaped):
    model = shaped(name, **_sizes(name))
    shapes = model_weights.variable_shapes(model)
    sizes = {path: int(np.prod(shape)) for path, shape in shapes.items()}
    trainable = model_weights.trainable_paths(model)
    assert sum(sizes[path] for path in trainable) == _TRAINABLE[name]
    # The variant for tickets of other tasks, which some networks have alone, prunes no
    # head at all.
    (named,) = {
        recipe.pruning.unpruned
        for variant, recipe in MODELS[name]["recipes"].items()
        if variant != "limited_supervision"
    } or {("head",)}
    unpruned = {f"{layer}/kernel" for layer in named}
    kernels = layers.masks(model).keys()
    assert unpruned <= kernels
    assert sum(sizes[path] for path in kernels - unpruned) == _PRUNABLE[name]
    if name == "resnet20":
        assert sum(sizes.values()) == 274_042


@_every_model
def test_architectures_are_what_they_were(name: str, shaped):
    model = shaped(name, **_sizes(name))
    assert is_known(model)
    assert architecture(model) == _ARCHITECTURES[name]


def test_convolutions_of_resnet50_count_their_stages(shaped):
    """Limited Supervision cuts after 11, 24 and 43: projections count too."""
    convolutions = _convolutions(shaped("resnet50", **_sizes("resnet50")))
    stages = [layer.name.split("_block_")[0] for layer in convolutions]
    assert stages == sorted(stages, key=["stem", *_stages(4)].index)
    ends = {stage: count for count, stage in enumerate(stages, start=1)}
    assert list(ends.values()) == [1, 11, 24, 43, 53]
    assert sum(math.prod(layer.kernel.shape) for layer in convolutions) == 23_454_912


def test_strides_of_resnet50_are_in_the_3x3_convolutions(shaped):
    strided = [
        layer.name
        for layer in _convolutions(shaped("resnet50", **_sizes("resnet50")))
        if max(layer.strides) > 1
    ]
    expected = {
        f"{s}_block_1_{part}" for s in _stages(4)[1:] for part in ("conv_2", "shortcut")
    }
    assert set(strided) == {"stem", *expected}


def test_resnet18_has_either_stem(shaped):
    for name, size in (("resnet18", 1), ("resnet18_cifar_stem", 4)):
        model = shaped(name, input_shape=(32, 32, 3), num_classes=10)
        assert model.get_layer("stage_1_block_1_add").output.shape[1] == 8 * size
        assert model.get_layer("stage_4_block_2_add").output.shape[1] == size
        shortcuts = [c.name for c in _convolutions(model) if "shortcut" in c.name]
        assert shortcuts == [f"{stage}_block_1_shortcut" for stage in _stages(4)[1:]]


def test_wide_resnets_differ_in_stem_shortcuts_and_norms(shaped):
    paper, zagoruyko = (
        shaped("wrn16_8", **_sizes("wrn16_8")),
        shaped("wrn16_8_preactivation", **_sizes("wrn16_8_preactivation")),
    )
    shortcuts = [
        {c.name: c.strides[0] for c in _convolutions(model) if "shortcut" in c.name}
        for model in (paper, zagoruyko)
    ]
    last_two = {f"{stage}_block_1_shortcut": 2 for stage in _stages(3)[1:]}
    assert shortcuts == [last_two, {"stage_1_block_1_shortcut": 1, **last_two}]
    norms = [
        [layer.name for layer in layers.normalizations(model)]
        for model in (paper, zagoruyko)
    ]
    assert [len(names) for names in norms] == [1 + 12 + 2, 12 + 1]
    assert not any("stem" in name or "shortcut" in name for name in norms[1])
    assert norms[1][-1] == "last_norm"


def test_preactivation_comes_before_convolutions_and_not_after_the_addition(shaped):
    model = shaped("wrn16_8_preactivation", **_sizes("wrn16_8_preactivation"))
    inputs = [
        model.get_layer(f"stage_2_block_1_{part}").input
        for part in ("shortcut", "conv_1_padding", "conv_2")
    ]
    # A shortcut that changes shape sees the activated inputs, as its block does.
    assert (
        inputs[0] is inputs[1] is model.get_layer("stage_2_block_1_conv_1_relu").output
    )
    assert inputs[2] is model.get_layer("stage_2_block_1_conv_2_relu").output
    added = model.get_layer("stage_2_block_2_add").input
    assert added[1] is model.get_layer("stage_2_block_1_add").output


def test_convolutions_of_inception_and_of_its_auxiliary_head(shaped):
    sizes = {
        layer.name: math.prod(layer.kernel.shape)
        for layer in _convolutions(shaped("inception_v3", **_sizes("inception_v3")))
    }
    auxiliary = [name for name in sizes if name.startswith("auxiliary")]
    assert (len(sizes) - len(auxiliary), len(auxiliary)) == (94, 2)
    assert sum(sizes[name] for name in auxiliary) == 2_555_904
    assert sum(sizes.values()) == 21_751_136 + 2_555_904


@_deep_ones_slow
def test_outputs_are_float32_logits(name: str):
    model = _built(name)
    logits = tasks.main_outputs(model(_batch(model)[0]))
    assert logits.shape == (4, _NUM_CLASSES.get(name, 10))
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()


@_every_family
def test_two_models_of_one_process_have_the_same_unique_paths(name: str):
    first, second = _built(name), _build(name)
    shapes = model_weights.variable_shapes(first)
    assert list(shapes.items()) == list(model_weights.variable_shapes(second).items())
    assert len({layer.name for layer in first.layers}) == len(first.layers)
    assert "head/kernel" in shapes


@_deep_ones_slow
def test_two_iterations_change_every_weight_and_prune_none(name: str):
    model = _built(name)
    model_weights.assign(model, model_weights.initial_weights(model, 1))
    rng = np.random.default_rng(0)
    chosen = {
        path: rng.random(mask.shape, np.float32) < 0.5
        for path, mask in layers.masks(model).items()
    }
    layers.set_masks(model, chosen)
    before = model_weights.weights(model)
    assert np.isfinite(_train(model, iterations=2)).all()
    after = model_weights.weights(model)
    layers.set_masks(model, {})
    for path, weight in after.items():
        assert np.isfinite(weight).all(), path
        assert (weight != before[path]).any(), path
        if path in chosen:
            # Bytes, because -0.0 equals 0.0.
            assert not weight[~chosen[path]].tobytes().strip(b"\0"), path


@pytest.mark.parametrize(
    "name",
    [
        *("lenet", "resnet20"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("vgg11", "inception_v3")
        ),
    ],
)
def test_save_and_load_keep_weights_and_masks(name: str, tmp_path: pathlib.Path):
    model = _built(name)
    path = next(iter(layers.masks(model)))
    mask = np.zeros(model_weights.variable_shapes(model)[path])
    mask[..., ::2] = 1
    layers.set_masks(model, {path: mask})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(layers.masks(loaded)[path], mask)
    layers.set_masks(model, {})
    found = model_weights.weights(loaded)
    for path, weight in model_weights.weights(model).items():
        np.testing.assert_array_equal(found[path], weight)


@pytest.mark.parametrize(
    "name", ["lenet", pytest.param("resnet20", marks=pytest.mark.slow)]
)
def test_graph_and_xla_agree(name: str):
    model = _built(name)
    model_weights.assign(model, model_weights.initial_weights(model, 1))
    images = tf.constant(_batch(model)[0])
    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True)
    expected = model(images, training=False)
    np.testing.assert_allclose(compiled(images), expected, rtol=1e-3, atol=1e-3)


def test_shortcuts_and_convolutions_see_the_same_pixels():
    """A stride-2 block is centred on the pixels that its shortcut takes."""
    model = _built("resnet20")
    padding = model.get_layer("stage_2_block_1_conv_1_padding")
    conv = model.get_layer("stage_2_block_1_conv_1")
    kernel = np.zeros(conv.kernel.shape, np.float32)
    kernel[1, 1, 0, 0] = 1
    before = conv.kernel.numpy().copy()
    conv.kernel.assign(kernel)
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 16)).astype(np.float32)
    outputs = np.asarray(conv(padding(images)))
    conv.kernel.assign(before)
    np.testing.assert_array_equal(outputs[..., 0], images[:, ::2, ::2, 0])
