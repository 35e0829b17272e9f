"""Progress: quiet without a terminal, a bar and a line a job on one."""

import dataclasses
import io

import pytest
from rich.console import Console

from tflottery.execution.plan import plan
from tflottery.execution.progress import Progress, describe, tell
from tflottery.experiments import instability


@pytest.fixture
def todo(make_study, store):
    study = make_study()
    goals = instability.plan(study)
    return plan(goals, store, facts={study.facts.network: study.facts})


def shown(todo, *, terminal, act):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=200)
    with Progress(todo, console=console) as progress:
        act(progress)
        progress._bar.refresh()
    return screen.getvalue()


def work(progress, step):
    progress.begin(0, step)
    progress.update(0, 0.5)


def test_quiet_without_a_terminal(todo):
    text = shown(todo, terminal=False, act=lambda one: work(one, todo.steps[0]))
    assert text == ""


def test_notes_are_told_without_a_terminal(todo):
    def act(progress):
        progress.note("a note [with brackets] that stays")
        progress.waiting("runs/x")
        progress.waiting("runs/x")

    text = shown(todo, terminal=False, act=act)
    assert "a note [with brackets] that stays" in text
    assert text.count("Another process is making runs/x") == 1


def test_a_bar_for_the_plan_and_a_line_for_each_job(todo):
    step = next(one for one in todo.steps if one.num_iterations == 90)
    text = shown(todo, terminal=True, act=lambda one: work(one, step))
    assert f"45/{todo.num_iterations} it" in text
    assert "45/90 it" in text
    assert f"train lenet {step.job.run.key[:8]} 10 to 100" in text


def test_what_was_not_finished_is_taken_back(todo):
    step = next(one for one in todo.steps if one.num_iterations == 90)

    def act(progress):
        work(progress, step)
        progress.end(0, finished=False)
        work(progress, step)
        progress.end(0, finished=True)

    text = shown(todo, terminal=True, act=act)
    assert f"90/{todo.num_iterations} it" in text
    assert f"135/{todo.num_iterations} it" not in text


def test_a_plan_of_nothing_can_be_shown(store):
    empty = plan([], store, facts={})
    assert shown(empty, terminal=False, act=lambda progress: None) == ""


def test_a_measurement_is_described_by_its_key(todo):
    step = todo.steps[-1]
    assert describe(step) == f"line {step.job.component.key[:8]}"


_PATH = "/data/[a]/[/b] c/:smile:/[red]x"


def test_paths_are_printed_letter_by_letter():
    screen = io.StringIO()
    tell(Console(file=screen, width=20), f"Results are in {_PATH}")
    assert screen.getvalue() == f"Results are in {_PATH}\n"


def test_names_with_brackets_are_shown_as_they_are(todo):
    step = next(one for one in todo.steps if one.num_iterations == 90)
    run = step.job.run
    named = dataclasses.replace(
        run, network=dataclasses.replace(run.network, model="[/b]")
    )
    states = tuple(dataclasses.replace(one, run=named) for one in step.job.states)
    step = dataclasses.replace(
        step, job=dataclasses.replace(step.job, run=named, states=states)
    )
    text = shown(todo, terminal=True, act=lambda one: work(one, step))
    assert "train [/b] " in text
