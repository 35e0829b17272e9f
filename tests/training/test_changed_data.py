"""Nothing is kept that was computed from other bytes than its key stands for."""

import dataclasses
import os

import keras
import pytest

from tflottery.core.identities import Data, Network
from tflottery.core.training_hosts import Hosts
from tflottery.datasets import source as sources
from tflottery.datasets.arrays import ChangedData
from tflottery.training.distribution import Placement
from tflottery.training.evaluation import Evaluator
from tflottery.training.runtime import OtherData, Runtime, UnusableData
from tflottery.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("loops_are_graphs")


@pytest.fixture
def digits(tmp_path):
    """The digits in a cache of this test's own."""
    return sources.load("digits", cache_dir=str(tmp_path))


def flip(source):
    """Changes one bit of the training images under their map."""
    (path,) = (path for path in source.stamps if path.endswith("train_images.npy"))
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    assert source.train.images[-1, -1, -1, -1] == byte ^ 1


class FlipAt(keras.callbacks.Callback):
    """Damages the data at an iteration, and notes which iterations it saw."""

    def __init__(self, source, iteration):
        super().__init__()
        self.iterations = [iteration]
        self.seen = []
        self._source = source

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(batch + 1)
        if batch + 1 in self.iterations:
            flip(self._source)


def test_training_stops_where_the_data_change(digits, trainers):
    recipe = trainers("lenet_adam").recipe
    trainer = Trainer("lenet", recipe, digits, num_classes=10)
    callback = FlipAt(digits, 3)
    with pytest.raises(ChangedData, match="train_images.npy.*'digits'"):
        trainer.train(trainers.stream(trainer), 20, callbacks=[callback])
    assert callback.seen[-1] == 3


def test_measurements_of_changed_data_do_not_count(digits, small_conv_registered):
    evaluator = Evaluator("small_conv", digits, num_classes=10)
    questions = {
        "errors": lambda: evaluator.measure("test", evaluator.examples("test", 5)),
        "statistics": lambda: evaluator.reestimate(16, batch_size=8),
        "gradients": lambda: evaluator.gradient_magnitudes(
            evaluator.whole_batches(8, batch_size=8)[0]
        ),
    }
    for ask in questions.values():
        ask()
    flip(digits)
    for ask in questions.values():
        with pytest.raises(ChangedData, match="train_images.npy.*'digits'"):
            ask()


def test_a_runtime_gives_the_data_that_a_key_stands_for(monkeypatch, tmp_path):
    monkeypatch.setenv("TFLOTTERY_CACHE", str(tmp_path))
    runtime = Runtime(data_dir=None, placement=Placement())
    source = runtime.source("digits", model="lenet")
    network = Network("lenet", source.image_shape, 10)
    data = Data("digits", source.version, source.digest, source.image_shape, 1, 1, 10)
    runtime.evaluator(network, data)
    other = dataclasses.replace(data, digest="0123456789abcdef")
    with pytest.raises(OtherData, match=f"'digits'.*{source.digest}.*0123456789abcdef"):
        runtime.evaluator(network, other)
    placement = Placement("multi_worker", hosts=Hosts(("a:1", "b:1"), 1))
    follower = Runtime(data_dir=None, placement=placement)
    fact = f"not the one that the chief has: .* {source.digest} here, and 0123456789ab"
    with pytest.raises(OtherData, match=fact):
        follower.source_of(other, network)
    assert runtime.source("digits", model="lenet") is source
    with monkeypatch.context() as patch:
        runtime.forget()

        def load(name, **options):
            raise ValueError(f"Dataset {name!r} is prepared only in part")

        patch.setattr(sources, "load", load)
        with pytest.raises(UnusableData, match="'digits' is prepared only in part"):
            runtime.evaluator(network, data)
    flip(source)
    runtime.forget()
    again = runtime.source("digits", model="lenet")
    assert again.digest == source.digest
    runtime.evaluator(network, data).measure("test", [0])
