"""Semi-supervised: both losses, and that hidden labels have no influence."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.bare_objectives import OBJECTIVES
from tflottery.components.metadata import inspect
from tflottery.core import seeds
from tflottery.core.recipes import Recipe, Setting
from tflottery.datasets import selection
from tflottery.datasets import source as sources
from tflottery.datasets.arrays import Split
from tflottery.pretexts import semi_supervised
from tflottery.training.distribution import Placement
from tflottery.training.evaluation import Evaluator
from tflottery.training.runtime import Runtime
from tflottery.training.trainer import Trainer

_RECIPE = Recipe(
    optimizer="adam", learning_rate=1e-3, batch_size=60, training_iterations=9
)
_TASK = {"num_classes": 14, "pretext": "semi_supervised"}
_ORDER = {"data_order_seed": 1, "augmentation_seed": 2}


@pytest.fixture(scope="module")
def digits():
    return selection.of(sources.load("digits"), "images:0.3", unlabeled=True)


@pytest.fixture(scope="module")
def trainer(digits):
    return Trainer("lenet", _RECIPE, digits, **_TASK)


@pytest.fixture(scope="module")
def evaluator(digits):
    return Evaluator("lenet", digits, **_TASK)


def _begun(trainer):
    trainer.restore(
        trainer.initial_weights(1), masks={}, slots=None, iteration=0, first_iteration=0
    )
    return trainer


def _trained(trainer, last=9):
    _begun(trainer).train(trainer.stream(**_ORDER), last)
    return trainer.state()


def _same(one, other):
    return one.keys() == other.keys() and all(
        one[path].tobytes() == other[path].tobytes() for path in one
    )


def test_losses_of_four_images_by_hand():
    """Two labeled images of three classes, and two that are not."""
    targets = tf.constant([[0, 1], [-1, 0], [2, 3], [-1, 2]])
    # Logarithms of what is to be likely: 1/2 or 1/4 of a class, 1/4 or 5/8 of a turn.
    even, uneven = np.log([1.0] * 4), np.log([1.0, 1.0, 1.0, 5.0])
    classes = np.log([[2.0, 1.0, 1.0], [9.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0] * 3])
    outputs = tf.constant(
        np.concatenate([classes, [even, uneven, uneven, even]], axis=1), tf.float32
    )
    label = [np.log(2), 0, np.log(4), 0]
    turn = [np.log(4), np.log(8), np.log(8 / 5), np.log(4)]
    losses = semi_supervised.label_and_turn_losses(targets, outputs).numpy()
    np.testing.assert_allclose(losses, 2 * np.array(label) + turn, rtol=1e-6)
    # The mean over the labeled half, and the mean over all.
    assert losses.mean() == pytest.approx(sum(label) / 2 + sum(turn) / 4)
    wrong = semi_supervised.misnamed(targets, outputs).numpy()
    assert wrong.tolist() == [False, False, True, False]


def test_images_are_turned_and_keep_their_labels(ask):
    inputs = ask.inputs((8, 8, 1))
    images, targets = ask("semi_supervised", inputs)
    turned, turns = ask("rotation", inputs)
    np.testing.assert_array_equal(images, turned)
    np.testing.assert_array_equal(targets[:, 0], inputs["labels"])
    np.testing.assert_array_equal(targets[:, 1], turns)


@pytest.mark.parametrize("labeled", [True, False])
def test_without_labels_the_head_of_classes_has_no_gradient(labeled):
    generator = np.random.default_rng(0)
    features = tf.constant(generator.normal(size=(6, 5)), tf.float32)
    kernel = tf.Variable(generator.normal(size=(5, 14)).astype(np.float32))
    labels = np.arange(6) if labeled else np.full(6, selection.UNLABELED)
    targets = tf.constant(np.stack([labels, np.arange(6) % 4], axis=1), tf.int32)
    with tf.GradientTape() as tape:
        losses = semi_supervised.label_and_turn_losses(targets, features @ kernel)
        loss = tf.reduce_mean(losses)
    classes, turns = np.split(tape.gradient(loss, kernel).numpy(), [10], axis=1)
    assert classes.any() == labeled
    assert turns.all()


def _with_other_hidden_labels(whole, seen):
    """Returns the data with labels dealt out anew among images without labels.

    Only among those that come behind all that were chosen, so that the same are chosen.
    """
    order = seeds.raw_bits(seeds.seed("subset_images"), 0, len(whole.train.labels))
    labeled = seen.train.labels != selection.UNLABELED
    hidden = np.flatnonzero(order > order[labeled].max())
    labels = whole.train.labels.copy()
    labels[hidden] = np.random.default_rng(0).permutation(labels[hidden])
    assert (labels != whole.train.labels).sum() > 500
    return dataclasses.replace(whole, train=Split(whole.train.images, labels))


def test_hidden_labels_change_no_bit(digits, trainer):
    changed = _with_other_hidden_labels(sources.load("digits"), digits)
    seen = selection.of(changed, "images:0.3", unlabeled=True)
    other = Trainer("lenet", _RECIPE, seen, **_TASK)
    found = _trained(trainer)
    assert not _same(found[0], trainer.initial_weights(1))
    for one, two in zip(found, _trained(other), strict=True):
        assert _same(one, two)


def test_resumed_is_uninterrupted(trainer):
    weights, slots = _trained(trainer)
    early, early_slots = _trained(trainer, 4)
    trainer.restore(early, masks={}, slots=early_slots, iteration=4, first_iteration=0)
    trainer.train(trainer.stream(**_ORDER), 9)
    for one, two in zip((weights, slots), trainer.state(), strict=True):
        assert _same(one, two)


@pytest.mark.slow
def test_two_replicas_train_as_one_does(digits, trainer, mirrored):
    shared = Trainer("lenet", _RECIPE, digits, strategy=mirrored, **_TASK)
    one, two = (_trained(each)[0] for each in (trainer, shared))
    for path, value in one.items():
        np.testing.assert_allclose(two[path], value, atol=2e-5)


def test_training_images_without_labels_are_not_measured(digits, evaluator):
    labeled = np.flatnonzero(digits.train.labels >= 0)
    np.testing.assert_array_equal(evaluator.examples("train", None), labeled)
    some = evaluator.examples("train", 50)
    assert len(some) == 50 and set(some) < set(labeled)
    (block,) = evaluator.blocks("train")
    found = evaluator.measure("train", block)
    assert 0 < found.num_misclassified < len(labeled)
    assert np.isfinite(found.loss)
    # What is measured in whole batches has them as training does.
    batches = evaluator.whole_batches(100, batch_size=21)
    assert batches.shape == (5, 20)
    assert (np.isin(batches, labeled).sum(axis=1) == 10).all()
    assert evaluator.gradient_magnitudes(batches[0]).norm > 0


def test_it_is_learned(trainer, evaluator):
    weights, _ = _trained(trainer, 200)
    evaluator.assign(weights)
    test = evaluator.examples("test", None)
    found = evaluator.measure("test", test)
    # Of turned digits a 6 may be a 9.
    assert found.num_misclassified < 0.25 * len(test)


def test_facts_and_what_is_refused():
    runtime = Runtime(data_dir=None, placement=Placement())
    facts = inspect(
        "lenet", Setting("digits", "semi_supervised", "images:0.3"), runtime
    )
    assert (facts.network.num_classes, facts.data.num_classes) == (14, 10)
    # All images are trained on.
    assert facts.data.num_train == 1437
    with pytest.raises(ValueError, match="Without a subset all 1,437 .*=images:0.1"):
        inspect("lenet", Setting("digits", "semi_supervised"), runtime)
    with pytest.raises(ValueError, match="subset images:0.9999 all 1,437 training"):
        inspect("lenet", Setting("digits", "semi_supervised", "images:0.9999"), runtime)


def test_the_bare_loop_it_is_held_against_minimizes_the_same():
    outputs = tf.constant(np.random.default_rng(0).normal(size=(6, 14)), tf.float32)
    labels = np.arange(6)
    shown = np.where(labels < 3, labels, selection.UNLABELED)
    targets = tf.constant(np.stack([shown, labels % 4], axis=1), tf.int32)
    losses = semi_supervised.label_and_turn_losses(targets, outputs)
    found = OBJECTIVES["semi_supervised"].loss(outputs, tf.constant(labels, tf.int32))
    assert float(found) == pytest.approx(float(tf.reduce_mean(losses)), rel=1e-5)
