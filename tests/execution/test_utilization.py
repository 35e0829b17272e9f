"""What a plan says of a machine that it would not keep busy."""

import dataclasses
import re

import pytest

from tflottery.core import hardware
from tflottery.execution import utilization
from tflottery.execution.jobs import Advance
from tflottery.execution.lineage import Lineage
from tflottery.execution.plan import Plan, Step, plan_of
from tflottery.training.distribution import Placement

# Updates of a run, and what is computed in them: LeNet of 60 digits, ResNet-20 of 128
# images of CIFAR-10, ResNet-50 of 1,536 of ImageNet.
UPDATES = 1000
LENET = {"flops": UPDATES * 1e8, "num_layers": 3}
RESNET20 = {"flops": UPDATES * 3e10, "num_layers": 22}
RESNET50 = {"flops": UPDATES * 4e13, "num_layers": 54}


@pytest.fixture
def todo(make_study):
    """Returns a plan of so many chains of runs, of equal cost."""
    trunk = make_study().trunk(1)

    def make(num_chains, *, length=3, parts=1, num_stored=0, of=LENET):
        steps, number = [], 0
        for _ in range(num_chains):
            needs = frozenset()
            for _ in range(length):
                number += 1
                run = dataclasses.replace(
                    trunk, data_order_seed=number, num_replicas=parts
                )
                makes = (f"state {number}",)
                step = Step(Advance(run, ()), needs, makes, UPDATES, **of)
                steps.append(step)
                needs = frozenset(makes)
        return Plan(
            steps=tuple(steps),
            num_runs=number,
            num_iterations=number * UPDATES,
            num_stored=num_stored,
            num_bytes=0,
            num_slots_bytes=0,
            unobtainable={},
            part_counts=frozenset({parts}),
            wanted={},
            lineage=Lineage(()),
        )

    return make


@pytest.fixture
def said(todo, monkeypatch):
    """Returns what is said of chains on so many cores, or None."""

    def say(num_chains, *, cores, num_workers=None, plan=None, **placement):
        monkeypatch.setattr(hardware, "visible_cores", lambda: cores)
        lines = utilization.remarks(
            todo(num_chains) if plan is None else plan,
            Placement(**placement),
            num_workers=num_workers or cores,
        )
        assert len(lines) <= 1
        return lines[0] if lines else None

    return say


@pytest.fixture
def gpus(monkeypatch):
    """Makes this a machine of so many H100s."""

    def have(count):
        monkeypatch.setattr(hardware, "visible_gpus", lambda: list("01234567")[:count])
        monkeypatch.setattr(hardware, "gpu_rate", lambda: 67e12)
        monkeypatch.setattr(hardware, "visible_cores", lambda: 64)

    return have


def test_steps_that_wait_for_one_another_go_on_one_by_one(todo, toys, store):
    assert todo(1).num_at_once == 1.0
    assert todo(3).num_at_once == 3.0
    assert plan_of([], store, facts={}).num_at_once == 1.0
    # What costs little hardly counts.
    chain = toys.Costly("b", 1e9, toys.Costly("a", 1e9))
    small = toys.Costly("c", 1e7)
    plan = plan_of([chain, small], store, facts={})
    assert plan.num_at_once == pytest.approx(1.005)


@pytest.mark.parametrize(
    ("chains", "cores", "options", "fact"),
    [
        (1, 4, {}, "1 of 4 busy on average, .*: --threads=4 trains each on 4"),
        (1, 2, {}, "1 of 2 busy on average, .*: --threads=2 trains each on 2"),
        (3, 10, {}, "3 of 10 busy on average, .*: --threads=3 trains each on 3"),
        # Of more than four nobody knows what they gain.
        (1, 64, {}, "1 of 64 busy on average, .*: --threads=4 trains each on 4"),
        # Those that wait for a worker are not busy.
        (3, 16, {"num_workers": 1}, "1 of 16 busy"),
        (1, 8, {"num_workers": 4, "threads": 2}, "2 of 8 busy .*: --threads=4 trains"),
    ],
)
def test_fewer_chains_than_cores_are_told_of_threads(
    said, chains, cores, options, fact
):
    text = said(chains, cores=cores, **options)
    assert re.search(fact, text)
    assert "under keys of its own: nothing in the store serves" in text


def test_what_is_busy_enough_is_told_nothing(said):
    assert said(1, cores=1) is None
    assert said(3, cores=4) is None
    assert said(8, cores=4) is None
    assert said(1, cores=4, num_workers=1, threads=4) is None
    assert said(1, cores=16, num_workers=1, threads=4) is None
    assert said(1, cores=4, distribute="mirrored", num_devices=2) is None
    assert said(1, cores=4, device="tpu", distribute="tpu", num_devices=0) is None


def test_nobody_is_told_to_train_anew_what_is_there(said, todo, toys, store, gpus):
    line = plan_of([toys.Costly("line", 1e15)], store, facts={})
    gpus(8)
    for plan in (line, todo(1, num_stored=3 * UPDATES, of=RESNET50)):
        assert said(1, cores=8, plan=plan) is None
        assert said(1, cores=8, plan=plan, device="gpu") is None
    begun = todo(1, num_stored=2 * UPDATES, of=RESNET50)
    for text in (
        said(1, cores=8, plan=begun),
        said(1, cores=8, plan=begun, device="gpu"),
    ):
        assert "the 2,000 updates in the store are made again" in text


def test_more_threads_than_cores_are_told(said):
    text = said(1, cores=2, num_workers=1, threads=4)
    assert "2 for 4 threads, which changes no results but takes longer" in text


@pytest.mark.parametrize(
    ("chains", "parts", "fact"),
    [
        (1, 1, "1 of 8 busy on average, .*: --replica_batch_size gives batches parts"),
        (2, 12, "2 of 8 busy on average, .*: --replica_batch_size gives batches parts"),
        (2, 16, "2 of 8 busy on average, .*: --distribute=auto has all of them"),
        # Eight that share are hardly faster than five alone.
        (5, 16, None),
        (9, 16, None),
    ],
)
def test_gpus_that_nobody_uses_are_told(said, todo, gpus, chains, parts, fact):
    gpus(8)
    plan = todo(chains, parts=parts, of=RESNET50)
    text = said(chains, cores=16, plan=plan, device="gpu")
    assert text is None if fact is None else re.search(fact, text)
    shared = {"device": "gpu", "distribute": "mirrored", "num_devices": 8}
    assert said(chains, cores=16, plan=plan, **shared) is None


def test_gpus_without_a_worker_are_told(said, todo, gpus):
    gpus(8)
    alone = {"cores": 16, "device": "gpu"}
    text = said(9, num_workers=4, **alone)
    assert "GPUs        4 of 8 have a worker: without --workers each has one" in text
    assert said(4, num_workers=4, **alone) is None
    assert said(9, num_workers=32, **alone) is None


@pytest.mark.parametrize(
    ("network", "parts", "chains", "faster"),
    [
        (RESNET50, 16, 1, True),
        (RESNET50, 16, 4, True),
        (RESNET50, 16, 5, False),
        # Keys have to stay the same.
        (RESNET50, 12, 1, False),
        (RESNET50, 1, 1, False),
        # What takes a GPU milliseconds waits for the others longer.
        (LENET, 8, 1, False),
        (RESNET20, 8, 1, False),
    ],
)
def test_gpus_share_large_batches_of_few_runs(
    todo, gpus, network, parts, chains, faster
):
    gpus(8)
    plan = todo(chains, parts=parts, of=network)
    assert utilization.is_faster_together(plan, num_devices=8) == faster
    assert not utilization.is_faster_together(plan, num_devices=1)


def test_gpus_share_nothing_where_there_is_no_telling(todo, gpus, store, monkeypatch):
    gpus(8)
    whole = todo(1, parts=16, of=RESNET50)
    # What is in the store may have to be made again, and has no parts.
    stored = dataclasses.replace(whole, part_counts=frozenset({16, 1}))
    # Nothing is left to train.
    done = plan_of([], store, facts={})
    for plan in (stored, done):
        assert not utilization.is_faster_together(plan, num_devices=8)
    monkeypatch.setattr(hardware, "gpu_rate", lambda: 0.0)
    assert not utilization.is_faster_together(whole, num_devices=8)
