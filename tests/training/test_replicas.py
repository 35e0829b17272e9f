"""Parts of a batch: the same training on one, two and four devices, up to rounding."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.datasets import source as sources
from tflottery.training import replicas
from tflottery.training.trainer import Trainer

_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.05,
    batch_size=24,
    training_iterations=9,
    momentum=0.9,
    weight_decay=1e-3,
    augmentation="flip_crop",
)
_LAST = 6
# Of weights between 0.1 and 1, after six updates; other parts move them by 0.05.
_TOLERANCE = 2e-6


def _drawing(*, input_shape, num_classes):
    """Batch norm sees each part by itself, and dropout draws for each of its own."""
    images = keras.Input(input_shape, name="images")
    x = layers.MaskedConv2D(4, 3, use_bias=False, name="conv")(images)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.MaskedDense(16, activation="relu", name="dense")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


@pytest.fixture(scope="module")
def digits():
    return sources.load("digits")


@pytest.fixture(scope="module")
def strategies(mirrored, mirrored_over_four):
    return {1: None, 2: mirrored, 4: mirrored_over_four}


@pytest.fixture(scope="module")
def make(digits, strategies):
    """Returns the trainer of some parts on some devices, one of each."""
    made = {}

    def trainer(num_replicas, num_devices):
        if (num_replicas, num_devices) not in made:
            with pytest.MonkeyPatch.context() as patch:
                MODELS.names()
                entry = type("Entry", (), {"function": staticmethod(_drawing)})
                patch.setitem(MODELS._entries, "drawing", entry)
                made[num_replicas, num_devices] = Trainer(
                    "drawing",
                    _RECIPE,
                    digits,
                    num_classes=10,
                    sparse=True,
                    strategy=strategies[num_devices],
                    num_replicas=num_replicas,
                )
        return made[num_replicas, num_devices]

    return trainer


def _trained(trainer, *cuts, masks=None, dropout_seed=5):
    """Returns weights and slots at the last of the cuts, begun anew at each."""
    weights, slots, at = trainer.initial_weights(1), None, 0
    for cut in cuts:
        trainer.restore(
            weights, masks=masks or {}, slots=slots, iteration=at, first_iteration=0
        )
        stream = trainer.stream(data_order_seed=3, augmentation_seed=4)
        assert trainer.train(stream, cut, dropout_seed=dropout_seed) == cut
        (weights, slots), at = trainer.state(), cut
    return weights, slots


def _farthest(one, other):
    """Returns the largest difference of two networks' weights."""
    assert one.keys() == other.keys()
    return max(np.abs(one[path] - other[path]).max() for path in one)


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [2, 4])
def test_four_parts_train_alike_on_one_device_and_on_several(num_devices, make):
    alone, slots = _trained(make(4, 1), _LAST)
    shared, shared_slots = _trained(make(4, num_devices), _LAST)
    assert _farthest(alone, shared) < _TOLERANCE
    assert _farthest(slots, shared_slots) < 10 * _TOLERANCE


def test_how_many_parts_there_are_decides_what_is_trained(make):
    one, four = (_trained(make(count, 1), _LAST)[0] for count in (1, 4))
    assert _farthest(one, four) > 0.01


@pytest.mark.parametrize("num_devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_parts_resumed_are_the_same_bits(num_devices, make):
    trainer = make(4, num_devices)
    for one, other in zip(
        _trained(trainer, _LAST), _trained(trainer, 1, 4, _LAST), strict=True
    ):
        for name, value in one.items():
            assert value.tobytes() == other[name].tobytes(), name


def test_pruned_weights_stay_zero_in_parts(make):
    trainer = make(4, 1)
    mask = np.ones((3, 3, 1, 4), np.float32)
    mask[1] = 0
    weights, slots = _trained(trainer, _LAST, masks={"conv/kernel": mask})
    for kernel in (weights["conv/kernel"], slots["momentum/conv/kernel"]):
        assert not kernel[1].any() and kernel[0].all()


def test_sums_and_statistics_by_hand():
    """Two parts of two numbers each: means 2 and 7, variances 1 and 4."""
    inputs = keras.Input((1, 1, 1), name="inputs")
    layer = layers.BatchNormalization(epsilon=1e-9, name="norm")
    model = keras.Model(inputs, layer(inputs))
    gamma, beta = model.trainable_variables
    gamma.assign([3.0])
    numbers = tf.constant([1.0, 3.0, 5.0, 9.0])
    weights = tf.constant([1.0, 2.0, 4.0, 8.0])

    def gradients_of(x, weight, *, part):
        with tf.GradientTape() as tape:
            y = tf.reshape(model(tf.reshape(x, (2, 1, 1, 1)), training=True), (-1,))
            loss = tf.reduce_sum(weight * y) * tf.cast(1 + part, tf.float32)
        # Of what does not matter there is no gradient.
        variables = [gamma, beta, layer.moving_mean.value]
        return loss, tape.gradient(loss, variables)[:2]

    loss, gradients = tf.function(replicas.summed, autograph=False)(
        gradients_of, (numbers, weights), sizes=(2, 2), model=model
    )
    # Each part is -1 and 1 when it is normalized; the second one counts twice.
    np.testing.assert_allclose(loss, 3 * (2 - 1) + 2 * 3 * (8 - 4), rtol=1e-6)
    np.testing.assert_allclose(gradients[0], [(2 - 1) + 2 * (8 - 4)], rtol=1e-6)
    np.testing.assert_allclose(gradients[1], [(1 + 2) + 2 * (4 + 8)], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_mean, [0.1 * (2 + 7) / 2], rtol=1e-6)
    np.testing.assert_allclose(
        layer.moving_variance, [0.9 + 0.1 * (1 + 4) / 2], rtol=1e-6
    )


def test_frozen_statistics_stay_and_what_is_not_used_has_no_gradient():
    inputs = keras.Input((1, 1, 1), name="inputs")
    layer = layers.BatchNormalization(trainable=False, name="norm")
    model = keras.Model(inputs, layers.MaskedDense(1, name="head")(layer(inputs)))
    kernel, bias = model.trainable_variables
    loss, gradients = replicas.summed(
        lambda x, *, part: (tf.reduce_sum(x), [tf.ones_like(kernel), None]),
        (tf.ones((6, 1)),),
        sizes=(3, 2),
        model=model,
    )
    assert (float(loss), float(gradients[0][0, 0]), float(gradients[1][0])) == (6, 3, 0)
    assert bias.shape == gradients[1].shape
    assert (float(layer.moving_mean[0]), float(layer.moving_variance[0])) == (0, 1)


@pytest.mark.slow
def test_parts_that_xla_compiles_are_those_of_two_devices(digits, mirrored):
    """Exemplar compares each image with the next one of its own part."""
    recipe = dataclasses.replace(_RECIPE, batch_size=8, augmentation="none")
    found = []
    for strategy in (None, mirrored):
        trainer = Trainer(
            "lenet",
            recipe,
            digits,
            num_classes=128,
            pretext="exemplar",
            strategy=strategy,
            num_replicas=2,
        )
        found.append(_trained(trainer, 4, dropout_seed=None)[0])
    assert _farthest(*found) < _TOLERANCE
    assert _farthest(found[0], trainer.initial_weights(1)) > 1e-3


@pytest.mark.parametrize(
    ("num_replicas", "num_devices", "fact"),
    [
        (5, 1, "batch of 24 cannot be shared by 5 replicas"),
        (1, 2, "has 1 part of 24 images .* shared by 2 devices.*CUDA_VISIBLE_DEVICES"),
        (6, 4, "has 6 parts of 4 images .* by 4 devices: .*--replica_batch_size"),
    ],
)
def test_what_cannot_be_divided_is_refused(num_replicas, num_devices, fact, make):
    with pytest.raises(ValueError, match=fact):
        make(num_replicas, num_devices)
