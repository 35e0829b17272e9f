"""What followers are told: the same calls, in one order, with what they need."""

import multiprocessing
import threading

import numpy as np
import pytest

from tflottery.training import orders
from tflottery.training.orders import Orders


class Runtime:
    """Gives out one trainer, as that of a follower does."""

    def __init__(self, trainer):
        self._trainer = trainer
        self.asked = []

    def trainer(self, *arguments, **named):
        self.asked.append((arguments, named))
        return self._trainer


@pytest.fixture
def line():
    """Both ends of a connection."""
    return multiprocessing.Pipe()


def _trained(trainer, last, *, cut):
    """Trains from fresh weights in calls of `cut` updates; returns the weights."""
    trainer.restore(
        trainer.initial_weights(1), masks={}, slots=None, iteration=0, first_iteration=0
    )
    stream = trainer.stream(data_order_seed=3, augmentation_seed=4)
    advance = trainer.calls(stream, 0, dropout_seed=None)
    for iteration in range(0, last, cut):
        advance(iteration, cut)
    return trainer.state()[0]


@pytest.mark.slow
def test_a_follower_makes_the_calls_of_its_chief(trainers, line, monkeypatch):
    """Without a strategy both train whole batches, each by itself."""
    theirs, ours = line
    chief, own = trainers("lenet_sgd"), trainers("lenet_sgd", again=1)
    monkeypatch.setattr(chief, "_orders", Orders([theirs]))
    runtime, iterations = Runtime(own), []
    following = threading.Thread(
        target=orders.follow,
        args=(ours, runtime),
        kwargs={"advanced": iterations.append},
    )
    chief._orders.give("trainer", "network", sparse=True)
    weights = _trained(chief, 6, cut=3)
    theirs.close()
    following.start()
    following.join()
    assert runtime.asked == [(("network",), {"sparse": True})]
    assert iterations == [3, 6]
    for name, value in own.state()[0].items():
        np.testing.assert_array_equal(value, weights[name])


def test_an_order_that_nobody_knows_is_refused(line):
    theirs, ours = line
    Orders([theirs]).give("dance")
    with pytest.raises(ValueError, match="orders 'dance', which nobody knows"):
        orders.follow(ours, Runtime(None))
