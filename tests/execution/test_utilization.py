"""What a plan says of a machine that it would not keep busy."""

import re

import pytest

from tflottery.components.runs import State
from tflottery.core import hardware
from tflottery.execution import utilization
from tflottery.execution.plan import plan_of
from tflottery.training.distribution import Placement


@pytest.fixture
def todo(toys, store):
    """Returns a plan of so many chains of work, of equal cost."""

    def make(num_chains, *, length=3):
        ends = []
        for number in range(num_chains):
            chain = None
            for step in range(length):
                chain = toys.Costly(f"{number} {step}", 1e9, chain)
            ends.append(chain)
        return plan_of(ends, store, facts={})

    return make


@pytest.fixture
def said(todo, monkeypatch):
    """Returns what is said of chains on so many cores, or None."""

    def say(num_chains, *, cores, num_workers=None, **placement):
        monkeypatch.setattr(hardware, "visible_cores", lambda: cores)
        lines = utilization.remarks(
            todo(num_chains),
            Placement(**placement),
            num_workers=num_workers or cores,
        )
        assert len(lines) <= 1
        return lines[0] if lines else None

    return say


def test_steps_that_wait_for_one_another_go_on_one_by_one(todo, toys, store):
    assert todo(1).num_at_once == 1.0
    assert todo(3).num_at_once == 3.0
    assert todo(0).num_at_once == 1.0
    # What costs little hardly counts.
    chain = toys.Costly("b", 1e9, toys.Costly("a", 1e9))
    small = toys.Costly("c", 1e7)
    plan = plan_of([chain, small], store, facts={})
    assert plan.num_at_once == pytest.approx(1.005)


@pytest.mark.parametrize(
    ("chains", "cores", "fact"),
    [
        (1, 4, "1 of 4 busy on average, .*: --threads=4 trains each on 4"),
        (1, 2, "1 of 2 busy on average, .*: --threads=2 trains each on 2"),
        (3, 16, "3 of 16 busy on average, .*: --threads=5 trains each on 5"),
    ],
)
def test_fewer_chains_than_cores_are_told_of_threads(said, chains, cores, fact):
    text = said(chains, cores=cores)
    assert re.search(fact, text)
    assert "under keys of its own: nothing in the store serves" in text


def test_what_is_busy_enough_is_told_nothing(said):
    assert said(1, cores=1) is None
    assert said(3, cores=4) is None
    assert said(8, cores=4) is None
    assert said(1, cores=4, num_workers=1, threads=4) is None
    assert said(1, cores=4, distribute="mirrored", num_devices=2) is None
    assert said(1, cores=4, device="tpu", distribute="tpu", num_devices=0) is None


def test_some_threads_may_be_too_few(said):
    text = said(1, cores=8, num_workers=4, threads=2)
    assert "2 of 8 busy on average" in text
    assert "--threads=8" in text


def test_more_threads_than_cores_are_told(said):
    text = said(1, cores=2, num_workers=1, threads=4)
    assert "2 for 4 threads, which changes no results but takes longer" in text


@pytest.mark.parametrize(
    ("chains", "fact"),
    [
        (1, "1 of 8 busy on average, .*: --replica_batch_size gives batches parts"),
        (4, "4 of 8 busy on average, "),
        (5, None),
        (9, None),
    ],
)
def test_gpus_that_nobody_uses_are_told(said, monkeypatch, chains, fact):
    monkeypatch.setattr(hardware, "visible_gpus", lambda: list("01234567"))
    text = said(chains, cores=16, device="gpu")
    assert text is None if fact is None else re.search(fact, text)
    shared = {"device": "gpu", "distribute": "mirrored", "num_devices": 8}
    assert said(chains, cores=16, **shared) is None


@pytest.mark.parametrize(("part", "cure"), [(15, "--distribute=auto"), (30, "--repl")])
def test_gpus_can_share_what_has_parts(make_study, store, monkeypatch, part, cure):
    monkeypatch.setattr(hardware, "visible_gpus", lambda: list("0123"))
    study = make_study(replica_batch_size=part, rewind_iterations=(0,))
    goals = [State(study.trunk(1), 20)]
    plan = plan_of(goals, store, facts={study.facts.network: study.facts})
    alone = Placement(device="gpu")
    [text] = utilization.remarks(plan, alone, num_workers=4)
    assert f"1 of 4 busy on average, as runs wait for one another: {cure}" in text
    assert utilization.is_faster_together(plan, num_devices=4) == (part == 15)
    assert not utilization.is_faster_together(plan, num_devices=1)
    # Nothing is left to train.
    done = plan_of([], store, facts={})
    assert not utilization.is_faster_together(done, num_devices=4)
