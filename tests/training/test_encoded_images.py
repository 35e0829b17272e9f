"""The loop on images that stay in their files: exact, resumable, counted alike."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tflottery.datasets import pipeline
from tflottery.datasets.stream import stream_of
from tflottery.training import checkpoints
from tflottery.training.evaluation import Evaluator
from tflottery.training.trainer import Trainer

_LAST = 10


@pytest.fixture
def make(imagenet, trainers, small_conv_registered):
    """Makes a trainer of a kind on the small ImageNet."""

    def trainer(kind="small_conv", **options):
        recipe = dataclasses.replace(
            trainers(kind).recipe, batch_size=16, augmentation="resized_crop"
        )
        model = kind.removesuffix("_sgd")
        return Trainer(model, recipe, imagenet, num_classes=10, **options)

    return trainer


def place(trainer, weights, *, slots=None, at=0):
    trainer.restore(weights, masks={}, slots=slots, iteration=at, first_iteration=0)


def stream(trainer):
    return trainer.stream(data_order_seed=3, augmentation_seed=4)


def equal(one, other):
    return all(
        np.array_equal(a[path], b[path])
        for a, b in zip(one, other, strict=True)
        for path in a
    )


def test_cut_at_iteration_7_of_10_equals_unbroken(make, tmp_path):
    first, other = make(), make()
    initial = first.initial_weights(1)
    place(first, initial)
    first.train(stream(first), _LAST)
    unbroken = first.state()
    # Begun in one trainer and ended in another one, an epoch and a half along.
    place(first, initial)
    first.train(stream(first), 7)
    weights, slots = first.state()
    assert not equal([weights], [unbroken[0]])
    checkpoints.write(tmp_path, weights, slots=slots)
    place(
        other,
        checkpoints.read_weights(tmp_path),
        slots=checkpoints.read_slots(tmp_path),
        at=7,
    )
    other.train(stream(other), _LAST)
    assert equal(other.state(), unbroken)


def test_what_xla_compiles_takes_batches_from_outside(make):
    trainer = make("lenet_sgd")
    place(trainer, trainer.initial_weights(1))
    # On a CPU it compiles dense networks, on a GPU all.
    trainer.train(stream(trainer), 3)
    weights, _ = trainer.state()
    assert all(np.isfinite(value).all() for value in weights.values())


@pytest.mark.slow
def test_replicas_share_batches(make, mirrored):
    trainer = make(strategy=mirrored)
    place(trainer, trainer.initial_weights(1))
    assert trainer.train(stream(trainer), 2) == 2


def test_measuring_counts_what_a_loader_shows(make, imagenet):
    trainer = make()
    evaluator = Evaluator("small_conv", imagenet, num_classes=10)
    evaluator.assign(trainer.initial_weights(1))
    load = pipeline.loader(imagenet, split="test", augmentation="none")
    every = tf.range(len(imagenet.test.labels))
    images, labels = load(every, tf.zeros_like(every))
    answers = evaluator.model(images, training=False).numpy().argmax(axis=1)
    (block,) = evaluator.blocks("test")
    found = evaluator.measure("test", block)
    assert found.num_misclassified == (answers != labels.numpy()).sum()
    assert evaluator.measure("test", block) == found
    (few,) = evaluator.blocks("test", 7)
    assert len(few) == 7 and evaluator.measure("test", few).loss < found.loss

    magnitudes = [
        evaluator.gradient_magnitudes(batch)
        for batch in evaluator.gradient_batches(num_examples=32, batch_size=16)
    ]
    assert len(magnitudes) == 2 and magnitudes[0].norm != magnitudes[1].norm
    statistics = []
    for _ in range(2):
        evaluator.reestimate(96, batch_size=16)
        layer = evaluator.model.get_layer("norm_1")
        statistics.append(layer.moving_variance.numpy())
    assert (statistics[0] == statistics[1]).all() and statistics[0].min() > 0


def test_streams_over_files_are_those_over_arrays(imagenet):
    found = stream_of(
        imagenet.train.labels, 16, data_order_seed=3, augmentation_seed=4
    ).batches(0, 6)
    assert sorted(found.indices.reshape(-1)) == list(range(96))
