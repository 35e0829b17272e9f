"""The schedule follows from the seed, and a cycle of it has every kind of attack."""

import pytest

from benchmarks.attacks import schedule
from benchmarks.attacks.report import Report
from benchmarks.attacks.trial import Verdict

KINDS = 24


@pytest.fixture
def references(made_up):
    return schedule.References([made_up], made_up)


def test_same_seed_and_number_is_the_same_trial(references):
    families = list(schedule.FAMILIES)
    texts = [str(schedule.trial(3, 7, references, families)) for _ in range(2)]
    assert texts[0] == texts[1]
    assert texts[0] != str(schedule.trial(4, 7, references, families))


def test_a_cycle_has_every_kind(references):
    families = list(schedule.FAMILIES)
    length = len(schedule.slots(families))
    # Some trials draw which of two kinds they are.
    trials = [schedule.trial(1, one, references, families) for one in range(1, 99)]
    every = {attack.kind for trial in trials for attack in trial.attacks}
    assert len(every) == KINDS
    first = {attack.kind for trial in trials[:length] for attack in trial.attacks}
    assert len(every - first) <= 2


def test_report_counts_by_kind(references):
    report = Report()
    for number in (1, 2):
        trial = schedule.trial(1, number, references, ["disks"])
        trial.attacks[0].happened = number == 1
        complaints = ("wrong",) if number == 1 else ()
        report.add(number, trial, Verdict(complaints, (0,), ""))
    lines = [line.split() for line in report.lines()]
    assert ["disk", "too", "small", "1", "1", "1"] in lines
    assert ["disk", "becomes", "full", "1", "0", "0"] in lines
    assert report.wrong_trials == [1]
