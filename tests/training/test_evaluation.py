"""Errors counted by hand, and batch norm statistics against numpy in float64."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.core import seeds
from tflottery.core.registry import MODELS, PRETEXTS, Entry
from tflottery.datasets.arrays import Source, Split
from tflottery.models import weights as model_weights
from tflottery.training import tasks
from tflottery.training.evaluation import Evaluator

_NUM_TRAIN, _NUM_TEST = 2700, 7


def _bright(*, input_shape, num_classes):
    """Class 0 for a bright pixel, class 1 for a dark one, with the weights below."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


_WEIGHTS = {
    "head/kernel": np.array([[2.0, 0.0]], np.float32),
    "head/bias": np.array([-1.0, 0.0], np.float32),
}


def _split(num_examples):
    """Bright and dark in turn; every example whose index 3 divides has a wrong label.

    Example 0, with which blocks are padded, is one of them.
    """
    index = np.arange(num_examples)
    images = (255 * (index % 2 == 0)).astype(np.uint8).reshape(-1, 1, 1, 1)
    labels = ((index % 2 == 1) ^ (index % 3 == 0)).astype(np.int32)
    return Split(images, labels)


@pytest.fixture(scope="module")
def evaluator():
    MODELS.names()
    train, test = _split(_NUM_TRAIN), _split(_NUM_TEST)
    source = Source("dots", "1", "0", train, test, 2, (0.0,), (1.0,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS._entries, "bright", Entry("bright", _bright, {}))
        found = Evaluator("bright", source, num_classes=2)
    found.assign(_WEIGHTS)
    return found


def _wrong(indices):
    return int((np.asarray(indices) % 3 == 0).sum())


@pytest.mark.parametrize("count", [1, 2, 499, 500, 501, 1000, 2000])
def test_errors_and_losses_leave_the_padding_out(count, evaluator):
    indices = np.arange(100, 100 + count, dtype=np.int32)
    found = evaluator.measure("train", indices)
    assert found.num_misclassified == _wrong(indices)
    # Logits are (1, 0) or (-1, 0): log(1 + 1 / e) for a right answer, else 1 more.
    expected = count * np.log1p(np.exp(-1)) + _wrong(indices)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-6)


def test_losses_of_images_are_added_up_in_float64(evaluator):
    def measured(*indices):
        return evaluator.measure("train", np.array(indices, np.int32))

    # Images 0 to 5 are all kinds there are: 450 of each are the whole split.
    every = [measured(index).loss for index in range(6)]
    whole = measured(*range(2000)).loss + measured(*range(2000, _NUM_TRAIN)).loss
    np.testing.assert_allclose(whole, 450 * sum(every), rtol=1e-13)


def test_an_infinite_loss_of_padding_counts_nothing(evaluator):
    images = tf.constant([0.0, 1.0])[:, None, None, None]
    evaluator.assign({**_WEIGHTS, "head/bias": np.array([np.inf, 0], np.float32)})
    wrong, loss = tasks.count_errors(
        evaluator.model,
        tasks.Task(),
        images,
        tf.constant([1, 1]),
        tf.constant([0.0, 0.0]),
    )
    assert (int(wrong), float(loss)) == (0, 0.0)
    evaluator.assign(_WEIGHTS)


def test_splits_are_apart(evaluator):
    found = evaluator.measure("test", np.arange(_NUM_TEST, dtype=np.int32))
    assert found.num_misclassified == 3


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_random_pretext_reads_the_bits_of_its_own_split(split, register, graphs):
    """Labels that are random bits: how many are right tells whose bits they are."""

    def coin(images, labels, *, bits, **others):
        return images, bits % 2

    register(MODELS, "bright", _bright)
    register(PRETEXTS, "coin", coin, num_outputs=2, version=1, seeded=False)
    # As many test images as training images, so that only the bits differ.
    both = _split(500)
    source = Source("dots", "1", "0", both, both, 2, (0.0,), (1.0,))
    with graphs():
        evaluator = Evaluator("bright", source, num_classes=2, pretext="coin")
    evaluator.assign(_WEIGHTS)
    words = seeds.raw_bits(seeds.seed("evaluation_bits", split=split), 0, 500)
    coins = (words >> np.uint64(33)) % 2
    # Bright images, those of even index, are class 0.
    answers = np.arange(500) % 2
    found = evaluator.measure(split, np.arange(500, dtype=np.int32))
    assert found.num_misclassified == (answers != coins).sum()


def test_all_images_are_measured_once(evaluator):
    blocks = evaluator.blocks("train")
    assert [len(block) for block in blocks] == [2700]
    np.testing.assert_array_equal(np.concatenate(blocks), np.arange(_NUM_TRAIN))
    assert [block.tolist() for block in evaluator.blocks("test", 50)] == [[*range(7)]]
    wrong = sum(evaluator.measure("train", block).num_misclassified for block in blocks)
    assert wrong == _NUM_TRAIN // 3


def test_subset_is_fixed_and_without_repetition(evaluator):
    chosen = evaluator.examples("train", 100)
    assert chosen.dtype == np.int32
    assert len(set(chosen.tolist())) == 100 and chosen.max() < _NUM_TRAIN
    assert chosen.max() > 0.9 * _NUM_TRAIN
    # A change of it changes every record on a subset.
    assert chosen[:6].tolist() == [22, 37, 64, 74, 87, 103]
    np.testing.assert_array_equal(
        np.concatenate(evaluator.blocks("train", 100)), chosen
    )
    more = evaluator.examples("train", 200)
    assert set(chosen.tolist()) < set(more.tolist())
    assert not np.array_equal(evaluator.examples("test", 5), chosen[:5])


@pytest.mark.parametrize("block_size", [500, 1500])
def test_nothing_depends_on_the_size_of_blocks(block_size, evaluator, monkeypatch):
    def counted():
        blocks = evaluator.blocks("train", 2300)
        found = [evaluator.measure("train", block) for block in blocks]
        losses = math.fsum(one.loss for one in found)
        misclassified = sum(one.num_misclassified for one in found)
        return misclassified, pytest.approx(losses, rel=1e-13)

    expected = counted()
    assert expected[0] == _wrong(evaluator.examples("train", 2300))
    monkeypatch.setattr(evaluator, "block_size", block_size)
    wrong, loss = counted()
    assert (wrong, loss.expected) == expected


def _convolution(images, kernel):
    """A valid 3 x 3 convolution: [n, h, w, c] and [3, 3, c, f]."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    return np.einsum("nhwcij,ijcf->nhwf", windows, kernel)


def _numpy_statistics(images, weights, *, batch_size):
    """Pooled moments of both layers, each batch normalized by its own on the way."""
    sums = {}
    batches = images[: len(images) // batch_size * batch_size]
    batches = batches.reshape(-1, batch_size, *images.shape[1:])
    for x in batches:
        for layer in (1, 2):
            x = _convolution(x, weights[f"conv_{layer}/kernel"].astype(np.float64))
            mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
            for name, value in (("mean", mean), ("square", variance + mean**2)):
                sums[layer, name] = sums.get((layer, name), 0) + value / len(batches)
            gamma, beta = (weights[f"norm_{layer}/{n}"] for n in ("gamma", "beta"))
            x = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
            x = np.maximum(x, 0)
    found = {}
    for layer in (1, 2):
        mean = sums[layer, "mean"]
        found[f"norm_{layer}/moving_mean"] = mean
        found[f"norm_{layer}/moving_variance"] = sums[layer, "square"] - mean**2
    return found


@pytest.mark.parametrize(
    ("num_examples", "batch_size"), [(48, 16), (50, 16), (40, 64), (90, 10)]
)
def test_statistics_are_the_moments_of_fixed_images(
    num_examples, batch_size, trainers, small_conv_registered
):
    source = trainers.source("small_conv")
    evaluator = Evaluator("small_conv", source, num_classes=10)
    trainer = trainers("small_conv")
    weights = trainer.initial_weights(3)
    generator = np.random.default_rng(0)
    for name in ("norm_1/gamma", "norm_1/beta", "norm_2/moving_variance"):
        weights[name] = generator.uniform(0.5, 2, weights[name].shape).astype("float32")
    evaluator.assign(weights)
    evaluator.reestimate(num_examples, batch_size=batch_size)
    found = model_weights.weights(evaluator.model)
    chosen = evaluator.examples("train", num_examples)
    assert set(evaluator._random_order("train")[:num_examples]) == set(chosen)
    chosen = evaluator._random_order("train")[:num_examples]
    images = source.train.images[chosen] / 255
    expected = _numpy_statistics(
        images, weights, batch_size=min(batch_size, num_examples)
    )
    for name, value in found.items():
        if name in expected:
            np.testing.assert_allclose(value, expected[name], rtol=2e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(value, weights[name])
    # Whatever the statistics were before, they are the same bits afterwards.
    evaluator.assign(weights | {"norm_1/moving_mean": np.full(4, 7, np.float32)})
    evaluator.reestimate(num_examples, batch_size=batch_size)
    for name, value in model_weights.weights(evaluator.model).items():
        np.testing.assert_array_equal(value, found[name])


def test_statistics_do_not_depend_on_the_order_of_the_data(
    trainers, small_conv_registered
):
    """Data sorted by class must not make batches of one class each."""
    source = trainers.source("small_conv")
    order = np.argsort(source.train.labels, kind="stable")
    sorted_ = Split(source.train.images[order], source.train.labels[order])
    weights = trainers("small_conv").initial_weights(3)
    found = []
    for train in (source.train, sorted_):
        one = Source("d", "1", "0", train, source.test, 10, (0.0,), (1.0,))
        evaluator = Evaluator("small_conv", one, num_classes=10)
        evaluator.assign(weights)
        evaluator.reestimate(10_240, batch_size=128)
        found.append(model_weights.weights(evaluator.model)["norm_2/moving_variance"])
    np.testing.assert_allclose(found[0], found[1], rtol=0.02)


def test_re_estimation_can_be_left_every_few_batches(trainers, small_conv_registered):
    evaluator = Evaluator("small_conv", trainers.source("small_conv"), num_classes=10)
    calls = []
    evaluator.reestimate(90, batch_size=10, between=lambda: calls.append(1))
    # After four batches and after eight of nine.
    assert len(calls) == 2
    with pytest.raises(ZeroDivisionError):
        evaluator.reestimate(90, batch_size=10, between=lambda: 1 / 0)
