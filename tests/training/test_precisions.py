"""Training in bfloat16: float32 weights, masks and measures, resumed bit for bit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.components.metadata import inspect
from tflottery.core.recipes import Recipe, Setting
from tflottery.core.registry import MODELS
from tflottery.models.architecture import architecture
from tflottery.training import precisions

_RECIPE = Recipe(
    optimizer="sgd", learning_rate=0.1, batch_size=60, training_iterations=9
)
_SHAPE = {"input_shape": (32, 32, 3), "num_classes": 10}
_LAST = 8


def _trained(trainer, trainers, *cuts, masks):
    """Returns weights and slots at the last of the cuts, begun anew at each."""
    weights, slots, at = trainer.initial_weights(1), None, 0
    for cut in cuts:
        trainer.restore(
            weights, masks=masks, slots=slots, iteration=at, first_iteration=0
        )
        assert trainer.train(trainers.stream(trainer), cut) == cut
        (weights, slots), at = trainer.state(), cut
    return weights, slots


@pytest.fixture(
    params=[pytest.param("lenet_sgd", marks=pytest.mark.slow), "small_conv"]
)
def both(request, trainers):
    """The trainers of one network in float32 and in bfloat16."""
    return [
        trainers(request.param, sparse=True, precision=one)
        for one in (None, precisions.MIXED_BFLOAT16)
    ]


@pytest.fixture
def masks(both):
    """Masks that keep every other weight."""
    kernels = [layer.kernel for layer in layers.masked_layers(both[0].model)]
    return {
        kernel.path: (np.arange(kernel.value.numpy().size) % 2).reshape(kernel.shape)
        for kernel in kernels
    }


def test_layers_compute_in_bfloat16_but_the_last_and_variables_are_float32(both):
    plain, mixed = (trainer.model for trainer in both)
    *inner, last = layers.masked_layers(mixed)
    assert {one.compute_dtype for one in inner} == {"bfloat16"}
    assert last.compute_dtype == "float32"
    assert {one.dtype for one in mixed.weights} == {"float32"}
    assert [one.path for one in mixed.weights] == [one.path for one in plain.weights]
    assert keras.config.dtype_policy().name == "float32"
    inputs = tf.zeros((2, *inner[-1].input.shape[1:]))
    assert inner[-1](inputs).dtype == tf.bfloat16


@pytest.mark.slow
def test_it_learns_as_float32_does_up_to_its_few_digits(both, trainers, masks):
    plain, mixed = (_trained(one, trainers, _LAST, masks=masks)[0] for one in both)
    start = both[0].initial_weights(1)
    for path in masks:
        moved = np.linalg.norm(plain[path] - start[path] * masks[path])
        apart = np.linalg.norm(plain[path] - mixed[path])
        # Other bits, but the same way: it has eight binary digits.
        assert 0 < apart < 0.1 * moved
    assert all(value.dtype == np.float32 for value in mixed.values())


def test_pruned_weights_stay_zero_and_resumed_equals_unbroken(both, trainers, masks):
    _, mixed = both
    weights, slots = _trained(mixed, trainers, _LAST, masks=masks)
    again, slots_again = _trained(mixed, trainers, 3, _LAST, masks=masks)
    for path, mask in masks.items():
        assert not weights[path][mask == 0].any()
        assert weights[path][mask == 1].all()
    assert weights.keys() == again.keys()
    for path, value in weights.items():
        np.testing.assert_array_equal(value, again[path])
    for path, value in slots.items():
        np.testing.assert_array_equal(value, slots_again[path])


def test_outputs_and_losses_are_float32(both):
    _, mixed = both
    images = tf.zeros((4, *mixed.model.input_shape[1:]))
    assert mixed._task.outputs(mixed.model, images, training=False).dtype == tf.float32


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", "alexnet_cifar_stem"])
def test_a_network_is_the_same_one_in_another_precision(name, monkeypatch):
    # To draw weights that nobody looks at takes longer than all the rest.
    monkeypatch.setattr(
        keras.initializers.VarianceScaling,
        "__call__",
        lambda self, shape, dtype=None, **_: keras.ops.zeros(shape, dtype),
    )
    plain = precisions.build(name, **_SHAPE)
    mixed = precisions.build(name, **_SHAPE, precision=precisions.MIXED_BFLOAT16)
    assert architecture(mixed) != architecture(plain)
    assert architecture(mixed, compute_dtype="float32") == architecture(plain)
    assert architecture(plain, compute_dtype="float32") == architecture(plain)


def _mixed_by_itself(*, input_shape, num_classes):
    """Its author says in what some layers compute, and of others nothing."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flat")(images)
    x = layers.MaskedDense(8, dtype="mixed_bfloat16", name="inner")(x)
    x = layers.MaskedDense(8, name="middle")(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


def test_what_the_author_of_a_network_says_stands(monkeypatch):
    MODELS.names()
    entry = type("Entry", (), {"function": staticmethod(_mixed_by_itself)})
    monkeypatch.setitem(MODELS._entries, "own", entry)
    built = precisions.build("own", **_SHAPE, precision=precisions.MIXED_BFLOAT16)
    assert [one.compute_dtype for one in layers.masked_layers(built)] == [
        *("bfloat16", "float32", "float32")
    ]


def test_a_runtime_trains_in_a_precision_and_measures_in_float32(runtime):
    facts = inspect("lenet", Setting("digits"), runtime)
    trainer = runtime.trainer(
        facts.network,
        facts.data,
        recipe=_RECIPE,
        sparse=False,
        precision=precisions.MIXED_BFLOAT16,
    )
    assert layers.masked_layers(trainer.model)[0].compute_dtype == "bfloat16"
    evaluator = runtime.evaluator(facts.network, facts.data)
    assert layers.masked_layers(evaluator.model)[0].compute_dtype == "float32"
