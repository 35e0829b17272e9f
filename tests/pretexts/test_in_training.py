"""Seeds of pretexts reach what trains and what measures."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tflottery.components.metadata import inspect
from tflottery.core.recipes import Recipe, Setting
from tflottery.core.registry import PRETEXTS
from tflottery.datasets.stream import Stream
from tflottery.models.weights import weights
from tflottery.training.trainer import Trainer

RECIPE = Recipe(
    optimizer="sgd", learning_rate=1.0, batch_size=60, training_iterations=9
)
SEEDS = (0, 5)


@pytest.fixture(scope="module")
def facts(runtime):
    return inspect("lenet", Setting("digits", "random_labels"), runtime)


def class_counts(indices, seed):
    """How often each random label is among some examples."""
    _, labels = PRETEXTS["random_labels"].function(
        None, None, bits=None, indices=tf.constant(indices), seed=seed, num_classes=10
    )
    return np.bincount(labels, minlength=10)


def nothing(model):
    """Weights of a network that finds all classes equally likely."""
    return {path: np.zeros_like(value) for path, value in weights(model).items()}


def check_first_update(trainer, *, num_examples, seed):
    """The bias moves by each class's fraction of the batch less one tenth."""
    trainer.restore(
        nothing(trainer.model), masks={}, slots=None, iteration=0, first_iteration=0
    )
    stream = Stream(num_examples, 60, data_order_seed=1, augmentation_seed=2)
    trainer.train(stream, 1)
    (bias,) = (
        value
        for value in weights(trainer.model).values()
        if value.shape == (10,) and value.any()
    )
    counts = class_counts(stream.batches(0, 1).indices[0], seed)
    np.testing.assert_allclose(bias, counts / 60 - 0.1, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_training(seed, facts, runtime):
    data = dataclasses.replace(facts.data, pretext_seed=seed)
    trainer = runtime.trainer(facts.network, data, recipe=RECIPE, sparse=False)
    check_first_update(trainer, num_examples=data.num_train, seed=seed)


def test_distributed_training(facts, runtime, mirrored):
    trainer = Trainer(
        "lenet",
        RECIPE,
        runtime.source("digits", model="lenet"),
        num_classes=10,
        pretext="random_labels",
        pretext_seed=5,
        strategy=mirrored,
    )
    check_first_update(trainer, num_examples=facts.data.num_train, seed=5)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("seed", SEEDS)
def test_measuring(seed, split, facts, runtime):
    data = dataclasses.replace(facts.data, pretext_seed=seed)
    evaluator = runtime.evaluator(facts.network, data)
    # All logits are equal: the answer is class 0.
    evaluator.assign(nothing(evaluator.model))
    indices = evaluator.examples(split, 200)
    found = evaluator.measure(split, indices)
    assert found.num_misclassified == 200 - class_counts(indices, seed)[0]
