"""Dropout and its like: a function of seed, iteration, layer and replica alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.datasets import source as sources
from tflottery.datasets.stream import Stream
from tflottery.models.weights import variable_shapes
from tflottery.training import evaluation
from tflottery.training.generators import Generators
from tflottery.training.trainer import Trainer

_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.05,
    batch_size=8,
    training_iterations=9,
    momentum=0.9,
)
_LAST = 6


def _dense(*, input_shape, num_classes):
    """What XLA compiles, with layers of Keras's own and one of ours."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    x = keras.layers.GaussianNoise(0.1, name="noise")(x)
    x = layers.MaskedDense(16, activation="relu", name="dense")(x)
    x = keras.layers.Dropout(0.5)(x)
    x = layers.Dropout(0.25)(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


def _convolutional(*, input_shape, num_classes):
    """What XLA does not compile on a CPU, with batch norm behind what is random."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.RandomFlip("horizontal")(images)
    x = layers.MaskedConv2D(4, 3, use_bias=False, name="conv")(x)
    x = keras.layers.SpatialDropout2D(0.5)(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


def _mixed(*, input_shape, num_classes):
    """Computes in bfloat16, but for its last layer."""
    images = keras.Input(input_shape, name="images")
    own = {"dtype": "mixed_bfloat16"}
    x = layers.MaskedConv2D(4, 3, use_bias=False, name="conv", **own)(images)
    x = layers.BatchNormalization(name="norm", **own)(x)
    x = keras.layers.Flatten(name="flatten", **own)(x)
    x = layers.MaskedDense(8, activation="relu", name="dense", **own)(x)
    x = layers.Dropout(0.5, **own)(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


@pytest.fixture(scope="module")
def source():
    return sources.load("digits")


@pytest.fixture(scope="module")
def make(source):
    """Returns a new trainer of one of the networks above."""

    def trainer(function, *, strategy=None):
        with pytest.MonkeyPatch.context() as patch:
            MODELS.names()
            entry = type("Entry", (), {"function": staticmethod(function)})
            patch.setitem(MODELS._entries, "drawing", entry)
            return Trainer(
                "drawing", _RECIPE, source, num_classes=10, strategy=strategy
            )

    return trainer


@pytest.fixture(scope="module")
def dense(make):
    return make(_dense)


def _train(trainer, cuts, *, seed=5, others=()):
    """Returns the state at the last cut, each stretch by the next of the trainers."""
    trainers = [trainer, *others]
    weights, slots, first = trainer.initial_weights(1), None, 0
    for index, cut in enumerate(cuts):
        current = trainers[index % len(trainers)]
        current.restore(
            weights, masks={}, slots=slots, iteration=first, first_iteration=0
        )
        stream = Stream(1437, 8, data_order_seed=1, augmentation_seed=2)
        current.train(stream, cut, dropout_seed=seed)
        (weights, slots), first = current.state(), cut
    return {**weights, **slots}


def _assert_same_bits(one, two):
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert value.tobytes() == two[name].tobytes(), name


@pytest.mark.slow
def test_resumed_in_another_trainer_equals_unbroken(dense, make):
    unbroken = _train(dense, [_LAST])
    _assert_same_bits(_train(dense, [_LAST]), unbroken)
    _assert_same_bits(_train(make(_dense), [1, 4, _LAST], others=[dense]), unbroken)


@pytest.fixture(scope="module")
def convolutional(make):
    return make(_convolutional)


@pytest.mark.parametrize("function", [_convolutional, _mixed])
def test_other_networks_resumed_equal_unbroken(function, convolutional, make):
    trainer = convolutional if function is _convolutional else make(function)
    _assert_same_bits(_train(trainer, [2, 3, _LAST]), _train(trainer, [_LAST]))


@pytest.mark.slow
def test_mirrored_network_resumed_equals_unbroken(make, mirrored):
    trainer = make(_dense, strategy=mirrored)
    _assert_same_bits(_train(trainer, [2, 3, _LAST]), _train(trainer, [_LAST]))


def test_the_seed_makes_a_difference(convolutional):
    found = [_train(convolutional, [2], seed=seed) for seed in (5, 6)]
    assert len({weights["head/kernel"].tobytes() for weights in found}) == 2


@pytest.mark.slow
def test_every_iteration_of_the_loop_draws_something_else(dense):
    found = []
    for last in (3, 4):
        _train(dense, [last])
        states = [state.numpy() for state in dense._generators._states]
        found.append(np.array(states))
    assert (found[1] - found[0] == [1, 0]).all()


def test_a_network_that_draws_needs_a_seed(dense):
    with pytest.raises(ValueError, match=r"draws from 3 seed generators .*core\.seeds"):
        _train(dense, [1], seed=None)


def _model():
    """Ones pass through two layers of dropout beside each other."""
    inputs = keras.Input((400,), name="inputs")
    ways = [layers.Dropout(0.5), keras.layers.Dropout(0.5)]
    return keras.Model(inputs, [way(inputs) for way in ways])


def _drawn(generators, model, iteration):
    generators.set(iteration)
    return model(np.ones((2, 400), np.float32), training=True)


def _bits(outputs):
    return [np.asarray(one).tobytes() for one in outputs]


def test_every_iteration_layer_and_seed_draws_something_else():
    model = _model()
    generators = Generators(model)
    assert len(generators) == 2
    found = []
    for seed in (1, 2):
        generators.reseed(seed)
        for iteration in (0, 1, 2**29):
            found += _bits(_drawn(generators, model, iteration))
            # A state left behind by another pass does not matter.
            assert found[-2:] == _bits(_drawn(generators, model, iteration))
    assert len(set(found)) == len(found) == 12


def test_another_model_of_the_process_draws_the_same():
    found = []
    for model in (_model(), _model()):
        generators = Generators(model)
        generators.reseed(1)
        found.append(_bits(_drawn(generators, model, 7)))
    assert found[0] == found[1]


def test_ours_draws_the_same_bits_however_it_is_compiled():
    model = _model()
    generators = Generators(model)
    generators.reseed(1)
    found = []
    for jit in (None, False, True):
        draw = _drawn
        if jit is not None:
            draw = tf.function(_drawn, jit_compile=jit, autograph=False)
        found.append(_bits(draw(generators, model, tf.constant(3)))[0])
    assert found[0] == found[1] == found[2]


def test_replicas_draw_different_bits(mirrored):
    with mirrored.scope():
        model = _model()
        generators = Generators(model)
    generators.reseed(1)

    @tf.function(autograph=False)
    def draw():
        return mirrored.run(_drawn, args=(generators, model, tf.constant(3)))

    one, two = (mirrored.experimental_local_results(part) for part in draw())
    assert len(set(_bits([*one, *two]))) == 4
    alone = _model()
    own = Generators(alone)
    own.reseed(1)
    # The first replica draws what one device does.
    assert _bits([one[0], two[0]]) == _bits(_drawn(own, alone, 3))


def test_generators_held_twice_count_once_and_none_cost_nothing():
    inputs = keras.Input((4,), name="inputs")
    layer = keras.layers.Dropout(0.5)
    assert len(Generators(keras.Model(inputs, layer(layer(inputs))))) == 1
    plain = Generators(keras.Model(inputs, keras.layers.Dropout(0.0)(inputs)))
    assert len(plain) == 0
    plain.reseed(None)
    plain.set(3)


def test_reestimation_and_gradients_draw_the_same_in_every_process(source, register):
    register(MODELS, "drawing", _convolutional)
    found = []
    for _ in range(2):
        evaluator = evaluation.Evaluator("drawing", source, num_classes=10)
        evaluator.assign(
            {
                path: np.full(shape, 0.1, np.float32)
                for path, shape in variable_shapes(evaluator.model).items()
            }
        )
        batch = evaluator.whole_batches(16, batch_size=16)[0]
        first = evaluator.gradient_magnitudes(batch)
        evaluator.reestimate(64, batch_size=16)
        assert evaluator.gradient_magnitudes(batch) == first
        found.append(
            (
                evaluator.model.get_layer("norm").moving_mean.numpy().tobytes(),
                evaluator.gradient_magnitudes(batch),
            )
        )
    assert found[0] == found[1]
