"""A run is trained in pieces as if in one, and never twice."""

import dataclasses
import math

import pytest

from tflottery.components import runs
from tflottery.components.metadata import inspect
from tflottery.components.runs import State
from tflottery.execution import advancing
from tflottery.execution.bench import DIVERGED, FINISHED, STOPPED, Bench
from tflottery.execution.jobs import Advance
from tflottery.execution.run_index import RunIndex
from tflottery.experiments.instability import Config
from tflottery.store.store import Store
from tflottery.studies.study import resolve
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime
from tflottery.training.trainer import Trainer


class Killed(BaseException):
    """Stands for a process that ends at this moment."""


@pytest.fixture(scope="module")
def runtime():
    """One for all tests: a loop compiles once."""
    return Runtime(data_dir=None, placement=Placement())


@pytest.fixture
def study(runtime):
    facts = inspect("lenet", "digits", runtime)
    config = Config(model="lenet", dataset="digits", training_iterations=60)
    return resolve(config, facts, Placement())


@pytest.fixture
def bench_of(runtime):
    """Returns a bench at a store; `until` calls of `progressed` pass before `then`."""

    def make(store, *, seconds=math.inf, until=math.inf, then=None):
        seen = []

        def progressed(share):
            seen.append(share)
            if len(seen) > until and then == "kill":
                raise Killed

        return Bench(
            store=store,
            runtime=runtime,
            checkpoint_seconds=seconds,
            made=seen.append,
            progressed=progressed,
            stopping=lambda: then == "stop" and len(seen) >= until,
        ), seen

    return make


def job(study, *iterations, run=None):
    run = run or study.trunk(1)
    return Advance(run, tuple(State(run, one, needs_slots=True) for one in iterations))


def contents(store, artifact):
    folder = store.open(artifact.address)
    return {name: (folder / name).read_bytes() for name in artifact.files}


def checkpoints(store):
    return [int(one[-8:]) for one in store.addresses("checkpoints")]


@pytest.fixture
def unbroken(tmp_path, study, bench_of):
    """The states at 0, 20 and 60 of a run trained in one go, and their store."""
    store = Store(tmp_path / "unbroken")
    work = job(study, 0, 20, 60)
    assert advancing.advance(work, bench_of(store)[0]) == FINISHED
    return [contents(store, state) for state in work.states]


def test_states_are_kept_on_the_way_and_told(store, study, bench_of, runtime):
    bench, seen = bench_of(store)
    work = job(study, 0, 20, 60)
    assert advancing.advance(work, bench) == FINISHED
    assert [one for one in seen if isinstance(one, str)] == [
        state.address for state in work.states
    ]
    shares = [one for one in seen if isinstance(one, float)]
    assert shares == sorted(shares) and shares[-1] == 1.0
    manifest = store.manifest(work.states[1].address)
    assert manifest["iteration"] == 20
    assert manifest["run"] == work.run.key
    trainer = runs.trainer_of(work.run, runtime)
    assert int(trainer.optimizer.iterations) == 60


def test_what_is_there_is_told_and_not_trained_again(store, study, bench_of):
    work = job(study, 0, 20)
    advancing.advance(work, bench_of(store)[0])
    written = store.manifest(work.states[1].address)["written"]
    bench, seen = bench_of(store)
    assert advancing.advance(work, bench) == FINISHED
    assert seen == [state.address for state in work.states]
    assert store.manifest(work.states[1].address)["written"] == written


def test_states_one_by_one_are_those_of_one_go(store, study, bench_of, unbroken):
    for iteration in (20, 0, 60):
        bench, _ = bench_of(store)
        assert advancing.advance(job(study, iteration), bench) == FINISHED
    states = job(study, 0, 20, 60).states
    assert [contents(store, state) for state in states] == unbroken


@pytest.mark.parametrize("until", [1, 2, 3])
def test_stopped_and_gone_on_with_is_unbroken(store, study, bench_of, unbroken, until):
    work = job(study, 0, 20, 60)
    bench, _ = bench_of(store, until=until, then="stop")
    assert advancing.advance(work, bench) == STOPPED
    [reached] = checkpoints(store)
    assert 0 < reached < 60
    bench, seen = bench_of(store)
    assert advancing.advance(work, bench) == FINISHED
    assert [contents(store, state) for state in work.states] == unbroken
    assert checkpoints(store) == []


@pytest.mark.parametrize("until", [1, 2, 3])
def test_killed_and_gone_on_with_is_unbroken(store, study, bench_of, unbroken, until):
    work = job(study, 0, 20, 60)
    bench, _ = bench_of(store, seconds=0, until=until, then="kill")
    with pytest.raises(Killed):
        advancing.advance(work, bench)
    reached = max(checkpoints(store), default=0)
    segments = RunIndex(store).segments(work.run, work.states[-1:])
    assert segments[-1].first >= reached
    bench, _ = bench_of(store)
    assert advancing.advance(work, bench) == FINISHED
    assert [contents(store, state) for state in work.states] == unbroken


def test_only_the_last_checkpoint_is_kept(store, study, bench_of):
    bench, _ = bench_of(store, seconds=0, until=3, then="kill")
    with pytest.raises(Killed):
        advancing.advance(job(study, 0, 20, 60), bench)
    assert len(checkpoints(store)) == 1


def bare_job(study, *iterations, run=None):
    """Returns a job that wants nothing but weights."""
    run = run or study.trunk(1)
    return Advance(run, tuple(State(run, one) for one in iterations))


@pytest.fixture
def checkpoint_at(store, study, bench_of):
    """Leaves a checkpoint, as a job does that was interrupted there."""

    def leave(iteration):
        # A stop is obeyed at the end of a call, so in the first call after it begins.
        bench, _ = bench_of(store, until=1, then="stop")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "_affordable", lambda self: iteration)
            assert advancing.advance(bare_job(study, 60), bench) == STOPPED
        assert checkpoints(store) == [iteration]

    return leave


def test_a_shorter_job_leaves_the_checkpoint_of_a_longer_one(
    store, study, bench_of, checkpoint_at, trainings
):
    checkpoint_at(50)
    trainings.clear()
    bench, _ = bench_of(store, seconds=0)
    assert advancing.advance(bare_job(study, 20), bench) == FINISHED
    assert checkpoints(store) == [50]
    assert advancing.advance(bare_job(study, 60), bench_of(store)[0]) == FINISHED
    assert checkpoints(store) == []
    assert trainings == [(0, 20), (50, 60)]


def test_a_job_that_goes_on_from_a_checkpoint_leaves_what_replaces_it(
    store, study, bench_of, checkpoint_at, trainings, unbroken
):
    checkpoint_at(20)
    trainings.clear()
    for iteration in (30, 60):
        work = bare_job(study, iteration)
        assert advancing.advance(work, bench_of(store)[0]) == FINISHED
        assert checkpoints(store) == []
    assert trainings == [(20, 30), (30, 60)]
    assert contents(store, job(study, 60).states[0]) == unbroken[-1]


def test_a_job_that_finds_all_made_leaves_the_checkpoint(
    store, study, bench_of, checkpoint_at, trainings
):
    # A state that was only measured, and a longer job interrupted at its iteration.
    checkpoint_at(20)
    trainings.clear()
    [work] = [bare_job(study, 20)]
    with store.writing(work.states[0].address, {}) as folder:
        (folder / "weights.safetensors").write_text("x")
    assert advancing.advance(work, bench_of(store)[0]) == FINISHED
    assert checkpoints(store) == [20]
    assert advancing.advance(bare_job(study, 60), bench_of(store)[0]) == FINISHED
    assert checkpoints(store) == []
    assert trainings == [(20, 60)]


def test_whoever_trains_for_longer_trains_only_what_is_new(
    store, study, bench_of, trainings, unbroken
):
    trainings.clear()
    for iteration in (20, 60, 20):
        work = bare_job(study, iteration)
        assert advancing.advance(work, bench_of(store)[0]) == FINISHED
    assert trainings == [(0, 20), (20, 60)]
    states = job(study, 20, 60).states
    assert [contents(store, state) for state in states] == unbroken[1:]


def test_states_between_keep_no_slots(store, study, bench_of):
    work = bare_job(study, 10, 20, 60)
    assert advancing.advance(work, bench_of(store)[0]) == FINISHED
    slots = [store.has(one.address, ("slots.safetensors",)) for one in work.states]
    assert slots == [False, False, True]


def test_slots_that_are_carried_are_made_where_they_lack(
    store, study, bench_of, trainings, unbroken
):
    advancing.advance(bare_job(study, 20, 30), bench_of(store)[0])
    trainings.clear()
    needed = State(study.trunk(1), 20, needs_slots=True)
    work = Advance(needed.run, (needed,))
    assert advancing.advance(work, bench_of(store)[0]) == FINISHED
    assert trainings == [(0, 20)]
    assert contents(store, needed) == unbroken[1]


def test_a_damaged_checkpoint_costs_only_its_work(store, study, bench_of, unbroken):
    work = job(study, 0, 20, 60)
    bench, _ = bench_of(store, until=3, then="stop")
    advancing.advance(work, bench)
    [address] = store.addresses("checkpoints")
    path = store.open(address) / "slots.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    bench, _ = bench_of(store)
    assert advancing.advance(work, bench) == FINISHED
    assert [contents(store, state) for state in work.states] == unbroken


def test_a_copy_leaves_its_trunk(store, study, bench_of):
    trunk = job(study, 0, 20)
    advancing.advance(trunk, bench_of(store)[0])
    copies = [
        study.branch(trunk.states[1], first_iteration=20, replicate=1, data_order=order)
        for order in (1, 2)
    ]
    ends = []
    for copy in copies:
        work = job(study, 20, 60, run=copy)
        assert advancing.advance(work, bench_of(store)[0]) == FINISHED
        start, end = (contents(store, state) for state in work.states)
        weights = "weights.safetensors"
        assert start[weights] == contents(store, trunk.states[1])[weights]
        ends.append(end[weights])
    assert ends[0] != ends[1]


def test_carried_slots_are_those_of_the_trunk(store, study, bench_of):
    trunk = job(study, 20)
    advancing.advance(trunk, bench_of(store)[0])
    config = dataclasses.replace(study.config, optimizer_state="carried")
    carried = dataclasses.replace(study, config=config)
    copy = carried.branch(
        trunk.states[0], first_iteration=20, replicate=1, data_order=1
    )
    work = job(study, 20, run=copy)
    advancing.advance(work, bench_of(store)[0])
    assert contents(store, work.states[0]) == contents(store, trunk.states[0])


def test_a_divergence_is_recorded_and_what_came_before_is_kept(store, study, bench_of):
    recipe = dataclasses.replace(study.recipe, optimizer="sgd", learning_rate=1e30)
    run = dataclasses.replace(study.trunk(1), recipe=recipe)
    work = job(study, 0, 60, run=run)
    assert advancing.advance(work, bench_of(store)[0]) == DIVERGED
    diverged = RunIndex(store).diverged(run)
    assert 0 < diverged < 5
    assert store.has(work.states[0].address)
    assert not store.has(work.states[1].address)
    assert checkpoints(store) == []


def test_what_diverged_meanwhile_is_not_trained_again(
    store, study, bench_of, trainings
):
    recipe = dataclasses.replace(study.recipe, optimizer="sgd", learning_rate=1e30)
    run = dataclasses.replace(study.trunk(1), recipe=recipe)
    # Another command waits for the run while the first one trains it.
    for _ in range(2):
        work = bare_job(study, 0, 60, run=run)
        assert advancing.advance(work, bench_of(store)[0]) == DIVERGED
    assert len(trainings) == 1
    # What comes before is made all the same.
    store.remove(State(run, 0).address)
    bench, seen = bench_of(store)
    assert advancing.advance(bare_job(study, 0, 60, run=run), bench) == DIVERGED
    assert seen == [State(run, 0).address]
    assert len(trainings) == 1


def test_a_divergence_at_a_checkpoint_is_one_too(store, study, bench_of):
    recipe = dataclasses.replace(study.recipe, optimizer="sgd", learning_rate=1e30)
    run = dataclasses.replace(study.trunk(1), recipe=recipe)
    bench, _ = bench_of(store, seconds=0)
    assert advancing.advance(job(study, 60, run=run), bench) == DIVERGED
    assert 0 < RunIndex(store).diverged(run) < 5
