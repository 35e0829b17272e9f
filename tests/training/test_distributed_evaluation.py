"""Several devices count what one counts, of batches that are the same on either."""

import dataclasses
import functools

import numpy as np
import pytest

from tflottery.components.metadata import inspect
from tflottery.core.recipes import Setting
from tflottery.models import weights as model_weights
from tflottery.training import evaluation
from tflottery.training.distributed_evaluation import DistributedEvaluator
from tflottery.training.distribution import Placement
from tflottery.training.evaluation import Evaluator
from tflottery.training.runtime import Runtime

_DEVICES = ("CPU:0", "CPU:1", "CPU:2")


@pytest.fixture(scope="module")
def pair(trainers):
    """Returns evaluators of a kind of network over one device and over several.

    Both have the same weights, and blocks so small that there are many.
    """

    def make(model, devices=_DEVICES, source=None, **options):
        options = {"num_classes": 10} | options
        source = source or trainers.source(model)
        made = [
            Evaluator(model, source, **options, device=device)
            for device in (None, *devices)
        ]
        shapes = model_weights.variable_shapes(made[0].model)
        generator = np.random.default_rng(0)
        weights = {
            path: generator.uniform(0.1, 0.9, shape).astype(np.float32)
            * (1 if "norm" in path else generator.choice((-1, 1), shape))
            for path, shape in shapes.items()
        }
        for one in made:
            one.block_size = 2 * one.batch_size
        found = made[0], DistributedEvaluator(made[1:])
        for one in found:
            one.assign(
                {name: value.astype("float32") for name, value in weights.items()}
            )
        return found

    return make


@pytest.fixture(scope="module")
def small_conv(pair, registering_small_conv):
    """Such evaluators of convolutions, whose loops are traced once for all tests."""
    with registering_small_conv():
        return pair("small_conv")


def _measured(evaluator, split, num_examples):
    """Returns misclassified examples and the loss of each, over all blocks."""
    blocks = evaluator.blocks(split, num_examples)
    found = [evaluator.measure(split, block) for block in blocks]
    num_images = sum(map(len, blocks))
    loss = sum(one.loss for one in found) / num_images
    return num_images, sum(one.num_misclassified for one in found), loss


def _assert_same_counts(alone, together, questions):
    for split, num_examples in questions:
        *counts, loss = _measured(alone, split, num_examples)
        *others, other = _measured(together, split, num_examples)
        assert others == counts, (split, num_examples)
        assert 0 < counts[1]
        assert other == pytest.approx(loss, rel=1e-13)


def test_counts_are_those_of_one_device(small_conv):
    """Blocks of 250 on one device, and of 750, 687 and less on three."""
    alone, together = small_conv
    assert [len(block) for block in together.blocks("train")] == [750, 687]
    assert len(alone.blocks("train")) == 6
    # The second time in threads.
    for _ in range(2):
        _assert_same_counts(
            alone,
            together,
            [("train", None), ("test", None), ("train", 126), ("train", 20)],
        )


@pytest.mark.slow
def test_so_are_those_of_what_xla_compiles(pair):
    alone, together = pair("lenet", _DEVICES[:2])
    for _ in range(2):
        _assert_same_counts(alone, together, [("train", None)])


@pytest.mark.slow
def test_an_image_is_compared_with_the_next_one_of_the_same_batch(pair, monkeypatch):
    monkeypatch.setattr(evaluation, "compiled_by_xla", lambda model: False)
    options = {"num_classes": 128, "pretext": "exemplar"}
    alone, together = pair("lenet", _DEVICES[:2], **options)
    _assert_same_counts(alone, together, [("test", None), ("test", 101)])


@pytest.mark.slow
def test_images_in_files_are_counted_alike(pair, imagenet, small_conv_registered):
    alone, together = pair("small_conv", _DEVICES[:2], source=imagenet)
    for one in (alone, *together._evaluators):
        one.batch_size, one.block_size = 8, 16
    for _ in range(2):
        _assert_same_counts(alone, together, [("test", 39)])


def test_statistics_are_the_same_bits_and_can_be_left(small_conv):
    alone, together = small_conv
    calls = []
    # Of 10 batches all at once, of 89 twelve.
    for num_examples, num_calls in ((160, 0), (1437, 7)):
        alone.reestimate(num_examples, batch_size=16)
        together.reestimate(
            num_examples, batch_size=16, between=functools.partial(calls.append, 1)
        )
        assert len(calls) == num_calls
        expected = model_weights.weights(alone.model)
        for one in together._evaluators:
            for path, value in model_weights.weights(one.model).items():
                assert value.tobytes() == expected[path].tobytes(), path
    with pytest.raises(ZeroDivisionError):
        together.reestimate(1437, batch_size=16, between=lambda: 1 / 0)


def test_examples_and_gradients_are_those_of_one_device(small_conv):
    alone, together = small_conv
    np.testing.assert_array_equal(
        together.examples("test", 50), alone.examples("test", 50)
    )
    options = {"num_examples": 64, "batch_size": 32}
    batches = together.whole_batches(**options)
    np.testing.assert_array_equal(batches, alone.whole_batches(**options))
    for batch in batches:
        found = together.gradient_magnitudes(batch)
        assert found == alone.gradient_magnitudes(batch)


def test_what_is_wrong_on_one_device_ends_it(small_conv, monkeypatch):
    _, together = small_conv
    block = together.blocks("train")[0]
    together.measure("train", block)

    def fail(split, indices):
        raise ZeroDivisionError

    monkeypatch.setattr(together._evaluators[1], "measure", fail)
    with pytest.raises(ZeroDivisionError):
        together.measure("train", block)


def test_a_worker_measures_on_the_devices_that_it_trains_on(monkeypatch, mirrored):
    monkeypatch.setattr(evaluation, "compiled_by_xla", lambda model: False)
    alone = Runtime(data_dir=None, placement=Placement())
    shared = Runtime(
        data_dir=None, placement=Placement(distribute="mirrored", num_devices=2)
    )
    assert (alone.num_devices, shared.num_devices) == (1, 2)
    facts = inspect("lenet", Setting("digits"), alone)
    found = [one.evaluator(facts.network, facts.data) for one in (alone, shared)]
    devices = [one.model.variables[0].value.device for one in found[1]._evaluators]
    assert [name[-5:] for name in devices] == ["CPU:0", "CPU:1"]
    assert isinstance(found[0], Evaluator)
    with pytest.raises(RuntimeError, match="was built with architecture"):
        shared.evaluator(
            dataclasses.replace(facts.network, architecture="0"), facts.data
        )
