"""What a process keeps between jobs: bounded, and built once as long as it is kept."""

import contextlib
import dataclasses
import types

import keras
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.components.metadata import inspect
from tflottery.core.identities import Data, Network
from tflottery.core.recipes import Recipe, Setting
from tflottery.core.registry import MODELS
from tflottery.training import evaluation
from tflottery.training import runtime as runtimes
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime


@dataclasses.dataclass(frozen=True)
class Numbered:
    """What stands for a network: its number, and a weight as large as is told."""

    number: int
    num_weights: int = 1

    @property
    def model(self):
        """A model of one weight."""
        shape = (self.num_weights,)
        return types.SimpleNamespace(weights=[types.SimpleNamespace(shape=shape)])


@pytest.fixture
def evaluators(monkeypatch):
    """A runtime whose evaluators are numbered, not built; a seed tells their size."""
    built, emptied = [], []

    def build(*_, pretext_seed, **__):
        built.append(pretext_seed)
        return Numbered(len(built), num_weights=pretext_seed)

    monkeypatch.setattr(evaluation, "Evaluator", build)
    monkeypatch.setattr(runtimes, "_empty", lambda one: emptied.append(one.number))
    runtime = Runtime(data_dir=None, placement=Placement())
    network = Network("lenet", (8, 8, 1), 10)
    digest = runtime.source("digits", model="lenet").digest

    def get(seed):
        data = Data("digits", "1", digest, (8, 8, 1), 1437, 360, 10, pretext_seed=seed)
        return runtime.evaluator(network, data).number

    return get, built, emptied


def test_an_evaluator_is_built_once(evaluators):
    get, built, emptied = evaluators
    assert [get(1), get(2), get(1)] == [1, 2, 1]
    assert (built, emptied) == ([1, 2], [])


def test_few_evaluators_are_kept(evaluators):
    get, built, emptied = evaluators
    for seed in range(1, 6):
        get(seed)
    # The last four are there, and the first is built anew.
    assert [get(seed) for seed in (2, 3, 4, 5)] == [2, 3, 4, 5]
    assert get(1) == 6
    assert (built, emptied) == ([1, 2, 3, 4, 5, 1], [1, 2])


def test_fewer_of_large_ones_are_kept(evaluators):
    get, built, emptied = evaluators
    # Two of them are as many bytes as may be kept, a weight more is too much.
    large = runtimes.MOST_BYTES // 8
    assert [get(large), get(large - 1), get(large)] == [1, 2, 1]
    get(large + 1)
    assert [get(large - 1), get(large)] == [2, 4] and len(built) == 4
    assert emptied == [1, 2, 3]


@pytest.mark.parametrize("num_devices", [1, 2])
def test_what_is_removed_leaves_nothing_in_memory(num_devices, mirrored):
    with mirrored.scope() if num_devices == 2 else contextlib.nullcontext():
        model = keras.Sequential([keras.Input((3,)), layers.MaskedDense(4)])
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(model.trainable_variables)
    variables = [one.value for one in (*model.weights, *optimizer.variables)]
    if num_devices == 2:
        variables = [each for one in variables for each in one.values]
    # Kernel, bias and mask, two slots, the rate and the count of iterations.
    assert len(variables) == 7 * num_devices
    runtimes._empty(types.SimpleNamespace(model=model, optimizer=optimizer))
    for one in variables:
        left = tf.raw_ops.ReadVariableOp(resource=one.handle, dtype=one.dtype)
        assert left.shape == (0,)


def test_a_network_other_than_the_planned_one_is_refused():
    runtime = Runtime(data_dir=None, placement=Placement())
    facts = inspect("lenet", Setting("digits"), runtime)
    assert runtime.evaluator(facts.network, facts.data)
    other = dataclasses.replace(facts.network, architecture="0")
    text = f"'lenet' was built with architecture {facts.network.architecture}; .* for 0"
    recipe = Recipe(
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=60,
        training_iterations=3,
        augmentation="none",
    )
    # The job after the one that failed meets the same.
    for _ in range(2):
        with pytest.raises(RuntimeError, match=text):
            runtime.evaluator(other, facts.data)
        with pytest.raises(RuntimeError, match=text):
            runtime.trainer(other, facts.data, recipe=recipe, sparse=False)


def test_images_are_scaled_as_the_data_say(monkeypatch):
    scalings = []

    def build(_, source, **__):
        scalings.append(source.input_scaling)
        return Numbered(len(scalings))

    monkeypatch.setattr(evaluation, "Evaluator", build)
    runtime = Runtime(data_dir=None, placement=Placement())
    digest = runtime.source("digits", model="lenet").digest
    data = Data("digits", "1", digest, (8, 8, 1), 1437, 360, 10)
    for scaling in (None, "standardized", "unit_interval", None):
        scaled = dataclasses.replace(data, input_scaling=scaling)
        runtime.evaluator(Network("lenet", (8, 8, 1), 10), scaled)
    assert scalings == ["unit_interval", "standardized", "unit_interval"]


def test_images_of_many_sizes_have_the_one_that_a_model_takes(
    imagenet, register, monkeypatch
):
    def load(name, *, image_size=224, **_):
        return imagenet.shaped((image_size, image_size, 3))

    monkeypatch.setattr(runtimes.sources, "load", load)
    sizes = {"minimum_image_size": 1, "image_size": 40}
    register(MODELS, "wide", None, recipes={}, dataset="imagenet2012", **sizes)
    runtime = Runtime(data_dir=None, placement=Placement())
    for shaped_like in (None, "places365_small"):
        setting = Setting("imagenet2012", shaped_like=shaped_like)
        # They are no other data for being shaped like others.
        assert runtime.resized_to(setting, model="wide") is None
        assert runtime.learned(setting, model="wide").image_shape == (40, 40, 3)
