"""Auxiliary heads: in the gradient with weight 0.4, and in no measurement."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.datasets.arrays import Source, Split
from tflottery.datasets.stream import Stream
from tflottery.models import weights as model_weights
from tflottery.training import evaluation, tasks
from tflottery.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("loops_are_graphs")
_RATE = 0.5
_BATCH_SIZE = 4


def _two_heads(*, input_shape, num_classes):
    """Two heads on the images themselves: each has a gradient of its own."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    auxiliary = layers.MaskedDense(num_classes, name="auxiliary_head")(x)
    return keras.Model(images, [logits, auxiliary], name="two_heads")


@pytest.fixture
def two_heads(register):
    register(MODELS, "two_heads", _two_heads)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (_BATCH_SIZE, 2, 2, 1), dtype=np.uint8)
    split = Split(images, np.array([0, 1, 2, 1], np.int32))
    source = Source("noise", "1", "0", split, split, 3, (0.5,), (0.25,))
    recipe = Recipe(
        optimizer="sgd",
        learning_rate=_RATE,
        batch_size=_BATCH_SIZE,
        training_iterations=1,
    )
    return Trainer("two_heads", recipe, source, num_classes=3)


def _images_and_labels(trainer):
    split = trainer._source.train
    images = (split.images.astype(np.float32) / 255 - 0.5) / 0.25
    return images, split.labels


def _gradient(images, labels, kernel):
    """Returns the mean cross-entropy's gradient by a kernel, in float64."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    powers = np.exp(flat @ kernel)
    errors = powers / powers.sum(axis=1, keepdims=True) - np.eye(3)[labels]
    return flat.T @ errors / len(images)


def _normalized_head(*, input_shape, num_classes):
    """The auxiliary head alone has batch norm."""
    images = keras.Input(input_shape, name="images")
    logits = keras.layers.Flatten(name="flatten")(images)
    logits = layers.MaskedDense(num_classes, name="head")(logits)
    x = layers.BatchNormalization(name="auxiliary_norm")(images)
    x = keras.layers.Flatten(name="auxiliary_flatten")(x)
    auxiliary = layers.MaskedDense(num_classes, name="auxiliary_head")(x)
    return keras.Model(images, [logits, auxiliary], name="normalized_head")


def test_cross_entropies_by_hand():
    labels = tf.constant([0, 1])
    even = tf.zeros([2, 4])
    # e^ln(3) / (e^ln(3) + 3) = 1/2 for the first class, 1/6 for the others.
    leaning = tf.constant([[np.log(3), 0.0, 0.0, 0.0]] * 2, tf.float32)
    for outputs in (leaning, [leaning]):
        np.testing.assert_allclose(
            tasks.Task().training_losses(labels, outputs), np.log([2, 6]), rtol=1e-6
        )
    found = tasks.Task().training_losses(labels, [even, leaning, leaning])
    expected = np.log(4) + 0.8 * np.log([2, 6])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_main_outputs_are_the_first():
    first, second = tf.zeros([1, 2]), tf.ones([1, 2])
    for outputs in (first, [first, second], (first, second)):
        assert tasks.main_outputs(outputs) is first


def test_auxiliary_loss_enters_the_gradient_with_its_weight(two_heads):
    weights = two_heads.initial_weights(1)
    two_heads.restore(weights, masks={}, slots=None, iteration=0, first_iteration=0)
    order = Stream(_BATCH_SIZE, _BATCH_SIZE, data_order_seed=1, augmentation_seed=2)
    two_heads.train(order, 1)
    after, _ = two_heads.state()
    for path, share in (("head/kernel", 1.0), ("auxiliary_head/kernel", 0.4)):
        gradient = _gradient(*_images_and_labels(two_heads), weights[path])
        expected = weights[path] - _RATE * share * gradient
        np.testing.assert_allclose(after[path], expected, rtol=1e-4, atol=1e-6)


def test_auxiliary_head_leaves_measurements_alone(two_heads):
    images, labels = _images_and_labels(two_heads)
    counted = tf.ones([len(labels)])
    weights = two_heads.initial_weights(1)
    found = []
    for factor in (1, -50):
        path = "auxiliary_head/kernel"
        changed = weights | {path: factor * weights[path]}
        model_weights.assign(two_heads.model, changed)
        wrong, loss = tasks.count_errors(
            two_heads.model,
            tasks.Task(),
            tf.constant(images),
            tf.constant(labels),
            counted,
        )
        found.append((int(wrong), float(loss)))
    logits = images.reshape(len(labels), -1) @ weights["head/kernel"]
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[range(len(labels)), labels]
    assert found[0] == found[1]
    assert found[0][0] == (logits.argmax(axis=1) != labels).sum()
    assert found[0][1] == pytest.approx(expected.sum(), rel=1e-5)


def test_statistics_of_an_auxiliary_head_are_reestimated(two_heads, register):
    register(MODELS, "normalized_head", _normalized_head)
    source = two_heads._source
    evaluator = evaluation.Evaluator("normalized_head", source, num_classes=3)
    evaluator.reestimate(10_240, batch_size=128)
    images, _ = _images_and_labels(two_heads)
    found = model_weights.weights(evaluator.model)
    for name, expected in (("mean", images.mean()), ("variance", images.var())):
        value = found[f"auxiliary_norm/moving_{name}"]
        np.testing.assert_allclose(value, [expected], rtol=1e-5)
