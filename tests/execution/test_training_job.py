"""A run is trained in pieces as if in one, and never twice."""

import dataclasses
import math

import numpy as np
import pytest

from tflottery.components import runs
from tflottery.components.component import Artifact
from tflottery.components.metadata import inspect
from tflottery.components.runs import State
from tflottery.core.recipes import Setting
from tflottery.execution.job_context import DIVERGED, FINISHED, STOPPED, JobContext
from tflottery.execution.jobs import Advance, execute
from tflottery.execution.run_index import RunIndex, divergence_address
from tflottery.execution.work import learned, training
from tflottery.experiments.instability import Config
from tflottery.store.errors import DamagedArtifact
from tflottery.store.store import Store
from tflottery.studies.study import resolve
from tflottery.training import checkpoints as arrays
from tflottery.training.distribution import Placement
from tflottery.training.trainer import Trainer


class Killed(BaseException):
    """Stands for a process that ends at this moment."""


@pytest.fixture
def study(runtime):
    facts = inspect("lenet", Setting("digits"), runtime)
    config = Config(model="lenet", dataset="digits", training_iterations=60)
    return resolve(config, facts, Placement())


@pytest.fixture
def context_of(runtime):
    """Returns a job's context and what is reported; `until` reports before `then`."""

    def make(store, *, seconds=math.inf, until=math.inf, then=None):
        seen = []

        def report(kind, value):
            if kind != "measured":
                seen.append(value)
            if kind == "progress" and len(seen) > until and then == "kill":
                raise Killed

        return JobContext(
            store=store,
            runtime=runtime,
            checkpoint_seconds=seconds,
            report=report,
            stopping=lambda: (
                (then == "stop" and len(seen) >= until)
                or (then == "stop at the end" and 1.0 in seen)
            ),
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
def unbroken(tmp_path, study, context_of):
    """The states at 0, 20 and 60 of a run trained in one go, and their store."""
    store = Store(tmp_path / "unbroken")
    work = job(study, 0, 20, 60)
    assert execute(work, context_of(store)[0]) == FINISHED
    return [contents(store, state) for state in work.states]


def test_states_are_kept_on_the_way_and_told(store, study, context_of, runtime):
    context, seen = context_of(store)
    work = job(study, 0, 20, 60)
    assert execute(work, context) == FINISHED
    assert [one for one in seen if isinstance(one, str)] == [
        state.address for state in work.states
    ]
    shares = [one for one in seen if isinstance(one, float)]
    assert shares == sorted(shares) and shares[-1] == 1.0
    manifest = store.manifest(work.states[1].address)
    assert manifest["iteration"] == 20
    assert manifest["run"] == work.run.key
    assert manifest["num_devices"] == 1
    # How long the updates from one state to the next took.
    done = [store.manifest(state.address)["work"] for state in work.states]
    assert [one["amount"] for one in done] == [0, 20, 40]
    kind = training(work.run, num_devices=1)
    assert {one["kind"] for one in done} == {kind}
    assert all(one["seconds"] >= 0 for one in done)
    assert kind in learned(store, ["runs"])


def test_what_is_there_is_told_and_not_trained_again(store, study, context_of):
    work = job(study, 0, 20)
    execute(work, context_of(store)[0])
    written = store.manifest(work.states[1].address)["written"]
    context, seen = context_of(store)
    assert execute(work, context) == FINISHED
    assert seen == [state.address for state in work.states]
    assert store.manifest(work.states[1].address)["written"] == written


def test_states_one_by_one_are_those_of_one_go(store, study, context_of, unbroken):
    for iteration in (20, 0, 60):
        context, _ = context_of(store)
        assert execute(job(study, iteration), context) == FINISHED
    states = job(study, 0, 20, 60).states
    assert [contents(store, state) for state in states] == unbroken


@pytest.mark.parametrize("until", [1, 2, 3])
def test_stopped_and_gone_on_with_is_unbroken(
    store, study, context_of, unbroken, until
):
    work = job(study, 0, 20, 60)
    context, _ = context_of(store, until=until, then="stop")
    assert execute(work, context) == STOPPED
    [reached] = checkpoints(store)
    assert 0 < reached < 60
    context, seen = context_of(store)
    assert execute(work, context) == FINISHED
    assert [contents(store, state) for state in work.states] == unbroken
    assert checkpoints(store) == []


@pytest.mark.parametrize("until", [1, 2, 3])
def test_killed_and_gone_on_with_is_unbroken(store, study, context_of, unbroken, until):
    work = job(study, 0, 20, 60)
    context, _ = context_of(store, seconds=0, until=until, then="kill")
    with pytest.raises(Killed):
        execute(work, context)
    reached = max(checkpoints(store), default=0)
    segments = RunIndex(store).segments(work.run, work.states[-1:])
    assert segments[-1].first >= reached
    context, _ = context_of(store)
    assert execute(work, context) == FINISHED
    assert [contents(store, state) for state in work.states] == unbroken


@pytest.mark.parametrize("longer", [False, True])
def test_a_stop_at_the_very_end_leaves_no_checkpoint(store, study, context_of, longer):
    if longer:
        # The state at 20 then has no slots: whoever goes on does so from 60.
        assert execute(bare_job(study, 60), context_of(store)[0]) == FINISHED
    context, seen = context_of(store, seconds=0, then="stop at the end")
    work = bare_job(study, 10, 20)
    assert execute(work, context) == FINISHED
    assert seen[-1] == 1.0
    assert all(store.has(state.address, state.files) for state in work.states)
    assert checkpoints(store) == []


def test_only_the_last_checkpoint_is_kept(store, study, context_of):
    context, _ = context_of(store, seconds=0, until=3, then="kill")
    with pytest.raises(Killed):
        execute(job(study, 0, 20, 60), context)
    assert len(checkpoints(store)) == 1


def bare_job(study, *iterations, run=None):
    """Returns a job that wants nothing but weights."""
    run = run or study.trunk(1)
    return Advance(run, tuple(State(run, one) for one in iterations))


@pytest.fixture
def checkpoint_at(store, study, context_of):
    """Leaves a checkpoint, as a job does that was interrupted there."""

    def leave(iteration):
        # A stop is obeyed at the end of a call, so in the first call after it begins.
        context, _ = context_of(store, until=1, then="stop")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "_affordable", lambda self: iteration)
            assert execute(bare_job(study, 60), context) == STOPPED
        assert checkpoints(store) == [iteration]

    return leave


def test_a_shorter_job_leaves_the_checkpoint_of_a_longer_one(
    store, study, context_of, checkpoint_at, trainings
):
    checkpoint_at(50)
    trainings.clear()
    context, _ = context_of(store, seconds=0)
    assert execute(bare_job(study, 20), context) == FINISHED
    assert checkpoints(store) == [50]
    assert execute(bare_job(study, 60), context_of(store)[0]) == FINISHED
    assert checkpoints(store) == []
    assert trainings == [(0, 20), (50, 60)]


def test_a_job_that_goes_on_from_a_checkpoint_leaves_what_replaces_it(
    store, study, context_of, checkpoint_at, trainings, unbroken
):
    checkpoint_at(20)
    trainings.clear()
    for iteration in (30, 60):
        work = bare_job(study, iteration)
        assert execute(work, context_of(store)[0]) == FINISHED
        assert checkpoints(store) == []
    assert trainings == [(20, 30), (30, 60)]
    assert contents(store, job(study, 60).states[0]) == unbroken[-1]


def test_a_job_that_finds_all_made_leaves_the_checkpoint(
    store, study, context_of, checkpoint_at, trainings
):
    # A state that was only measured, and a longer job interrupted at its iteration.
    checkpoint_at(20)
    trainings.clear()
    [work] = [bare_job(study, 20)]
    with store.writing(work.states[0].address, {}) as folder:
        (folder / "weights.safetensors").write_text("x")
    assert execute(work, context_of(store)[0]) == FINISHED
    assert checkpoints(store) == [20]
    assert execute(bare_job(study, 60), context_of(store)[0]) == FINISHED
    assert checkpoints(store) == []
    assert trainings == [(20, 60)]


def test_whoever_trains_for_longer_trains_only_what_is_new(
    store, study, context_of, trainings, unbroken
):
    trainings.clear()
    for iteration in (20, 60, 20):
        work = bare_job(study, iteration)
        assert execute(work, context_of(store)[0]) == FINISHED
    assert trainings == [(0, 20), (20, 60)]
    states = job(study, 20, 60).states
    assert [contents(store, state) for state in states] == unbroken[1:]


def test_states_between_keep_no_slots(store, study, context_of):
    work = bare_job(study, 10, 20, 60)
    assert execute(work, context_of(store)[0]) == FINISHED
    slots = [store.has(one.address, ("slots.safetensors",)) for one in work.states]
    assert slots == [False, False, True]


def test_slots_that_are_carried_are_made_where_they_lack(
    store, study, context_of, trainings, unbroken
):
    execute(bare_job(study, 20, 30), context_of(store)[0])
    trainings.clear()
    needed = State(study.trunk(1), 20, needs_slots=True)
    work = Advance(needed.run, (needed,))
    assert execute(work, context_of(store)[0]) == FINISHED
    assert trainings == [(0, 20)]
    assert contents(store, needed) == unbroken[1]


def test_a_damaged_checkpoint_is_named_and_costs_only_its_work(
    store, study, context_of, checkpoint_at, unbroken
):
    checkpoint_at(50)
    [address] = store.addresses("checkpoints")
    path = store.open(address) / "slots.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    work = job(study, 0, 20, 60)
    with pytest.raises(DamagedArtifact, match=address):
        execute(work, context_of(store)[0])
    # Begun again, it goes on from where it can.
    assert execute(work, context_of(store)[0]) == FINISHED
    assert [contents(store, state) for state in work.states] == unbroken


def test_damage_to_what_a_run_made_is_named_before_it_trains(
    store, study, context_of, trainings
):
    work = job(study, 0, 20)
    execute(work, context_of(store)[0])
    trainings.clear()
    address = work.states[1].address
    (store.open(address) / "weights.safetensors").unlink()
    with pytest.raises(DamagedArtifact, match="weights.safetensors is missing"):
        execute(work, context_of(store)[0])
    assert trainings == []
    assert execute(work, context_of(store)[0]) == FINISHED
    assert trainings == [(0, 20)]


def test_a_damaged_record_of_a_divergence_is_named(store, study, context_of):
    work = job(study, 20)
    address = divergence_address(work.run)
    with store.writing(address, {"iteration": 10}):
        pass
    path = store.open(address) / "manifest.json"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(DamagedArtifact, match=address):
        execute(work, context_of(store)[0])
    assert execute(work, context_of(store)[0]) == FINISHED


def test_a_copy_leaves_its_trunk(store, study, context_of):
    trunk = job(study, 0, 20)
    execute(trunk, context_of(store)[0])
    copies = [
        study.branch(
            trunk.states[1], rewind_iteration=20, replicate=1, data_order=order
        )
        for order in (1, 2)
    ]
    ends = []
    for copy in copies:
        work = job(study, 20, 60, run=copy)
        assert execute(work, context_of(store)[0]) == FINISHED
        start, end = (contents(store, state) for state in work.states)
        weights = "weights.safetensors"
        assert start[weights] == contents(store, trunk.states[1])[weights]
        ends.append(end[weights])
    assert ends[0] != ends[1]


def test_a_copy_begins_with_fresh_slots_and_goes_on_with_its_own(
    store, study, context_of, tmp_path
):
    trunk = State(study.trunk(1), 20)
    execute(Advance(trunk.run, (trunk,)), context_of(store)[0])
    copy = study.branch(trunk, rewind_iteration=20, replicate=1, data_order=1)
    work = job(study, 20, 60, run=copy)
    execute(work, context_of(store)[0])
    slots = arrays.read_slots(store.open(work.states[0].address))
    assert slots and not any(slot.any() for slot in slots.values())
    pieces = Store(tmp_path / "pieces")
    for one in (Advance(trunk.run, (trunk,)), job(study, 40, run=copy), work):
        execute(one, context_of(pieces)[0])
    assert contents(pieces, work.states[1]) == contents(store, work.states[1])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_copy_with_carried_slots_on_its_trunks_order_is_the_trunk(
    store, study, context_of, optimizer
):
    study = dataclasses.replace(
        study,
        recipe=dataclasses.replace(study.recipe, optimizer=optimizer, momentum=0.9),
        config=dataclasses.replace(study.config, optimizer_state="carried"),
    )
    trunk = job(study, 20, 60)
    execute(trunk, context_of(store)[0])
    expected = contents(store, trunk.states[1])
    # Copies of copies carry on as well, and so do those interrupted on the way.
    parting = trunk.states[0]
    for first, middle in ((20, 30), (40, 50)):
        copy = study.branch(parting, rewind_iteration=first, replicate=1, data_order=0)
        assert copy.key != trunk.run.key
        for iteration in (middle, 40, 60):
            if iteration >= first:
                assert execute(job(study, iteration, run=copy), context_of(store)[0])
        assert contents(store, State(copy, 60, needs_slots=True)) == expected
        parting = State(copy, 40)


@dataclasses.dataclass(frozen=True)
class Mask(Artifact):
    """Stands for a component that makes masks."""

    KIND = "mask"

    key: str
    address: str = "masks/1"
    files: tuple[str, ...] = (runs.MASK_FILE,)


def test_pruned_weights_stay_zero_wherever_the_training_is_cut(
    study, context_of, tmp_path
):
    kept = {"dense_2/kernel": np.eye(300, 100, dtype=np.float32)}
    mask = Mask("m")
    run = dataclasses.replace(study.trunk(1), mask=mask)
    ends = []
    for name, cuts in (("whole", [60]), ("pieces", [30, 60])):
        store = Store(tmp_path / name)
        with store.writing(mask.address, {}) as folder:
            arrays.write_arrays(folder / runs.MASK_FILE, kept)
        for cut in cuts:
            execute(job(study, cut, run=run), context_of(store)[0])
        ends.append(State(run, 60, needs_slots=True))
        weights = arrays.read_weights(store.open(ends[-1].address))
        pruned = weights["dense_2/kernel"][kept["dense_2/kernel"] == 0]
        assert not pruned.tobytes().strip(b"\0")
        assert weights["dense_1/kernel"].all()
    stores = [Store(tmp_path / name) for name in ("whole", "pieces")]
    assert contents(stores[0], ends[0]) == contents(stores[1], ends[1])


def test_order_augmentation_and_dropout_have_seeds_of_their_own(
    study, context_of, tmp_path, monkeypatch
):
    batches, dropout = [], []

    def train(self, stream, last, *, dropout_seed, **options):
        batches.append(stream.batches(3, 1))
        dropout.append(dropout_seed)
        return last

    monkeypatch.setattr(Trainer, "train", train)
    trunk = study.trunk(1)
    names = ("", "augmentation_seed", "data_order_seed", "dropout_seed")
    for number, seed in enumerate(names):
        run = dataclasses.replace(trunk, **({seed: 9} if seed else {}))
        store = Store(tmp_path / str(number))
        execute(bare_job(study, 60, run=run), context_of(store)[0])
    indices, bits = (
        [getattr(one, name).tolist() for one in batches] for name in ("indices", "bits")
    )
    assert indices[1] == indices[0] != indices[2]
    assert bits[1] != bits[0]
    assert (indices[3], bits[3]) == (indices[0], bits[0])
    assert dropout == [trunk.dropout_seed] * 3 + [9]


def test_a_divergence_is_recorded_and_what_came_before_is_kept(
    store, study, context_of
):
    recipe = dataclasses.replace(study.recipe, optimizer="sgd", learning_rate=1e30)
    run = dataclasses.replace(study.trunk(1), recipe=recipe)
    work = job(study, 0, 60, run=run)
    assert execute(work, context_of(store)[0]) == DIVERGED
    diverged = RunIndex(store).diverged(run)
    assert 0 < diverged < 5
    assert store.has(work.states[0].address)
    assert not store.has(work.states[1].address)
    assert checkpoints(store) == []


def test_what_diverged_meanwhile_is_not_trained_again(
    store, study, context_of, trainings
):
    recipe = dataclasses.replace(study.recipe, optimizer="sgd", learning_rate=1e30)
    run = dataclasses.replace(study.trunk(1), recipe=recipe)
    # Another command waits for the run while the first one trains it.
    for _ in range(2):
        work = bare_job(study, 0, 60, run=run)
        assert execute(work, context_of(store)[0]) == DIVERGED
    assert len(trainings) == 1
    # What comes before is made all the same.
    store.remove(State(run, 0).address)
    context, seen = context_of(store)
    assert execute(bare_job(study, 0, 60, run=run), context) == DIVERGED
    assert seen == [State(run, 0).address]
    assert len(trainings) == 1


def test_a_divergence_at_a_checkpoint_is_one_too(store, study, context_of):
    recipe = dataclasses.replace(study.recipe, optimizer="sgd", learning_rate=1e30)
    run = dataclasses.replace(study.trunk(1), recipe=recipe)
    context, _ = context_of(store, seconds=0)
    assert execute(job(study, 60, run=run), context) == DIVERGED
    assert 0 < RunIndex(store).diverged(run) < 5
