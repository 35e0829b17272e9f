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
