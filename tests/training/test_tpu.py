"""What `--distribute=tpu` does, with two processors in place of a TPU's cores."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.components.metadata import inspect
from tflottery.core.recipes import Recipe, Setting
from tflottery.core.registry import MODELS
from tflottery.models import weights as model_weights
from tflottery.training import checkpoints, distribution
from tflottery.training.distribution import Placement
from tflottery.training.evaluation import Evaluator
from tflottery.training.replicated_evaluation import ReplicatedEvaluator
from tflottery.training.runtime import Runtime

pytestmark = pytest.mark.usefixtures("loops_are_graphs")
_UPDATES = 5
# Of weights between 0.01 and 1, of which these updates move some by 0.05 and more.
_TOLERANCE = 2e-6
_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.05,
    batch_size=24,
    training_iterations=9,
    momentum=0.9,
    weight_decay=1e-3,
    augmentation="flip_crop",
)
_ADAM = dataclasses.replace(_RECIPE, optimizer="adam", momentum=0.0)


@pytest.fixture
def asked(monkeypatch, mirrored):
    """Has two processors answer for a TPU; what was asked of it, in order."""
    found = []

    def noted(step, answer=None):
        def ask(given):
            found.append((step, given))
            return answer or given

        return ask

    clusters, tpus = tf.distribute.cluster_resolver, tf.tpu.experimental
    monkeypatch.setattr(clusters, "TPUClusterResolver", lambda tpu: noted("name")(tpu))
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", noted("connect"))
    monkeypatch.setattr(tpus, "initialize_tpu_system", noted("initialize"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", noted("strategy", mirrored))
    return found


@pytest.fixture
def placement(asked, request):
    """A TPU of a name of its own: there is one strategy of each in a process."""
    return Placement("tpu", tpu=request.node.name, device="tpu", num_devices=0)


@pytest.fixture
def runtimes(placement):
    """One for this processor, and one for the TPU."""
    return [Runtime(data_dir=None, placement=one) for one in (Placement(), placement)]


def _compiled(function):
    """Returns a function that XLA compiles for each device by itself."""
    compiled = tf.function(function, jit_compile=True, autograph=False)
    # A strategy would lift what it knows as compiled to all devices at once.
    return lambda *given, **named: compiled(*given, **named)


def test_a_tpu_is_found_connected_to_and_initialized(placement, asked, mirrored):
    assert distribution.strategy(placement) is mirrored
    steps = ["name", "connect", "initialize", "strategy"]
    assert asked == [(step, placement.tpu) for step in steps]


def _trainers(runtimes, model, recipe):
    facts = inspect(model, Setting("digits"), runtimes[0])
    return [
        one.trainer(
            facts.network, facts.data, recipe=recipe, sparse=True, num_replicas=2
        )
        for one in runtimes
    ]


def _trained(trainer, weights, *, first=0, slots=None, masks=None):
    """Returns weights and slots after five updates."""
    trainer.restore(
        weights, masks=masks or {}, slots=slots, iteration=first, first_iteration=0
    )
    stream = trainer.stream(data_order_seed=3, augmentation_seed=4)
    trainer.train(stream, first + _UPDATES)
    return trainer.state()


def _farthest(one, other):
    assert one.keys() == other.keys()
    return max(np.abs(one[path] - other[path]).max() for path in one)


@pytest.mark.slow
def test_updates_end_where_the_plain_loop_ends(runtimes, small_conv_registered):
    """Batch norm, masks and momentum; each core has one of the two parts of a batch."""
    plain, tpu = _trainers(runtimes, "small_conv", _RECIPE)
    seen, update = [], tpu.replica_update

    def replica_update(*parts):
        seen.append([one.shape for one in parts])
        return update(*parts)

    tpu.replica_update = replica_update
    start = plain.initial_weights(1)
    mask = np.ones(start["conv_2/kernel"].shape, np.float32)
    mask[1] = 0
    expected, expected_slots = _trained(plain, start, masks={"conv_2/kernel": mask})
    found, slots = _trained(tpu, start, masks={"conv_2/kernel": mask})
    assert _farthest(found, expected) < _TOLERANCE
    assert _farthest(slots, expected_slots) < 10 * _TOLERANCE
    assert _farthest(found, start) > 0.05
    assert not found["conv_2/kernel"][1].any()
    # Traced once for each core, in static shapes, and never again.
    assert seen == [[(12, 8, 8, 1), (12,)]] * 2


@pytest.mark.slow
def test_gradients_that_xla_compiles_do_too(runtimes):
    plain, tpu = _trainers(runtimes, "lenet", _ADAM)
    tpu._gradients = _compiled(tpu._gradients)
    start = plain.initial_weights(1)
    found, expected = _trained(tpu, start)[0], _trained(plain, start)[0]
    assert _farthest(found, expected) < _TOLERANCE * 10
    assert _farthest(found, start) > 0.05


@pytest.mark.slow
def test_a_checkpoint_is_written_from_the_host_and_gone_on_from(
    runtimes, small_conv_registered, tmp_path
):
    _, tpu = _trainers(runtimes, "small_conv", _ADAM)
    once = _trained(tpu, tpu.initial_weights(1))
    checkpoints.write(tmp_path, once[0], slots=once[1])
    unbroken = _trained(tpu, once[0], slots=once[1], first=_UPDATES)
    # What is on the devices by then is something else.
    _trained(tpu, tpu.initial_weights(2))
    read = checkpoints.read_weights(tmp_path), checkpoints.read_slots(tmp_path)
    resumed = _trained(tpu, read[0], slots=read[1], first=_UPDATES)
    for one, other in zip(unbroken, resumed, strict=True):
        for name, value in one.items():
            assert value.tobytes() == other[name].tobytes(), name


@pytest.fixture
def pair(mirrored):
    """Returns evaluators of a network over this processor and over the TPU.

    Both have the same weights.
    """

    def make(model, source, **options):
        def evaluator(**where):
            return Evaluator(model, source, **({"num_classes": 10} | options), **where)

        found = evaluator(), ReplicatedEvaluator(mirrored, evaluator)
        generator = np.random.default_rng(0)
        weights = {
            path: generator.uniform(0.1, 0.9, shape).astype(np.float32)
            * np.float32(1 if "norm" in path else generator.choice((-1, 1), shape))
            for path, shape in model_weights.variable_shapes(found[0].model).items()
        }
        for one in found:
            one.assign({path: np.float32(value) for path, value in weights.items()})
        return found

    return make


def _measured(evaluator, split, num_examples):
    blocks = evaluator.blocks(split, num_examples)
    found = [evaluator.measure(split, block) for block in blocks]
    loss = sum(one.loss for one in found)
    return sum(map(len, blocks)), sum(one.num_misclassified for one in found), loss


def _assert_same_counts(alone, together, questions):
    for split, num_examples in questions:
        *counts, loss = _measured(alone, split, num_examples)
        *others, other = _measured(together, split, num_examples)
        assert others == counts and counts[1] > 0
        assert other == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_cores_count_what_one_processor_counts(pair, trainers, small_conv_registered):
    """Of 20 images one core has all, the other none."""
    alone, together = pair("small_conv", trainers.source("small_conv"))
    for one in (alone, together._first):
        one.block_size = 2 * one.batch_size
    assert [len(block) for block in together.blocks("train")] == [500, 500, 437]
    _assert_same_counts(
        alone, together, [("train", None), ("test", None), ("train", 20)]
    )


@pytest.mark.slow
def test_an_image_is_compared_with_the_next_one_of_the_same_batch(pair, trainers):
    options = {"pretext": "exemplar", "num_classes": 128}
    alone, together = pair("lenet", trainers.source("lenet"), **options)
    _assert_same_counts(alone, together, [("train", None), ("test", 101)])


@pytest.mark.slow
def test_what_xla_compiles_for_them_counts_alike(pair, trainers):
    alone, together = pair("lenet", trainers.source("lenet"))
    for split, program in together._counters.items():
        together._counters[split] = _compiled(program)
    _assert_same_counts(alone, together, [("test", None), ("test", 101)])


@pytest.mark.slow
def test_images_in_files_are_decoded_here(pair, imagenet, small_conv_registered):
    alone, together = pair("small_conv", imagenet)
    for one in (alone, together._first):
        one.batch_size, one.block_size = 8, 16
    _assert_same_counts(alone, together, [("test", 39), ("test", 8)])


@pytest.mark.slow
def test_statistics_and_gradients_are_those_of_one_processor(
    pair, trainers, small_conv_registered
):
    alone, together = pair("small_conv", trainers.source("small_conv"))
    before = model_weights.weights(together.model)
    [batch, *_] = together.whole_batches(64, batch_size=32)
    found = together.gradient_magnitudes(batch)
    expected = alone.gradient_magnitudes(batch)
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(expected))
    # Training mode has moved nothing.
    for path, value in model_weights.weights(together.model).items():
        assert value.tobytes() == before[path].tobytes()
    for num_examples in (1437, 160):
        for one in (alone, together):
            one.reestimate(num_examples, batch_size=16)
        expected = model_weights.weights(alone.model)
        for path, value in model_weights.weights(together.model).items():
            assert value.tobytes() == expected[path].tobytes(), path


def _dropping(*, input_shape, num_classes):
    """Batch norm sees what dropout has left."""
    images = keras.Input(input_shape, name="images")
    x = layers.Dropout(0.5, name="dropout")(images)
    x = layers.MaskedConv2D(4, 3, use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name="dropping")


def _frozen(*, input_shape, num_classes):
    """Batch norm keeps its statistics."""
    images = keras.Input(input_shape, name="images")
    x = layers.BatchNormalization(name="norm", trainable=False)(images)
    x = keras.layers.Flatten(name="flatten")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name="frozen")


@pytest.mark.parametrize("network", [_dropping, _frozen])
def test_statistics_of_a_users_network_are_those_too(pair, trainers, register, network):
    register(MODELS, "own", network, minimum_image_size=1)
    alone, together = pair("own", trainers.source("small_conv"))
    before = model_weights.weights(alone.model)
    for one in (alone, together):
        one.reestimate(160, batch_size=16)
    expected = model_weights.weights(alone.model)
    for path, value in model_weights.weights(together.model).items():
        assert value.tobytes() == expected[path].tobytes(), path
    moved = expected["norm/moving_mean"] != before["norm/moving_mean"]
    assert moved.all() == (network is _dropping)


def test_a_worker_measures_on_the_tpu(runtimes):
    facts = inspect("lenet", Setting("digits"), runtimes[0])
    made = runtimes[1].evaluator(facts.network, facts.data)
    assert isinstance(made, ReplicatedEvaluator)
    assert runtimes[1].num_devices == 2
