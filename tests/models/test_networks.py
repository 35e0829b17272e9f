"""Contracts of every registered model: counts, names, training, saving, recipes."""

import functools
import math
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.core import recipes
from tflottery.core.registry import MODELS
from tflottery.models import weights as model_weights
from tflottery.training import losses

# Counts are for ten classes, but a thousand where the paper's data has them.
_NUM_CLASSES = {"inception_v3": 1000, "resnet50": 1000}
_TRAINABLE = {
    "inception_v3": 27_161_264,
    "lenet": 266_610,
    "resnet20": 272_474,
    "resnet50": 25_557_032,
    "resnet56": 855_770,
    "vgg11": 9_231_114,
    "vgg13": 9_416_010,
    "vgg16": 14_728_266,
    "vgg19": 20_040_522,
}
_PRUNABLE = {
    "inception_v3": 27_123_040,
    "lenet": 266_200,
    "resnet20": 270_896,
    "resnet50": 25_502_912,
    "resnet56": 851_504,
    "vgg11": 9_217_728,
    "vgg13": 9_402_048,
    "vgg16": 14_710_464,
    "vgg19": 20_018_880,
}
_every_model = pytest.mark.parametrize("name", MODELS.names())
_DEEP = ("inception_v3", "resnet50", "resnet56", "vgg13", "vgg16", "vgg19")
_deep_ones_slow = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in _DEEP else ())
        for name in MODELS.names()
    ],
)
# One of each family where depth changes nothing but the time a test takes.
_every_family = pytest.mark.parametrize("name", ["lenet", "resnet20", "vgg11"])


def _build(name: str) -> keras.Model:
    size = MODELS[name]["minimum_image_size"]
    return MODELS[name].function(
        input_shape=(28, 28, 1) if name == "lenet" else (size, size, 3),
        num_classes=_NUM_CLASSES.get(name, 10),
    )


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


def _epochs(*epochs: int) -> tuple[int, ...]:
    """Returns epochs of ImageNet in iterations of batches of 1024, rounded up."""
    return tuple(-(-1_281_167 * count // 1024) for count in epochs)


def _train(model: keras.Model, *, iterations: int) -> list[float]:
    """Returns the losses of a few eager iterations (cheaper than tracing a graph)."""
    images, labels = _batch(model)
    optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
    values = []
    for _ in range(iterations):
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = tf.reduce_mean(losses.cross_entropies(labels, outputs))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        values.append(float(loss))
    return values


def test_every_model_has_its_counts_here():
    assert set(MODELS.names()) == set(_TRAINABLE) == set(_PRUNABLE)


@_every_model
def test_parameter_counts(name: str):
    model = _built(name)
    shapes = model_weights.variable_shapes(model)
    sizes = {path: int(np.prod(shape)) for path, shape in shapes.items()}
    trainable = model_weights.trainable_paths(model)
    assert sum(sizes[path] for path in trainable) == _TRAINABLE[name]
    unpruned = {
        f"{layer}/kernel"
        for layer in next(iter(MODELS[name]["recipes"].values())).unpruned
    }
    kernels = layers.masks(model).keys()
    assert unpruned <= kernels
    assert sum(sizes[path] for path in kernels - unpruned) == _PRUNABLE[name]
    if name == "resnet20":
        assert sum(sizes.values()) == 274_042


def test_convolutions_of_resnet50_count_their_stages():
    """Limited Supervision cuts after 11, 24 and 43: projections count too."""
    convolutions = _convolutions(_built("resnet50"))
    stages = [layer.name.split("_block_")[0] for layer in convolutions]
    assert stages == sorted(stages, key=["stem", *_stages(4)].index)
    ends = {stage: count for count, stage in enumerate(stages, start=1)}
    assert list(ends.values()) == [1, 11, 24, 43, 53]
    assert sum(math.prod(layer.kernel.shape) for layer in convolutions) == 23_454_912


def test_strides_of_resnet50_are_in_the_3x3_convolutions():
    strided = [
        layer.name
        for layer in _convolutions(_built("resnet50"))
        if max(layer.strides) > 1
    ]
    expected = {
        f"{s}_block_1_{part}" for s in _stages(4)[1:] for part in ("conv_2", "shortcut")
    }
    assert set(strided) == {"stem", *expected}


def test_convolutions_of_inception_and_of_its_auxiliary_head():
    sizes = {
        layer.name: math.prod(layer.kernel.shape)
        for layer in _convolutions(_built("inception_v3"))
    }
    auxiliary = [name for name in sizes if name.startswith("auxiliary")]
    assert (len(sizes) - len(auxiliary), len(auxiliary)) == (94, 2)
    assert sum(sizes[name] for name in auxiliary) == 2_555_904
    assert sum(sizes.values()) == 21_751_136 + 2_555_904


@_deep_ones_slow
def test_outputs_are_float32_logits(name: str):
    model = _built(name)
    logits = losses.main_logits(model(_batch(model)[0]))
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


@_every_model
def test_recipes_are_whole(name: str):
    entry = MODELS[name]
    for variant, recipe in entry["recipes"].items():
        resolved = recipes.resolved(recipe, num_examples=50_000)
        ks = resolved.rewind_iterations
        assert list(ks) == sorted(set(ks)) and ks[0] == 0, variant
        assert ks[-1] < resolved.training_iterations
        assert list(resolved.milestones) == sorted(resolved.milestones)
        assert all(m < resolved.training_iterations for m in resolved.milestones)
    assert next(iter(entry["recipes"])) == "standard"


def test_recipes_are_those_of_table_1():
    rates = {
        (name, variant): (recipe.learning_rate, recipe.warmup)
        for name in ("resnet20", "vgg16")
        for variant, recipe in MODELS[name]["recipes"].items()
    }
    assert rates == {
        ("resnet20", "standard"): (0.1, 0),
        ("resnet20", "low"): (0.01, 0),
        ("resnet20", "warmup"): (0.03, 30_000),
        ("vgg16", "standard"): (0.1, 0),
        ("vgg16", "low"): (0.01, 0),
        ("vgg16", "warmup"): (0.1, 30_000),
    }
    lenet = MODELS["lenet"]["recipes"]["standard"]
    assert (lenet.optimizer, lenet.learning_rate, lenet.batch_size) == (
        "adam",
        0.0012,
        60,
    )
    assert (lenet.training_iterations, lenet.weight_decay) == (24_000, 0.0)
    assert lenet.milestones == ()


def test_recipes_of_imagenet_are_those_of_table_1():
    found = {
        name: recipes.resolved(
            MODELS[name]["recipes"]["standard"], num_examples=1_281_167
        )
        for name in ("resnet50", "inception_v3")
    }
    common = {"optimizer": "sgd", "batch_size": 1024}
    common |= {"momentum": 0.9, "weight_decay": 1e-4}
    pruning = {"pruning_fraction": 0.7, "one_shot": True}
    pruning |= {"num_levels": 1, "studied_density": 0.3}
    assert found["resnet50"] == recipes.Recipe(
        **common,
        learning_rate=0.4,
        training_iterations=112_603,
        milestones=(37_535, 75_069, 100_092),
        decay_factor=0.1,
        warmup=6_256,
        rewind_iterations=_epochs(0, 2, 4, 6, 8, 10, 12, 16, 18, 20),
        **pruning,
    )
    assert found["inception_v3"] == recipes.Recipe(
        **common,
        learning_rate=0.03,
        final_learning_rate=0.005,
        training_iterations=213_945,
        rewind_iterations=_epochs(0, 1, 2, 3, 4, 6),
        **pruning,
    )


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


def test_recipes_are_read_without_keras():
    code = (
        "import sys; from tflottery.core.registry import MODELS; "
        "MODELS['vgg16']['recipes']; "
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
