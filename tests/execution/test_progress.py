"""Progress: a line a minute without a terminal, a bar and a line a job on one."""

import dataclasses
import io
import sys
import time
import types

import pytest
from rich.console import Console

from tflottery.execution import progress as progress_module
from tflottery.execution.log import Log
from tflottery.execution.plan import plan_of
from tflottery.execution.progress import Progress, describe
from tflottery.experiments import instability


@pytest.fixture
def todo(make_study, store):
    study = make_study()
    goals = instability.plan(study)
    return plan_of(goals, store, facts={study.facts.network: study.facts})


def shown(todo, *, terminal, act):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=200)
    with Progress(todo, log=Log(console)) as progress:
        act(progress)
        progress._bar.refresh()
    return screen.getvalue()


def work(progress, step):
    progress.begin(0, step)
    progress.update(0, 0.5)


def test_quiet_for_a_minute_without_a_terminal(todo):
    text = shown(todo, terminal=False, act=lambda one: work(one, todo.steps[0]))
    assert text == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_each_minute_tells_how_far_it_is(todo, tmp_path, monkeypatch, terminal):
    monkeypatch.setattr(progress_module, "_MINUTE", 0.01)
    step = next(one for one in todo.steps if one.num_iterations == 90)
    screen = io.StringIO()
    log = Log(Console(file=screen, force_terminal=terminal, width=200))
    path = tmp_path / "log.txt"
    log.keep_in(path)
    with Progress(todo, log=log) as progress:
        work(progress, step)
        deadline = time.monotonic() + 30
        while "45 of" not in path.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "done, 45 of" in progress.line()
    line = path.read_text().splitlines()[-1]
    share = 50 * step.flops / todo.flops
    assert f"  {share:.1f}% done, 45 of {todo.num_iterations} iterations, " in line
    assert "a second, 1 job at work, about " in line and line.endswith(" left")
    # On a terminal there is the bar.
    assert ("% done, " in screen.getvalue()) != terminal


def test_the_time_left_is_that_at_the_speed_of_the_last_minutes(todo, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    step = next(one for one in todo.steps if one.num_iterations == 90)
    progress = Progress(todo, log=Log(Console(file=io.StringIO())))
    progress._before.append((100.0, 0.0, 0.0))
    now[0] += 60
    assert progress.line().endswith("0 a second, 0 jobs at work, time left unknown")
    work(progress, step)
    # Half of the step's work in a minute.
    minutes = (todo.flops - step.flops / 2) / (step.flops / 2)
    assert progress.line().endswith(f"about {minutes:.0f} minutes left")


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


def test_what_has_to_be_made_again_is_more_to_do(todo):
    step = next(one for one in todo.steps if one.num_iterations == 90)

    def act(progress):
        progress.grow(90, step.flops)
        work(progress, step)

    text = shown(todo, terminal=True, act=act)
    assert f"45/{todo.num_iterations + 90} it" in text


def test_a_plan_of_nothing_can_be_shown(store):
    empty = plan_of([], store, facts={})
    assert shown(empty, terminal=False, act=lambda progress: None) == ""


def test_a_measurement_is_described_by_its_key(todo):
    step = todo.steps[-1]
    assert describe(step) == f"line {step.job.component.key[:8]}"


def test_a_notebook_shows_the_bar_below_the_cell(todo, monkeypatch):
    shown_bars, updates = [], []

    class Handle:
        def update(self, bar):
            updates.append(bar._repr_mimebundle_((), ())["text/html"])

    def display(bar, *, display_id):
        assert display_id
        shown_bars.append(bar)
        return Handle()

    package, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.display, module.display = module, display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(progress_module, "_MOMENT", 0.0)
    step = next(one for one in todo.steps if one.num_iterations == 90)
    console = Console(file=io.StringIO(), force_jupyter=True)
    with Progress(todo, log=Log(console)) as progress:
        work(progress, step)
        assert "45/90 it" in updates[-1]
        # Of what comes at once one is shown, and the end.
        monkeypatch.setattr(progress_module, "_MOMENT", 1000.0)
        before = len(updates)
        progress.update(0, 0.75)
        assert len(updates) == before
        progress.end(0, finished=True)
    assert len(shown_bars) == 1
    assert f"90/{todo.num_iterations} it" in updates[-1]


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
