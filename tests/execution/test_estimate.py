"""What a plan is said to cost."""

import dataclasses

import pytest

from tflottery.execution import estimate
from tflottery.execution.plan import plan
from tflottery.experiments import instability
from tflottery.training import process


@pytest.fixture
def todo(make_study, store):
    study = make_study()
    goals = instability.plan(study)
    return plan(goals, store, facts={study.facts.network: study.facts})


def test_the_summary_says_all_that_a_user_decides_by(todo, store):
    text = estimate.summary(todo, title="a title", store=store.root, num_workers=4)
    assert text.startswith("a title\n")
    assert "runs        5" in text
    assert "390 to make, 0 in the store, 0 saved by sharing" in text
    assert f"MB in {store.root}" in text
    assert "with 4 workers" in text
    assert "diverged" not in text


def test_the_summary_says_what_cannot_be_made(todo, store):
    lost = dataclasses.replace(todo, unobtainable={"lines/a": 7, "lines/b": 7})
    text = estimate.summary(lost, title="", store=store.root, num_workers=1)
    assert "2 results cannot be made" in text
    assert "with 1 worker\n" in text


def test_workers_share_the_machine(todo):
    cores = process.visible_cores()
    if cores == 1:
        pytest.skip("one core is not shared")
    alone = estimate.seconds(todo, num_workers=1)
    together = estimate.seconds(todo, num_workers=cores)
    # Two measurements of a noisy machine.
    assert alone / together > cores / 3
    assert estimate.seconds(todo, num_workers=cores * 100) < alone


@pytest.fixture
def four_cores(monkeypatch):
    """A machine of four cores, each good for a million operations a second."""
    rate = 4e6 / estimate._EFFICIENCY
    monkeypatch.setattr(estimate, "_matrix_product_rate", lambda: rate)
    monkeypatch.setattr(process, "visible_cores", lambda: 4)


def seconds(goals, store, num_workers):
    todo = plan(goals, store, facts={})
    return pytest.approx(estimate.seconds(todo, num_workers=num_workers))


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
