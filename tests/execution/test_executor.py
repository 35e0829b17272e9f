"""A plan is carried out whatever becomes of its workers."""

import io
import types

import pytest
from rich.console import Console

from tflottery.components.runs import State
from tflottery.core.recipes import Setting
from tflottery.execution.executor import Executor
from tflottery.execution.inline import InlinePool
from tflottery.execution.jobs import Inspect
from tflottery.execution.log import Log
from tflottery.execution.plan import Step, plan_of
from tflottery.execution.progress import Progress
from tflottery.execution.questions import WorkerFailed, ask
from tflottery.execution.run_index import divergence_address
from tflottery.execution.worker import Message
from tflottery.store.errors import DamagedArtifact


class FailingPool(InlinePool):
    """Loses its worker at the first jobs of a kind, as if it were killed."""

    def __init__(self, settings, *, dies_at, deaths):
        super().__init__(settings)
        self.dies_at, self.deaths = dies_at, deaths

    def submit(self, number, job):
        if self.deaths and self.dies_at in job.name:
            self.deaths -= 1
            self._messages.append((number, Message("died", "exit code -9.")))
        else:
            super().submit(number, job)


@pytest.fixture
def execute(store, inline, told):
    """Returns the outcome of executing goals, and what was shown."""

    def run(goals, *, pool=None, stopping=lambda: False):
        shown = told(goals)
        executor = Executor(
            pool or inline,
            store,
            facts={},
            progress=shown.progress,
            stopping=stopping,
        )
        return executor.execute(goals), shown

    return run


def number(store, artifact):
    return int((store.open(artifact.address) / "number.txt").read_text())


def test_all_is_made_in_the_order_of_what_needs_what(toys, store, execute):
    two = toys.Sum(toys.Number(1), toys.Number(1))
    goal = toys.Sum(two, toys.Sum(two, toys.Number(40)))
    outcome, _ = execute([goal])
    assert number(store, goal) == 44
    assert (outcome.failures, outcome.skipped, outcome.stopped) == ({}, (), False)
    assert len(store.addresses()) == 5


def test_what_is_there_is_not_made_again(toys, store, execute, tmp_path):
    notes = tmp_path / "notes"
    goal = toys.Count(3, str(notes))
    execute([goal])
    execute([goal, toys.Sum(goal, toys.Number(1))])
    assert notes.read_text() == "1\n2\n3\n"


def test_nothing_to_do(toys, execute):
    outcome, _ = execute([])
    assert not outcome.stopped and not outcome.failures


@pytest.mark.parametrize("diverged", [None, 7])
@pytest.mark.parametrize("known", [False, True])
def test_what_needs_what_does_not_exist_is_left_out(
    toys, store, execute, tmp_path, known, diverged
):
    nothing = toys.Largest(str(tmp_path / "notes"), diverged)
    inner = toys.Sum(toys.Number(1), nothing)
    goals = [toys.Sum(inner, inner), toys.Sum(toys.Number(1), toys.Number(2))]
    if known:
        execute([nothing])
    outcome, _ = execute(goals)
    missing = (nothing.address, inner.address, goals[0].address)
    lost = dict.fromkeys(missing, diverged)
    assert outcome.unobtainable == lost
    assert (outcome.failures, outcome.skipped, outcome.stopped) == ({}, (), False)
    assert number(store, goals[1]) == 3
    assert (tmp_path / "notes").read_text() == "x"


def test_a_failing_component_leaves_the_rest_done(toys, store, execute):
    broken = toys.Broken(3)
    needing = toys.Sum(broken, toys.Number(1))
    needing_that = toys.Sum(needing, toys.Number(1))
    good = toys.Sum(toys.Number(1), toys.Number(2))
    outcome, _ = execute([needing_that, good])
    assert list(outcome.failures) == [broken.address]
    assert "ArithmeticError: 3 cannot be computed" in outcome.failures[broken.address]
    assert set(outcome.skipped) == {needing.address, needing_that.address}
    assert number(store, good) == 3


@pytest.mark.parametrize("kind", ["unusable", "refused"])
def test_what_every_job_would_meet_stops_the_work(toys, store, settings, execute, kind):
    class Full(InlinePool):
        """The disk is full, or an image damaged, after the first job."""

        given = 0

        def submit(self, number, job):
            self.given += 1
            if self.given == 1:
                super().submit(number, job)
            else:
                message = Message(kind, f"no room for {job.name}")
                self._messages.append((number, message))

    goals = [toys.Number(n) for n in range(5)]
    pool = Full(settings)
    outcome, _ = execute(goals, pool=pool)
    assert pool.given == 2
    assert outcome.stopped and not outcome.failures
    assert getattr(outcome, kind) == f"no room for {goals[1].address}"
    assert store.has(goals[0].address)
    again = execute(goals)[0]
    assert again.unusable is None and again.refused is None


def test_damaged_data_of_one_command_leave_others_alone(
    toys, store, settings, told, monkeypatch
):
    class Damaged(InlinePool):
        """What is done with all of the data "odd" meets a damaged image."""

        given = []

        def submit(self, number, job):
            self.given.append(job.component.value)
            if self.given[-1] in (1, 3, 5):
                self._messages.append((number, Message("refused", "image 3 of odd")))
            else:
                super().submit(number, job)

    def run(step):
        value = step.job.component.value
        name, subset = ("even", "odd")[value % 2], "images:0.1" if value > 5 else None
        data = types.SimpleNamespace(name=name, subset=subset, pretext=None)
        return types.SimpleNamespace(data=data)

    monkeypatch.setattr(Step, "run", property(run))
    # The last one is of a part in which the image is not.
    goals = [toys.Number(n) for n in (0, 1, 2, 3, 4, 5, 7)]
    executor = Executor(
        *(Damaged(settings), store),
        facts={},
        progress=told(goals).progress,
        refusal_stops=False,
    )
    outcome = executor.execute(goals)
    # Of those data one job is begun.
    assert Damaged.given == [0, 1, 2, 4, 7]
    odd = {goal.address for goal in goals if goal.value in (1, 3, 5)}
    assert outcome.failures == dict.fromkeys(odd, "image 3 of odd")
    assert not outcome.stopped and outcome.refused is None
    assert len(store.addresses()) == 4


def test_a_broken_promise_is_a_failure_that_says_which(toys, store, execute):
    goal = toys.Forgetful(1)
    outcome, _ = execute([goal])
    text = outcome.failures[goal.address]
    assert "Forgetful promised ['number.txt'] and did not write them" in text
    assert store.addresses() == []


def test_jobs_of_a_dead_worker_are_given_out_again(toys, store, settings, execute):
    goal = toys.Sum(toys.Number(1), toys.Number(2))
    pool = FailingPool(settings, dies_at="numbers/", deaths=2)
    outcome, _ = execute([goal], pool=pool)
    assert outcome.failures == {}
    assert number(store, goal) == 3


def test_a_job_that_kills_its_worker_three_times_is_given_up(
    toys, store, settings, execute
):
    goal = toys.Sum(toys.Number(1), toys.Number(2))
    pool = FailingPool(settings, dies_at="sums/", deaths=99)
    outcome, _ = execute([goal, toys.Number(5)], pool=pool)
    assert list(outcome.failures) == [goal.address]
    assert "Given up after 3 times" in outcome.failures[goal.address]
    assert "exit code -9" in outcome.failures[goal.address]
    assert store.has(toys.Number(5).address)


@pytest.mark.parametrize(("losses", "is_given_up"), [(9, False), (10, True)])
def test_nodes_that_are_lost_are_no_fault_of_a_job_within_a_bound(
    toys, store, settings, execute, losses, is_given_up
):
    goal = toys.Number(1)

    class NodesPool(FailingPool):
        """Loses workers with their nodes."""

        def submit(self, number, job):
            if self.deaths < losses:
                self.deaths += 1
                self._messages.append((number, Message("lost", "no sign of life.")))
            else:
                InlinePool.submit(self, number, job)

    pool = NodesPool(settings, dies_at="numbers/", deaths=0)
    outcome, _ = execute([goal], pool=pool)
    assert store.has(goal.address) != is_given_up
    told = "Given up after 10 times: the node of its worker was lost: no sign of life."
    found = [text for text in outcome.failures.values() if text.startswith(told)]
    assert len(found) == len(outcome.failures) == is_given_up


def test_a_job_that_gets_on_between_deaths_is_not_given_up(
    toys, store, settings, execute
):
    goal = toys.Sum(toys.Number(1), toys.Number(2))

    class SavingPool(FailingPool):
        """Saves work before each death but the first."""

        def submit(self, number, job):
            if 0 < self.deaths < 6 and self.dies_at in job.name:
                self._messages.append((number, Message("saved", 1 / self.deaths)))
            super().submit(number, job)

    pool = SavingPool(settings, dies_at="sums/", deaths=6)
    outcome, _ = execute([goal], pool=pool)
    assert outcome.failures == {}
    assert number(store, goal) == 3


def test_what_comes_to_no_checkpoint_after_a_stop_is_ended(
    toys, settings, execute, monkeypatch
):
    class Deaf(InlinePool):
        """Its only worker compiles, say."""

        closed = False

        def submit(self, number, job):
            self.given = True

        def idle(self):
            return [] if hasattr(self, "given") else [0]

        def close(self):
            self.closed = True

    monkeypatch.setattr("tflottery.execution.executor._STOP_SECONDS", 0.1)
    pool = Deaf(settings)
    outcome, shown = execute(
        [toys.Number(1)], pool=pool, stopping=lambda: hasattr(pool, "given")
    )
    assert outcome.stopped and pool.closed
    assert "1 job came to no checkpoint" in shown.text


def test_a_damaged_input_is_named_and_made_again(toys, store, execute):
    one = toys.Number(1)
    goal = toys.Sum(one, toys.Number(2))
    execute([one])
    # As long as before, so that only its sha256 tells.
    (store.open(one.address) / "number.txt").write_text("7")
    outcome, shown = execute([goal])
    assert number(store, goal) == 3
    assert f"{one.address} is damaged (number.txt has sha256 " in shown.text
    assert "made again, which takes no further training" in shown.text
    assert store.open(one.address).joinpath("number.txt").read_text() == "1"
    assert (store.open(one.address).parent.parent / "damaged").exists()
    assert outcome.failures == {}


@pytest.mark.parametrize("name", ["number.txt", "manifest.json"])
def test_damage_seen_by_size_or_manifest_is_named_too(toys, store, execute, name):
    one = toys.Number(1)
    goal = toys.Sum(one, toys.Number(2))
    execute([one])
    with (store.open(one.address) / name).open("a") as file:
        file.write("1")
    outcome, shown = execute([goal])
    assert number(store, goal) == 3
    assert f"{one.address} is damaged ({name} " in shown.text
    assert outcome.failures == {}


def test_what_making_a_damaged_artifact_again_costs_is_told(make_study, store, put):
    """A trunk's state is damaged, and the state before it is gone."""
    study = make_study()
    begun, state = study.trunk_state(1, 5), study.trunk_state(1, 10)
    run = study.branch(state, rewind_iteration=10, replicate=1, data_order=1)
    goal = State(run, 50)
    put(begun, state)
    store.remove(begun.address)
    todo = plan_of([goal], store, facts={study.facts.network: study.facts})
    screen = io.StringIO()
    pool = ScriptedPool(store)
    pool.damages = {state.address}
    with Progress(todo, log=Log(Console(file=screen, width=300))) as progress:
        executor = Executor(
            pool,
            store,
            facts={study.facts.network: study.facts},
            progress=progress,
        )
        outcome = executor.execute([goal])
    assert outcome.failures == {}
    assert f"Artifact {state.address} is damaged (so told)" in screen.getvalue()
    assert "It is made again, which takes 10 iterations." in screen.getvalue()
    assert pool.given == [run.key, study.trunk(1).key, run.key]


def test_what_is_damaged_each_time_is_made_three_times_and_given_up(
    toys, store, settings, execute
):
    one = toys.Number(1)
    goal = toys.Sum(one, toys.Number(2))

    class Spoiling(InlinePool):
        """The disk keeps nothing of what is written for one artifact."""

        made = 0

        def submit(self, number, job):
            super().submit(number, job)
            if job.name == one.address:
                self.made += 1
                (store.open(one.address) / "number.txt").write_text("7")

    pool = Spoiling(settings)
    outcome, _ = execute([goal, toys.Number(5)], pool=pool)
    assert pool.made == 1 + 3
    assert list(outcome.failures) == [one.address]
    assert f"{one.address} is damaged whenever" in outcome.failures[one.address]
    assert outcome.skipped == (goal.address,)
    assert store.has(toys.Number(5).address)


def test_what_vanishes_each_time_is_made_three_times_and_given_up(
    toys, store, settings, execute
):
    goal = toys.Number(1)

    class Vanishing(InlinePool):
        made = 0

        def submit(self, number, job):
            super().submit(number, job)
            self.made += 1
            store.remove(goal.address)

    pool = Vanishing(settings)
    outcome, _ = execute([goal], pool=pool)
    assert pool.made == 1 + 3
    assert f"{goal.address} is missing whenever" in outcome.failures[goal.address]


class ScriptedPool:
    """One worker that trains nothing: runs end as it is told.

    Attributes:
      diverging: keys of runs that diverge, and when.
      damages: addresses of inputs that are found damaged, once each.
      given: keys of the runs given, in order.
    """

    size, is_elsewhere = 1, False

    def __init__(self, store):
        self.store = store
        self.diverging, self.damages = {}, set()
        self.given, self._told = [], []

    def idle(self):
        return [] if self._told else [0]

    def stop(self):
        pass

    def messages(self, timeout):
        told, self._told = self._told, []
        return told

    def submit(self, number, job):
        run = job.run
        self.given.append(run.key)
        for source in run.sources:
            if source.address in self.damages:
                self.damages.discard(source.address)
                self.store.remove(source.address)
                damage = DamagedArtifact(source.address, "so told")
                self._told.append((number, Message("damaged", damage)))
                return
        ending, last = "finished", self.diverging.get(run.key)
        for state in job.states:
            if last is not None and state.iteration >= last:
                ending = "diverged"
                manifest = {"iteration": last}
                with self.store.writing(divergence_address(run), manifest):
                    pass
                break
            with self.store.writing(state.address, {}) as folder:
                for name in state.files:
                    (folder / name).write_text("x")
            self._told.append((number, Message("made", state.address)))
        self._told.append((number, Message("ended", ending)))


def test_divergences_are_walked_around_without_planning_anew(
    make_study, store, monkeypatch
):
    study = make_study(replicates=30)
    copies = {}
    for replicate in study.replicates:
        trunk = study.trunk_state(replicate, 10)
        run = study.branch(
            trunk, rewind_iteration=10, replicate=replicate, data_order=1
        )
        copies[replicate] = [State(run, 20), State(run, 100)]
    goals = [state for states in copies.values() for state in states]
    pool = ScriptedPool(store)
    # Of ten the trunk, of ten others the copy.
    pool.diverging = {study.trunk(n).key: 7 for n in range(1, 11)}
    pool.diverging |= {copies[n][0].run.key: 50 for n in range(11, 21)}
    facts = {study.facts.network: study.facts}
    todo = plan_of(goals, store, facts=facts)
    plans = []
    monkeypatch.setattr(
        "tflottery.execution.executor.plan_of",
        lambda *a, **b: plans.append(a) or plan_of(*a, **b),
    )
    with Progress(todo, log=Log(Console(file=io.StringIO()))) as progress:
        executor = Executor(pool, store, facts=facts, progress=progress, planned=todo)
        outcome = executor.execute(goals)
    # Once more at the end.
    assert len(plans) == 1
    assert not outcome.failures and not outcome.skipped
    expected = {state.address: 7 for n in range(1, 11) for state in copies[n]}
    expected |= {study.trunk_state(n, 10).address: 7 for n in range(1, 11)}
    expected |= {copies[n][1].address: 50 for n in range(11, 21)}
    assert dict(outcome.unobtainable) == expected
    assert len(pool.given) == 30 + 20


def test_a_damaged_input_of_an_input_is_made_again(toys, store, execute):
    one = toys.Number(1)
    inner = toys.Sum(one, toys.Number(2))
    execute([inner])
    (store.open(one.address) / "number.txt").write_text("7")
    (store.open(inner.address) / "number.txt").write_text("9")
    goal = toys.Sum(inner, one)
    execute([goal])
    assert number(store, goal) == 4


def test_an_input_removed_on_the_way_is_made_again(toys, store, settings, execute):
    one = toys.Number(1)
    goal = toys.Sum(one, toys.Number(2))

    class Removing(InlinePool):
        removed = False

        def submit(self, number, job):
            # As another command does that finds the artifact damaged.
            if job.name == goal.address and not self.removed:
                self.removed = True
                store.remove(one.address)
            super().submit(number, job)

    outcome, _ = execute([goal], pool=Removing(settings))
    assert outcome.failures == {}
    assert number(store, goal) == 3


def test_a_job_of_another_process_is_waited_for_and_told_once(
    toys, store, settings, execute
):
    goal = toys.Sum(toys.Number(1), toys.Number(2))
    lock = store.lock(goal.address)

    class Other(InlinePool):
        """After two refusals the other process is done."""

        refusals = 0

        def submit(self, number, job):
            super().submit(number, job)
            self.refusals += self._messages[-1][1].value == "busy"
            if self.refusals == 2:
                lock.release()

    pool = Other(settings)
    outcome, shown = execute([goal, toys.Number(5)], pool=pool)
    assert pool.refusals == 2
    assert shown.text.count(f"Another process is making {goal.address}") == 1
    assert number(store, goal) == 3
    assert outcome.failures == {}


def test_what_another_process_made_meanwhile_is_taken(toys, store, settings, execute):
    goal = toys.Sum(toys.Number(1), toys.Number(2))
    lock = store.lock(goal.address)

    class Other(InlinePool):
        def submit(self, number, job):
            super().submit(number, job)
            if self._messages[-1][1].value == "busy":
                with store.writing(goal.address, {"by": "another"}) as folder:
                    (folder / "number.txt").write_text("3")
                lock.release()

    outcome, _ = execute([goal], pool=Other(settings))
    assert store.manifest(goal.address)["by"] == "another"
    assert outcome.failures == {}


def test_stopped_before_the_end_and_gone_on_with(
    toys, store, settings, execute, tmp_path
):
    notes = tmp_path / "notes"
    goal = toys.Sum(toys.Count(4, str(notes)), toys.Number(2))
    pool = InlinePool(settings)
    outcome, _ = execute(
        [goal], pool=pool, stopping=lambda: notes.exists() and pool.stop() is None
    )
    assert outcome.stopped
    assert not store.has(goal.address)
    outcome, _ = execute([goal])
    assert not outcome.stopped
    assert number(store, goal) == 6


def test_stopped_in_the_last_job_is_stopped(toys, store, settings, execute, tmp_path):
    notes = tmp_path / "notes"
    goal = toys.Count(4, str(notes))
    pool = InlinePool(settings)
    # Asked in the middle of the only job, before anything looks whether to stop.
    pool.stop()
    outcome, _ = execute([goal], pool=pool)
    assert outcome.stopped
    assert notes.read_text() == "1\n"
    execute([goal])
    assert notes.read_text() == "1\n2\n3\n4\n"


class RecordingPool(InlinePool):
    """Notes what it is given to do, in order."""

    def __init__(self, settings):
        super().__init__(settings)
        self.given = []

    def submit(self, number, job):
        self.given.append(job.component.name)
        super().submit(number, job)


def test_what_most_work_in_sequence_hangs_on_comes_first(toys, settings, execute):
    chain = toys.Costly("chain 1", 3)
    chain = toys.Costly("chain 2", 3, chain)
    chain = toys.Costly("chain 3", 3, chain)
    small, large = toys.Costly("small", 2), toys.Costly("large", 5)
    pool = RecordingPool(settings)
    execute([small, large, chain], pool=pool)
    # 9 of 16 hang on the beginning of the chain; then 6 of 13, too little to wait for
    # with what nothing else waits for.
    assert pool.given == ["chain 1", "large", "chain 2", "chain 3", "small"]


def test_what_is_equally_urgent_comes_in_the_order_of_the_goals(
    toys, settings, execute
):
    goals = [toys.Costly(name, 1) for name in "cab"]
    pool = RecordingPool(settings)
    execute(goals, pool=pool)
    assert pool.given == ["c", "a", "b"]


def test_chains_of_equal_length_advance_together(toys, settings, execute):
    ends = []
    for name in ("a", "b"):
        end = None
        for step in range(3):
            end = toys.Costly(f"{name}{step}", 1, end)
        ends.append(end)
    pool = RecordingPool(settings)
    execute(ends, pool=pool)
    assert pool.given == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_ask_refuses_what_cannot_be(inline):
    with pytest.raises(ValueError, match="There is no dataset 'nonsense'"):
        ask(inline, Inspect("lenet", Setting("nonsense")), lambda: False)


class NotingPool(InlinePool):
    """Notes something before each job, as one of several workers would."""

    def submit(self, number, job):
        self._messages.append((number, Message("note", "a [copy] is damaged")))
        super().submit(number, job)


def test_notes_of_workers_are_told_once(toys, settings, execute):
    goals = [toys.Number(1), toys.Number(2)]
    outcome, shown = execute(goals, pool=NotingPool(settings))
    assert not outcome.failures
    assert shown.text.count("a [copy] is damaged") == 1


def test_notes_before_a_plan_are_told_at_once(settings):
    told = []
    pool = NotingPool(settings)
    ask(pool, Inspect("lenet", Setting("digits")), lambda: False, note=told.append)
    assert told == ["a [copy] is damaged"]


def test_ask_stops(inline):
    with pytest.raises(KeyboardInterrupt):
        ask(inline, Inspect("lenet", Setting("digits")), lambda: True)


def test_ask_outlives_dying_workers(settings):
    pool = FailingPool(settings, dies_at="inspect/", deaths=2)
    facts = ask(pool, Inspect("lenet", Setting("digits")), lambda: False)
    assert facts.network.num_classes == 10


def test_ask_gives_up_after_three_deaths(settings):
    pool = FailingPool(settings, dies_at="inspect/", deaths=99)
    text = "look at model 'lenet' .* 'digits' failed.* 3 times: .* exit code -9"
    with pytest.raises(WorkerFailed, match=text):
        ask(pool, Inspect("lenet", Setting("digits")), lambda: False)
