"""What a process keeps between jobs: bounded, and built once as long as it is kept."""

import dataclasses

import pytest

from tflottery.components.metadata import inspect
from tflottery.core.identities import Data, Network
from tflottery.core.recipes import Recipe, Setting
from tflottery.core.registry import MODELS
from tflottery.training import evaluation
from tflottery.training import runtime as runtimes
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime


@pytest.fixture
def evaluators(monkeypatch):
    """A runtime whose evaluators are numbered, not built."""
    built = []

    def build(*_, pretext_seed, **__):
        built.append(pretext_seed)
        return len(built)

    monkeypatch.setattr(evaluation, "Evaluator", build)
    runtime = Runtime(data_dir=None, placement=Placement())
    network = Network("lenet", (8, 8, 1), 10)
    digest = runtime.source("digits", model="lenet").digest

    def get(seed):
        data = Data("digits", "1", digest, (8, 8, 1), 1437, 360, 10, pretext_seed=seed)
        return runtime.evaluator(network, data)

    return get, built


def test_an_evaluator_is_built_once(evaluators):
    get, built = evaluators
    assert [get(1), get(2), get(1)] == [1, 2, 1]
    assert built == [1, 2]


def test_few_evaluators_are_kept(evaluators):
    get, built = evaluators
    for seed in range(1, 6):
        get(seed)
    # The last four are there, and the first is built anew.
    assert [get(seed) for seed in (2, 3, 4, 5)] == [2, 3, 4, 5]
    assert get(1) == 6
    assert built == [1, 2, 3, 4, 5, 1]


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
        return len(scalings)

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
