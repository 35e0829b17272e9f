"""Magnitudes of gradients against plain tapes, and by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.core.registry import MODELS
from tflottery.datasets.arrays import Source, Split
from tflottery.models import weights as model_weights
from tflottery.training.evaluation import Evaluator


@pytest.fixture
def evaluator(trainers, small_conv_registered):
    """Two convolutions with batch norm, with statistics unlike those of a batch."""
    found = Evaluator("small_conv", trainers.source("small_conv"), num_classes=10)
    weights = trainers("small_conv").initial_weights(3)
    generator = np.random.default_rng(0)
    for name in weights:
        if name.startswith("norm_"):
            shape = weights[name].shape
            weights[name] = generator.uniform(0.5, 2, shape).astype(np.float32)
    found.assign(weights)
    return found


def magnitudes(evaluator, num_examples, batch_size):
    """Returns what is measured of each batch of so many images."""
    batches = evaluator.whole_batches(num_examples, batch_size=batch_size)
    return [evaluator.gradient_magnitudes(batch) for batch in batches]


def by_plain_tape(evaluator, source, indices, *, training=True):
    """Returns norm and mean magnitude of one batch's gradient by the kernels."""
    images = (source.train.images[indices] / 255).astype(np.float32)
    images = (images - np.float32(source.mean)) / np.float32(source.std)
    kernels = [
        one for one in evaluator.model.trainable_variables if one.name == "kernel"
    ]
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    before = model_weights.weights(evaluator.model)
    with tf.GradientTape() as tape:
        outputs = evaluator.model(images, training=training)
        loss = loss_of(source.train.labels[indices], outputs)
    found = tape.gradient(loss, kernels)
    evaluator.assign(before)
    flat = np.concatenate([one.numpy().ravel() for one in found]).astype(np.float64)
    # Two convolutions and the head, without biases, gammas and betas.
    assert len(flat) == 3 * 3 * 1 * 4 + 3 * 3 * 4 * 6 + 6 * 10
    return np.linalg.norm(flat), np.abs(flat).mean()


def test_one_batch_is_what_a_tape_says(evaluator, trainers):
    source = trainers.source("small_conv")
    chosen = evaluator._random_order("train")[:64]
    [found] = magnitudes(evaluator, 64, 64)
    norm, mean = by_plain_tape(evaluator, source, chosen)
    assert found.norm == pytest.approx(norm, rel=1e-5)
    assert found.mean == pytest.approx(mean, rel=1e-5)
    # By the moving statistics it would be another.
    other, _ = by_plain_tape(evaluator, source, chosen, training=False)
    assert abs(other / norm - 1) > 0.01


def test_each_batch_is_measured_by_itself(evaluator, trainers):
    source = trainers.source("small_conv")
    chosen = evaluator._random_order("train")[:96].reshape(3, 32)
    # What is left of the last batch does not count.
    found = magnitudes(evaluator, 100, 32)
    assert len(found) == 3
    for one, batch in zip(found, chosen, strict=True):
        norm, mean = by_plain_tape(evaluator, source, batch)
        assert one.norm == pytest.approx(norm, rel=1e-5)
        assert one.mean == pytest.approx(mean, rel=1e-5)


def test_the_model_stays_as_it_was(evaluator):
    before = model_weights.weights(evaluator.model)
    one = magnitudes(evaluator, 64, 16)
    after = model_weights.weights(evaluator.model)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    assert magnitudes(evaluator, 64, 16) == one
    # Whatever the moving statistics are, it is the same bits.
    evaluator.assign(before | {"norm_1/moving_mean": np.full(4, 7, np.float32)})
    assert magnitudes(evaluator, 64, 16) == one


def test_more_images_than_there_are(evaluator, trainers):
    total = len(trainers.source("small_conv").train.labels)
    found = evaluator.whole_batches(10**6, batch_size=500)
    assert found.shape == (total // 500, 500)
    found = evaluator.whole_batches(20, batch_size=500)
    assert found.shape == (1, 20)


def _two_heads(*, input_shape, num_classes):
    """Two heads on the images themselves, the second an auxiliary one."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    auxiliary = layers.MaskedDense(num_classes, name="auxiliary_head")(x)
    return keras.Model(images, [logits, auxiliary], name="two_heads")


def test_auxiliary_heads_by_hand(register):
    register(MODELS, "two_heads", _two_heads)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 2, 2, 1), dtype=np.uint8)
    split = Split(images, np.array([0, 1, 2, 1, 0, 0], np.int32))
    source = Source("noise", "1", "0", split, split, 3, (0.5,), (0.25,))
    evaluator = Evaluator("two_heads", source, num_classes=3)
    weights = {}
    for path, shape in model_weights.variable_shapes(evaluator.model).items():
        weights[path] = random.normal(0, 1, shape).astype(np.float32)
    evaluator.assign(weights)
    [found] = magnitudes(evaluator, 6, 6)
    x = ((images / 255 - 0.5) / 0.25).reshape(6, 4)
    gradients = []
    for head, share in (("head", 1.0), ("auxiliary_head", 0.4)):
        powers = np.exp(x @ weights[f"{head}/kernel"] + weights[f"{head}/bias"])
        errors = powers / powers.sum(axis=1, keepdims=True) - np.eye(3)[split.labels]
        gradients.append(share * x.T @ errors / 6)
    assert found.norm == pytest.approx(np.linalg.norm(gradients), rel=1e-5)
    assert found.mean == pytest.approx(np.abs(gradients).mean(), rel=1e-5)
