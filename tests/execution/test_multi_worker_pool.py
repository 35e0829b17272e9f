"""What is lost among hosts that train together ends everything, with who it was."""

import dataclasses
import time
import types

import pytest

from tflottery.core.training_hosts import Hosts
from tflottery.execution import multi_worker_pool
from tflottery.execution.jobs import Advance, Follow, Make
from tflottery.execution.leader import LostWorker
from tflottery.execution.multi_worker_pool import MultiWorkerPool
from tflottery.execution.pool import Pool, _Worker
from tflottery.execution.worker import Message
from tflottery.training.distribution import Placement

_ABORTED = """Traceback (most recent call last):
  File "trainer.py", line 1, in advance
    self._advance(count)
UnavailableError: Collective ops is aborted by: tasks are unhealthy:
/job:worker/replica:0/task:1
The tasks have crashed."""


class Others:
    """Other hosts, of which one is lost from some look on."""

    def __init__(self):
        self.lost_after = float("inf")
        self.num_looks = 0
        self.asked = None
        self.dismissed = False
        self.have_ended = False

    def watch(self):
        self.num_looks += 1
        if self.num_looks > self.lost_after:
            raise LostWorker("worker 1 is lost.")
        return self.asked

    def dismiss(self):
        self.dismissed = True


@pytest.fixture
def others():
    return Others()


@pytest.fixture
def pool(settings, others, monkeypatch):
    """A pool whose worker is made up: `reports` are its next messages."""
    monkeypatch.setattr(multi_worker_pool, "_DEATH_SECONDS", 0.05)
    monkeypatch.setattr(multi_worker_pool, "_FAILURE_SECONDS", 0.05)
    monkeypatch.setattr(multi_worker_pool, "_POLL_SECONDS", 0.01)
    placement = Placement("multi_worker", hosts=Hosts(("a:1", "b:1"), 0))
    own = dataclasses.replace(settings, placement=placement)
    made = MultiWorkerPool(own, others=others)
    made.reports = []
    monkeypatch.setattr(Pool, "messages", lambda *_: [(0, one) for one in made.reports])
    monkeypatch.setattr(Pool, "close", lambda *_: None)
    monkeypatch.setattr(Pool, "submit", lambda *_: None)
    with made:
        yield made


def test_a_lost_host_is_told_before_anything_else(pool, others):
    others.lost_after = 0
    with pytest.raises(LostWorker, match="worker 1 is lost. The same commands, begun"):
        pool.messages(0)


def test_who_was_lost_is_told_where_a_worker_fails_of_it(pool, others):
    pool.submit(0, Follow())
    pool.reports, others.lost_after = [Message("failed", _ABORTED)], 2
    with pytest.raises(LostWorker, match="worker 1 is lost"):
        pool.messages(0)


def test_training_that_fails_ends_everything(pool):
    pool.submit(0, Advance(None, ()))
    pool.reports = [Message("failed", _ABORTED)]
    fact = (
        r"together failed: UnavailableError: Collective [^/]*\n/job:worker/replica:0/"
        r"task:1\nThe tasks have crashed. The same commands"
    )
    with pytest.raises(LostWorker, match=fact):
        pool.messages(0)


def test_who_hears_that_all_end_tells_no_failure_of_its_own(pool, others):
    pool.submit(0, Follow())
    pool.reports, others.have_ended = [Message("failed", _ABORTED)], True
    assert pool.messages(0) == [(0, pool.reports[0])]


def test_what_the_chief_does_alone_may_fail_by_itself(pool):
    pool.submit(0, Advance(None, ()))
    pool.submit(0, Make(None))
    pool.reports = [Message("failed", "ZeroDivisionError")]
    assert pool.messages(0) == [(0, pool.reports[0])]


def test_a_worker_that_dies_is_not_begun_again(pool):
    pool.reports = [Message("died", "exit code -9.")]
    with pytest.raises(LostWorker, match="worker of this host died: exit code -9"):
        pool.messages(0)


def test_a_worker_without_a_pulse_is_lost(pool, monkeypatch):
    monkeypatch.setattr(multi_worker_pool, "SILENT_SECONDS", 0.1)
    pulse = types.SimpleNamespace(value=0)
    pool._workers[0] = _Worker(None, None, None, pulse)
    # One that starts has more time.
    pool.messages(0)
    time.sleep(0.15)
    pool.messages(0)
    pulse.value = 1
    pool.messages(0)
    pulse.value = 2
    time.sleep(0.15)
    pool.messages(0)
    time.sleep(0.15)
    with pytest.raises(LostWorker, match="no sign of life for 0 s"):
        pool.messages(0)
    pool._workers.clear()


def test_workers_that_do_not_find_together_are_told_of_and_given_up(pool, monkeypatch):
    monkeypatch.setattr(multi_worker_pool, "_SLOW_SECONDS", 0.05)
    monkeypatch.setattr(multi_worker_pool, "START_SECONDS", 0.1)
    pool._workers[0] = _Worker(None, None, None, types.SimpleNamespace(value=0))
    assert pool.messages(0) == []
    time.sleep(0.06)
    ((_, note),) = pool.messages(0)
    fact = "Each has to reach the others at a:1, b:1."
    assert (note.kind, note.value.endswith(fact)) == ("note", True)
    assert pool.messages(0) == []
    time.sleep(0.06)
    with pytest.raises(LostWorker, match=f"not found together within 0 s. {fact}"):
        pool.messages(0)
    pool._workers.clear()


def test_a_host_that_is_asked_to_stop_asks_the_chief_once(pool, others, monkeypatch):
    raised = []
    monkeypatch.setattr("signal.raise_signal", raised.append)
    others.asked = 15
    pool.messages(0)
    pool.stop()
    pool.messages(0)
    assert raised == [15]


def test_who_is_asked_to_stop_while_a_failure_is_looked_into_is_heard(
    pool, others, monkeypatch
):
    raised = []
    monkeypatch.setattr("signal.raise_signal", raised.append)
    asked = iter([None, 15])
    monkeypatch.setattr(others, "watch", lambda: next(asked, None))
    pool.reports = [Message("died", "exit code -9.")]
    with pytest.raises(LostWorker):
        pool.messages(0)
    assert raised == [15]


def test_the_others_are_dismissed_at_the_end(pool, others):
    pool.close()
    assert others.dismissed
