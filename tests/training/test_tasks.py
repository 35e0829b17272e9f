"""Tasks with several views, targets and losses of their own, in the whole loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.datasets import source as sources
from tflottery.datasets.stream import Stream
from tflottery.models import weights as model_weights
from tflottery.training import requirements, tasks
from tflottery.training.evaluation import Evaluator
from tflottery.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("loops_are_graphs")
_BATCH_SIZE, _RATE, _WIDTH = 6, 0.25, 3
_OWN = {"version": 1, "seeded": False}


def _linear(*, input_shape, num_classes):
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    outputs = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, outputs, name="linear")


def _mirrored(images, labels, **_):
    """Shows an image and its mirror image, whose outputs are to be alike."""
    return tf.stack([images, images[:, :, ::-1]], axis=1), labels


def _distances(targets, outputs):
    del targets
    return tf.reduce_sum(tf.square(outputs[:, 0] - outputs[:, 1]), axis=-1)


def _far(targets, outputs):
    return _distances(targets, outputs) > 1.0


def _parity(images, labels, **_):
    """Asks for the label, and for whether it is odd."""
    return images, tf.stack([labels, labels % 2], axis=1)


def _both(targets, outputs):
    digit = tasks.cross_entropies(targets[:, 0], outputs[:, :10])
    return digit + tasks.cross_entropies(targets[:, 1], outputs[:, 10:])


def _wrong_digit(targets, outputs):
    return tasks.misclassified(targets[:, 0], outputs[:, :10])


@pytest.fixture
def digits(register):
    register(MODELS, "linear", _linear)
    register(
        PRETEXTS,
        "mirrored",
        _mirrored,
        num_outputs=_WIDTH,
        num_views=2,
        losses=_distances,
        errors=_far,
        **_OWN,
    )
    register(
        PRETEXTS,
        "parity",
        _parity,
        num_outputs=lambda num_classes: num_classes + 2,
        losses=_both,
        errors=_wrong_digit,
        **_OWN,
    )
    return sources.load("digits")


def _trained(source, pretext, *, strategy=None):
    """Returns the kernel and bias before and after one update, and the batch."""
    recipe = Recipe(
        optimizer="sgd",
        learning_rate=_RATE,
        batch_size=_BATCH_SIZE,
        training_iterations=1,
    )
    trainer = Trainer(
        "linear",
        recipe,
        source,
        num_classes=sources.num_outputs(source, pretext=pretext),
        pretext=pretext,
        strategy=strategy,
    )
    before = trainer.initial_weights(1)
    trainer.restore(before, masks={}, slots=None, iteration=0, first_iteration=0)
    num_examples = len(source.train.labels)
    stream = Stream(num_examples, _BATCH_SIZE, data_order_seed=1, augmentation_seed=2)
    trainer.train(stream, 1)
    after, _ = trainer.state()
    return before, after, stream.batches(0, 1).indices[0]


def _flat(images, source):
    """Returns images as the network sees them, in float64."""
    images = (images.astype(np.float64) / 255 - source.mean) / source.std
    return images.reshape(len(images), -1)


@pytest.mark.parametrize("distributed", [False, True])
def test_both_views_are_in_the_gradient(distributed, digits, mirrored):
    strategy = mirrored if distributed else None
    before, after, indices = _trained(digits, "mirrored", strategy=strategy)
    images = digits.train.images[indices]
    difference = _flat(images, digits) - _flat(images[:, :, ::-1], digits)
    # The distance is |d K|^2, and its gradient 2 d^T d K.
    kernel = before["head/kernel"].astype(np.float64)
    gradient = 2 * difference.T @ (difference @ kernel) / _BATCH_SIZE
    expected = kernel - _RATE * gradient
    np.testing.assert_allclose(after["head/kernel"], expected, rtol=1e-4, atol=1e-5)


def test_two_heads_are_one_that_is_wider(digits):
    before, after, indices = _trained(digits, "parity")
    images = _flat(digits.train.images[indices], digits)
    labels = digits.train.labels[indices]
    kernel = before["head/kernel"].astype(np.float64)
    for part, classes in ((slice(0, 10), labels), (slice(10, 12), labels % 2)):
        powers = np.exp(images @ kernel[:, part])
        errors = powers / powers.sum(axis=1, keepdims=True)
        errors -= np.eye(powers.shape[1])[classes]
        expected = kernel[:, part] - _RATE * images.T @ errors / _BATCH_SIZE
        found = after["head/kernel"][:, part]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pretext", ["mirrored", "parity"])
def test_measuring(pretext, digits):
    width = sources.num_outputs(digits, pretext=pretext)
    evaluator = Evaluator("linear", digits, num_classes=width, pretext=pretext)
    weights = model_weights.initial_weights(evaluator.model, 3)
    evaluator.assign(weights)
    kernel = weights["head/kernel"].astype(np.float64)
    indices = evaluator.examples("test", 70)
    images, labels = digits.test.images[indices], digits.test.labels[indices]
    outputs = _flat(images, digits) @ kernel
    if pretext == "mirrored":
        others = _flat(images[:, :, ::-1], digits) @ kernel
        losses = np.square(outputs - others).sum(axis=1)
        errors = losses > 1.0
    else:
        errors = outputs[:, :10].argmax(axis=1) != labels
        losses = sum(
            np.log(np.exp(part).sum(axis=1)) - part[range(len(labels)), classes]
            for part, classes in (
                (outputs[:, :10], labels),
                (outputs[:, 10:], labels % 2),
            )
        )
    found = evaluator.measure("test", indices)
    assert 0 < errors.sum() < len(errors)
    assert found.num_misclassified == errors.sum()
    assert found.loss == pytest.approx(losses.sum(), rel=1e-5)
    # What else passes images through the network knows of views, too.
    batch = evaluator.whole_batches(8, batch_size=8)[0]
    assert evaluator.gradient_magnitudes(batch).norm > 0


@pytest.mark.parametrize(
    ("show", "declared", "text"),
    [
        (_mirrored, {}, "images of shape (4, 2, 8, 8, 1)"),
        (_mirrored, {"num_views": 3}, "(4, 3, 8, 8, 1) and float32 are expected"),
        (_parity, {}, "labels of shape (4, 2)"),
        (
            lambda images, labels, **_: (images, labels + 8),
            {},
            "have 10 outputs: labels go from 0 to 9",
        ),
        (
            # Of one image in hundreds.
            lambda images, labels, indices, **_: (
                images,
                tf.where(indices == 1000, 10, labels),
            ),
            {},
            "gives labels [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]",
        ),
        (
            lambda images, labels, **_: (images, tf.cast(labels, tf.int64)),
            {},
            "targets of shape (4,) and dtype int64",
        ),
        (
            _mirrored,
            {"num_views": 2, "losses": lambda _, outputs: outputs, "errors": _far},
            "losses of shape (4, 2, 10)",
        ),
        (
            _mirrored,
            {"num_views": 2, "losses": _distances, "errors": _distances},
            "errors of shape (4,) and dtype float32",
        ),
        (
            lambda images, labels, **_: (images, labels),
            # As many as there are for training, whatever the split.
            {"relabel": lambda labels, seed: np.resize(labels, 1437)},
            "shape (1437,) for 360 labels",
        ),
    ],
)
def test_what_does_not_fit_is_refused(show, declared, text, digits, register):
    register(PRETEXTS, "own", show, num_outputs=None, **_OWN, **declared)
    model = _linear(input_shape=digits.image_shape, num_classes=10)
    with pytest.raises(ValueError) as raised:
        requirements.validate_task(model, "own", digits)
    assert text in str(raised.value)
