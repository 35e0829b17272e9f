"""A pool of no processes behaves as one of processes does."""

import dataclasses
import time

import pytest

from tflottery.core.environment import SetupError
from tflottery.execution.inline import InlinePool
from tflottery.execution.jobs import Make
from tflottery.training.distribution import Placement


def test_a_job_is_done_and_told(toys, store, inline):
    goal = toys.Number(1)
    assert inline.idle() == [0]
    inline.submit(0, Make(goal))
    assert inline.idle() == []
    kinds = [message.kind for _, message in inline.messages(0.0)]
    assert kinds == ["made", "ended"]
    assert inline.idle() == [0]
    assert store.has(goal.address)


def test_progress_is_told(toys, inline, tmp_path):
    inline.submit(0, Make(toys.Count(4, str(tmp_path / "notes"))))
    told = [message for _, message in inline.messages(0.0)]
    shares = [message.value for message in told if message.kind == "progress"]
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_it_waits_when_there_is_nothing_to_tell(inline):
    started = time.monotonic()
    assert inline.messages(0.1) == []
    assert time.monotonic() - started >= 0.1


def test_it_is_left_as_it_was_entered(inline):
    with inline as pool:
        assert pool.size == 1


def test_a_process_that_cannot_train_as_placed_is_refused(settings, toys, store):
    on_gpu = dataclasses.replace(settings, placement=Placement(device="gpu"))
    with pytest.raises(SetupError, match="TensorFlow finds 0"):
        InlinePool(on_gpu).submit(0, Make(toys.Number(1)))
    assert store.addresses() == []


def test_tensorflow_started_with_other_settings_is_refused(
    settings, toys, store, monkeypatch
):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    with pytest.raises(SetupError, match="had XLA_FLAGS.*executor=.inline. out"):
        InlinePool(settings).submit(0, Make(toys.Number(1)))
    assert store.addresses() == []
