"""Exemplar: views of an image, triplets, and that it can be learned."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.bare_objectives import OBJECTIVES
from tflottery.components.metadata import inspect
from tflottery.core.recipes import Recipe, Setting
from tflottery.datasets import source as sources
from tflottery.datasets.stream import Stream
from tflottery.pretexts import exemplar
from tflottery.training.distribution import Placement
from tflottery.training.evaluation import Evaluator
from tflottery.training.runtime import Runtime
from tflottery.training.trainer import Trainer


def _unit(angle):
    return [np.cos(angle), np.sin(angle)]


@pytest.fixture
def outputs():
    """Embeddings of three anchors and their positives; lengths do not matter."""
    anchors, positives = (0.0, 2.0, 2.1), (0.1, 2.0, 2.4)
    embeddings = [
        [np.multiply(3.0, _unit(one)), np.multiply(0.5, _unit(other))]
        for one, other in zip(anchors, positives, strict=True)
    ]
    return tf.constant(np.array(embeddings), tf.float32)


def test_triplets_by_hand(outputs):
    # Each one's negative is the next anchor, the last one's the first.
    to_positive = 1 - np.cos([0.1, 0.0, 0.3])
    to_negative = 1 - np.cos([2.0, 0.1, 2.1])
    expected = np.maximum(0, 0.5 + to_positive - to_negative)
    np.testing.assert_allclose(
        exemplar.triplet_losses(None, outputs), expected, atol=1e-6
    )
    assert expected[0] == 0 and expected[1] > 0.4
    assert list(exemplar.unsatisfied(None, outputs).numpy()) == [False] * 3
    swapped = tf.roll(outputs, shift=1, axis=1)
    assert list(exemplar.unsatisfied(None, swapped).numpy()) == [False, False, False]
    collapsed = tf.ones([4, 2, 8])
    assert exemplar.unsatisfied(None, collapsed).numpy().all()


def test_two_views_differ_and_come_again(ask):
    inputs = ask.inputs((32, 32, 3))
    images, _ = ask("exemplar", inputs)
    assert images.shape == (24, 2, 32, 32, 3)
    differ = (images[:, 0] != images[:, 1]).any(axis=(1, 2, 3))
    assert differ.all()
    again, _ = ask("exemplar", inputs)
    np.testing.assert_array_equal(again, images)
    inputs["bits"] = inputs["bits"][::-1]
    other, _ = ask("exemplar", inputs)
    assert (other != images).any(axis=(1, 2, 3, 4)).all()


def test_a_view_is_the_image_turned_moved_and_recoloured(ask):
    """A white square in the middle stays about there, as large and bright as it was."""
    inputs = ask.inputs((32, 32, 3), count=200)
    square = np.zeros((200, 32, 32, 3), np.float32)
    square[:, 12:20, 12:20] = 1.0
    inputs["images"] = tf.constant(square)
    views, _ = ask("exemplar", inputs)
    lit = views.reshape(400, 32, 32, 3).max(axis=-1) > 0.25
    # Turned by the nearest pixel, it has a few more or fewer.
    assert np.abs(lit.sum(axis=(1, 2)) - 64).max() <= 8
    rows, columns = np.indices((32, 32))
    centres = np.array([[rows[one].mean(), columns[one].mean()] for one in lit])
    # Moved by 4 both ways, and that turned by 20 degrees.
    assert np.abs(centres - 15.5).max() <= 4 * (np.cos(0.35) + np.sin(0.35)) + 0.1
    assert len(np.unique(centres.round(1), axis=0)) > 60


def test_an_image_is_not_its_own_negative(outputs):
    for judge in (exemplar.triplet_losses, exemplar.unsatisfied):
        with pytest.raises(ValueError, match="--batch_size, of two images or more"):
            judge(None, outputs[:1])


@pytest.mark.slow
def test_it_is_learned_without_a_collapse():
    source = sources.load("digits")
    recipe = Recipe(
        optimizer="adam", learning_rate=1e-3, batch_size=60, training_iterations=300
    )
    width = exemplar.EMBEDDING_SIZE
    trainer = Trainer("lenet", recipe, source, num_classes=width, pretext="exemplar")
    trainer.restore(
        trainer.initial_weights(1), masks={}, slots=None, iteration=0, first_iteration=0
    )
    stream = Stream(1437, 60, data_order_seed=1, augmentation_seed=2)
    trainer.train(stream, 300)
    evaluator = Evaluator("lenet", source, num_classes=width, pretext="exemplar")
    evaluator.assign(trainer.state()[0])
    found = evaluator.measure("test", evaluator.examples("test", None))
    assert found.num_misclassified <= 0.1 * 360
    embeddings = trainer.model(
        (source.test.images / 255 - source.mean).astype(np.float32) / source.std
    )
    embeddings = tf.math.l2_normalize(embeddings, axis=-1).numpy()
    # Of 128 values that are anywhere on the sphere, it would be 1.
    assert embeddings.var(axis=0).sum() > 0.3


def test_facts():
    runtime = Runtime(data_dir=None, placement=Placement())
    facts = inspect("lenet", Setting("digits", "exemplar"), runtime)
    assert facts.network.num_classes == 128
    assert dataclasses.replace(facts.data, pretext=None).num_classes == 10


def test_the_bare_loop_it_is_held_against_minimizes_the_same():
    outputs = tf.constant(np.random.default_rng(0).normal(size=(6, 2, 128)), tf.float32)
    views = tf.concat([outputs[:, 0], outputs[:, 1]], axis=0)
    loss = OBJECTIVES["exemplar"].loss(views, None)
    expected = tf.reduce_mean(exemplar.triplet_losses(None, outputs))
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
