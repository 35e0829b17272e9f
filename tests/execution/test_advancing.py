"""A run is trained in pieces as if in one, and never twice."""

import dataclasses
import math

import pytest

from tflottery.components import runs
from tflottery.components.metadata import inspect
from tflottery.components.runs import State
from tflottery.execution import advancing, run_index
from tflottery.execution.bench import DIVERGED, FINISHED, STOPPED, Bench
from tflottery.execution.jobs import Advance
from tflottery.execution.run_index import RunIndex
from tflottery.experiments.instability import Config
from tflottery.store.store import Store
from tflottery.studies.study import resolve
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime


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
    return Advance(run, tuple(State(run, one, with_slots=True) for one in iterations))


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


def test_a_shorter_job_leaves_the_checkpoint_of_a_longer_one(store, study, bench_of):
    advancing.advance(job(study, 0, 60), bench_of(store, until=3, then="stop")[0])
    # A stop in the call that ends at 60 comes after it: write what it would have.
    far = run_index.checkpoint_address(study.trunk(1), 50)
    with store.writing(far, {}) as folder:
        for name in ("weights.safetensors", "slots.safetensors"):
            (folder / name).write_text("x")
    bench, _ = bench_of(store, seconds=0)
    run = study.trunk(1)
    bare = Advance(run, (State(run, 20),))
    assert advancing.advance(bare, bench) == FINISHED
    assert checkpoints(store) == [50]


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


def test_a_divergence_at_a_checkpoint_is_one_too(store, study, bench_of):
    recipe = dataclasses.replace(study.recipe, optimizer="sgd", learning_rate=1e30)
    run = dataclasses.replace(study.trunk(1), recipe=recipe)
    bench, _ = bench_of(store, seconds=0)
    assert advancing.advance(job(study, 60, run=run), bench) == DIVERGED
    assert 0 < RunIndex(store).diverged(run) < 5
