"""The most urgent step that can begin comes first, whatever is lost on the way."""

import pytest

from tflottery.execution.plan import plan_of
from tflottery.execution.schedule import Schedule


@pytest.fixture
def schedule(store):
    """Returns the schedule of a plan for goals."""

    def make(goals, *, num_workers=100, **options):
        todo = plan_of(goals, store, facts={})
        return Schedule(todo, num_workers=num_workers, **options)

    return make


def taken(schedule, *, now=0.0, without=()):
    """Returns the names of all steps that can begin, in the order they are given."""
    names = []
    while (step := schedule.take(now, without=without)) is not None:
        names.append(step.job.component.name)
    return names


@pytest.fixture
def diamond(toys):
    """A top, two sides of different cost, and a bottom, by name."""
    top = toys.Costly("top", 1)
    cheap, dear = toys.Costly("cheap", 2, top), toys.Costly("dear", 5, top)
    bottom = toys.Costly("bottom", 10, cheap, dear)
    return {one.name: one for one in (top, cheap, dear, bottom)}


def test_steps_begin_once_all_they_need_is_there(schedule, diamond):
    steps = schedule([diamond["bottom"]])
    assert taken(steps) == ["top"] and not steps
    steps.made(diamond["top"].address)
    assert taken(steps) == ["dear", "cheap"]
    steps.made(diamond["cheap"].address)
    assert not steps
    steps.made(diamond["dear"].address)
    steps.made(diamond["dear"].address)
    assert steps and taken(steps) == ["bottom"]
    assert not list(steps.steps)


def test_steps_wait_for_workers_that_are_still_to_come(schedule, diamond):
    assert taken(schedule([diamond["top"]], num_workers=0)) == ["top"]


def test_what_was_given_up_keeps_what_needs_it(schedule, diamond):
    steps = schedule([diamond["bottom"]], without={diamond["dear"].address})
    assert taken(steps) == ["top"]
    steps.made(diamond["top"].address)
    assert taken(steps) == ["cheap"]
    steps.made(diamond["cheap"].address)
    assert not steps
    assert [step.job.component for step in steps.steps] == [diamond["bottom"]]


def test_what_is_lost_is_waited_for_again(schedule, diamond, store):
    steps = schedule([diamond["bottom"]])
    assert taken(steps) == ["top"]
    steps.made(diamond["top"].address)
    assert taken(steps) == ["dear", "cheap"]
    for name in ("dear", "cheap"):
        steps.made(diamond[name].address)
    steps.lost(diamond["dear"].address)
    assert steps.lacks(diamond["dear"].address)
    assert not steps and taken(steps) == []
    steps.add(plan_of([diamond["dear"]], store, facts={}))
    # Its plan has the top too, which this store lacks.
    assert taken(steps) == ["top"]
    steps.made(diamond["top"].address)
    assert taken(steps) == ["dear"]
    steps.made(diamond["dear"].address)
    assert taken(steps) == ["bottom"]


def test_what_is_added_is_as_urgent_as_what_waits_for_it(schedule, toys, store):
    first = toys.Costly("first", 1)
    goals = [toys.Costly("after", 9, first), toys.Costly("apart", 5)]
    steps = schedule(goals)
    step = steps.take(0.0, without=())
    assert step.job.component == first
    # Begun again, it comes before the other as it did at first.
    steps.add(plan_of([first], store, facts={}))
    assert taken(steps) == ["first", "apart"]


def test_what_will_never_be_takes_along_what_needs_it(schedule, diamond, toys):
    apart = toys.Costly("apart", 1)
    steps = schedule([diamond["bottom"], apart])
    lost = steps.drop([diamond["cheap"].address])
    assert lost == {diamond["cheap"].address, diamond["bottom"].address}
    assert {one.job.component.name for one in steps.steps} == {
        "top",
        "cheap",
        "dear",
        "apart",
    }


def test_a_step_rests_until_its_time_and_others_come_first(schedule, toys):
    steps = schedule([toys.Costly("long", 5), toys.Costly("short", 1)])
    step = steps.take(0.0, without=())
    steps.rest(step, 10.0)
    assert taken(steps, now=9.0) == ["short"]
    assert steps, "a step that rests can begin later"
    assert taken(steps, now=10.0) == ["long"]


def test_jobs_at_work_are_passed_over_and_kept(schedule, toys):
    long, short = toys.Costly("long", 5), toys.Costly("short", 1)
    steps = schedule([long, short])
    assert taken(steps, without={long.address}) == ["short"]
    assert taken(steps) == ["long"]


def test_a_step_costs_no_look_at_all_the_others(schedule, toys, monkeypatch):
    goals = [toys.Sum(toys.Number(n), toys.Number(-n - 1)) for n in range(500)]
    steps = schedule(goals)
    looks = []
    waiting_for = Schedule._waiting_for

    def counted(self, address):
        names = waiting_for(self, address)
        looks.extend(names)
        return names

    monkeypatch.setattr(Schedule, "_waiting_for", counted)
    num_taken = 0
    while (step := steps.take(0.0, without=())) is not None:
        num_taken += 1
        for address in step.makes:
            steps.made(address)
    assert num_taken == 1500
    assert len(looks) == 1000


def test_measurements_come_early_where_chains_do_not_decide(schedule, toys):
    def chain(name):
        link, found = None, []
        for number in (1, 2, 3):
            link = toys.Costly(f"{name}{number}", 10, link)
            found.append(toys.Costly(f"row {name}{number}", 1, link))
        return found

    def order(goals, num_workers):
        steps, names = schedule(goals, num_workers=num_workers), []
        while steps:
            step = steps.take(0.0, without=())
            names.append(step.job.component.name)
            steps.made(step.job.component.address)
        return names

    goals = [*chain("a"), *chain("b")]
    # Each of two workers has 33 to do, and 31 of it are a sequence: that decides.
    assert order(goals, 2)[:4] == ["a1", "b1", "a2", "b2"]
    # With three chains more there is other work enough for both.
    goals += [one for name in "cde" for one in chain(name)]
    found = order(goals, 2)
    assert found[:6] == ["a1", "row a1", "b1", "row b1", "c1", "row c1"]
    assert len(set(found)) == len(found) == 30
