"""What a plan is said to cost."""

import dataclasses

import pytest

from tflottery.core import hardware
from tflottery.execution import estimate
from tflottery.execution.plan import plan_of
from tflottery.experiments import instability
from tflottery.training.distribution import Placement

CPU = Placement()


@pytest.fixture
def todo(make_study, store):
    study = make_study()
    goals = instability.plan(study)
    return plan_of(goals, store, facts={study.facts.network: study.facts})


def test_the_summary_says_all_that_a_user_decides_by(todo, store):
    text = estimate.summary(
        todo, title="a title", store=store.root, num_workers=4, placement=CPU
    )
    assert text.startswith("a title\n")
    assert "runs        5" in text
    assert "390 to make, 0 in the store, 0 saved by sharing" in text
    # The ends of four copies keep Adam's two slots for each of 50,610 weights.
    longer = "1.6 MB of it to train for longer from the ends"
    assert f"MB in {store.root}, {longer}" in text
    assert "with 4 workers on the CPU" in text
    assert "diverged" not in text


def test_the_summary_says_what_cannot_be_made(todo, store):
    lost = dataclasses.replace(todo, unobtainable={"lines/a": 7, "lines/b": 7})
    text = estimate.summary(
        lost, title="", store=store.root, num_workers=1, placement=CPU
    )
    assert "2 results cannot be made" in text
    assert "with 1 worker on the CPU\n" in text


def test_workers_share_the_machine(todo):
    cores = hardware.visible_cores()
    if cores == 1:
        pytest.skip("one core is not shared")
    alone = estimate.seconds(todo, num_workers=1, placement=CPU)
    together = estimate.seconds(todo, num_workers=cores, placement=CPU)
    # Two measurements of a noisy machine.
    assert alone / together > cores / 3
    assert estimate.seconds(todo, num_workers=cores * 100, placement=CPU) < alone


@pytest.fixture
def four_cores(monkeypatch):
    """A machine of four cores, each good for a million operations a second."""
    rate = 1e6 / estimate._EFFICIENCY
    monkeypatch.setattr(estimate, "_core_rate", lambda: rate)
    monkeypatch.setattr(hardware, "visible_cores", lambda: 4)


def seconds(goals, store, num_workers, placement=CPU):
    todo = plan_of(goals, store, facts={})
    told = estimate.seconds(todo, num_workers=num_workers, placement=placement)
    return pytest.approx(told)


def test_workers_share_what_can_be_shared(toys, store, four_cores):
    apart = [toys.Costly(str(number), 1e6) for number in range(8)]
    assert 8.0 == seconds(apart, store, 1)
    assert 4.0 == seconds(apart, store, 2)
    assert 2.0 == seconds(apart, store, 4)
    assert 2.0 == seconds(apart, store, 99)


def test_a_plan_takes_at_least_as_long_as_its_longest_chain(toys, store, four_cores):
    chain = None
    for step in range(4):
        chain = toys.Costly(f"chain {step}", 1e6, chain)
    for num_workers in (1, 2, 4):
        assert 4.0 == seconds([chain], store, num_workers)
    apart = [toys.Costly(str(number), 1e6) for number in range(6)]
    assert 10.0 == seconds([chain, *apart], store, 1)
    assert 5.0 == seconds([chain, *apart], store, 2)
    assert 4.0 == seconds([chain, *apart], store, 4)


def test_nothing_to_do_takes_no_time(store, four_cores):
    assert 0.0 == seconds([], store, 4)


@pytest.fixture
def three_gpus(monkeypatch, four_cores):
    """A machine of three GPUs, each good for a hundred million operations a second."""
    rate = 1e8 / estimate._GPU_EFFICIENCY
    monkeypatch.setattr(hardware, "gpu_rate", lambda: rate)
    monkeypatch.setattr(hardware, "visible_gpus", lambda: ["0", "1", "2"])


def test_gpus_have_a_rate_of_their_own(toys, store, three_gpus):
    apart = [toys.Costly(str(number), 1e8) for number in range(6)]
    alone = Placement(device="gpu")
    assert 6.0 == seconds(apart, store, 1, alone)
    assert 2.0 == seconds(apart, store, 3, alone)
    # More workers share the same GPUs.
    assert 2.0 == seconds(apart, store, 9, alone)
    together = Placement("mirrored", device="gpu", num_replicas=3)
    assert 2.0 == seconds(apart, store, 1, together)


@pytest.mark.parametrize(
    ("placement", "rate", "expected"),
    [
        (
            Placement("tpu", device="tpu", num_replicas=0),
            1.0,
            "not known with 1 worker on the TPU",
        ),
        (Placement(device="gpu"), 0.0, "not known with 1 worker on 1 GPU"),
        (Placement("mirrored", device="gpu", num_replicas=3), 1e9, "worker on 3 GPUs"),
    ],
)
def test_what_has_no_known_rate_gets_no_time(
    toys, store, three_gpus, monkeypatch, placement, rate, expected
):
    monkeypatch.setattr(hardware, "gpu_rate", lambda: rate)
    todo = plan_of([toys.Costly("one", 1e8)], store, facts={})
    told = {"title": "", "store": store.root, "num_workers": 1}
    assert expected in estimate.summary(todo, placement=placement, **told)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 seconds"),
        (89, "89 seconds"),
        (91, "2 minutes"),
        (3600, "60 minutes"),
        (2 * 3600, "2.0 hours"),
        (3_600_000, "1,000.0 hours"),
    ],
)
def test_durations_for_people(seconds, text):
    assert estimate.readable(seconds) == text
