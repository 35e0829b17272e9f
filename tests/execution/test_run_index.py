"""Where a run stands in a store, and from where it goes on."""

import pytest

from tflottery.components.runs import State
from tflottery.execution import run_index
from tflottery.execution.run_index import RunIndex
from tflottery.store import leftovers


@pytest.fixture
def run(make_study):
    return make_study().trunk(1)


@pytest.fixture
def checkpoint(store):
    def write(run, iteration, *, files=("weights.safetensors", "slots.safetensors")):
        address = run_index.checkpoint_address(run, iteration)
        with store.writing(address, {}) as folder:
            for name in files:
                (folder / name).write_text("x")
        return address

    return write


def segments(store, run, *iterations):
    states = [State(run, iteration) for iteration in iterations]
    return [
        (found.first, found.start, [state.iteration for state in found.states])
        for found in RunIndex(store).segments(run, states)
    ]


def test_a_new_run_is_one_stretch_from_its_beginning(store, run):
    assert segments(store, run, 0, 20, 50) == [(0, None, [0, 20, 50])]


def test_a_branch_begins_at_its_k(store, make_study):
    study = make_study()
    run = study.branch(
        study.trunk_state(1, 10), rewind_iteration=10, replicate=1, data_order=1
    )
    assert segments(store, run, 50) == [(10, None, [50])]


def test_the_nearest_state_keeps_slots_is_gone_on_from(store, run, put):
    put(State(run, 10, keeps_slots=True), State(run, 20, keeps_slots=True))
    near = State(run, 20).address
    assert segments(store, run, 30, 50) == [(20, near, [30, 50])]


def test_states_without_slots_are_no_start(store, run, put):
    put(State(run, 10, keeps_slots=True), State(run, 20))
    start = State(run, 10).address
    assert segments(store, run, 50) == [(10, start, [50])]


def test_a_checkpoint_is_a_start(store, run, put, checkpoint):
    put(State(run, 10, keeps_slots=True))
    address = checkpoint(run, 35)
    assert segments(store, run, 20, 50) == [
        (10, State(run, 10).address, [20]),
        (35, address, [50]),
    ]


def test_a_checkpoint_of_another_run_is_none(store, run, make_study, checkpoint):
    checkpoint(make_study().trunk(2), 35)
    assert segments(store, run, 50) == [(0, None, [50])]


def test_a_state_is_made_from_a_checkpoint_at_its_own_iteration(store, run, checkpoint):
    address = checkpoint(run, 50)
    assert segments(store, run, 50) == [(50, address, [50])]


def test_states_on_both_sides_of_a_start_are_two_stretches(store, run, put):
    put(State(run, 20, keeps_slots=True))
    assert segments(store, run, 5, 10, 30, 40) == [
        (0, None, [5, 10]),
        (20, State(run, 20).address, [30, 40]),
    ]


@pytest.mark.parametrize(
    ("there", "wanted", "kept"),
    [
        ([], [0, 20, 50], [50]),
        ([20], [10, 30, 50], [50]),
        # Whoever trains for longer goes on from 60, which is there.
        ([60], [10, 30, 50], []),
        ([20, 60], [30, 70], [70]),
    ],
)
def test_the_newest_state_keeps_its_slots(store, run, put, there, wanted, kept):
    put(*(State(run, iteration, keeps_slots=True) for iteration in there))
    states = [State(run, iteration) for iteration in wanted]
    found = RunIndex(store).segments(run, states)
    made = [state for segment in found for state in segment.states]
    assert [state.iteration for state in made] == wanted
    assert [state.iteration for state in made if state.has_slots] == kept


def test_the_state_of_a_checkpoint_keeps_its_slots(store, run, checkpoint):
    checkpoint(run, 50)
    [segment] = RunIndex(store).segments(run, [State(run, 50)])
    assert segment.states[0].has_slots


@pytest.mark.parametrize(
    ("with_slots", "left"),
    [([], [40]), ([10], [40]), ([30], [40]), ([40], []), ([50], [])],
)
def test_the_newest_checkpoint_stays_until_a_state_has_slots(
    store, run, put, checkpoint, with_slots, left
):
    put(*(State(run, iteration, keeps_slots=True) for iteration in with_slots))
    put(State(run, 60))
    addresses = {iteration: checkpoint(run, iteration) for iteration in (20, 40)}
    gone = leftovers.superseded(store, run.key)
    assert [one for one in addresses if addresses[one] not in gone] == left


def test_a_divergence_is_found_and_is_no_start(store, run):
    assert RunIndex(store).diverged(run) is None
    address = run_index.divergence_address(run)
    with store.writing(address, {"iteration": 7}) as folder:
        (folder / "slots.safetensors").write_text("x")
    assert RunIndex(store).diverged(run) == 7
    assert segments(store, run, 50) == [(0, None, [50])]


def test_what_a_state_needs_depends_on_where_its_run_can_go_on(
    store, make_study, put, checkpoint
):
    study = make_study()
    begun = study.trunk_state(1, 10)
    run = study.branch(begun, rewind_iteration=10, replicate=1, data_order=1)
    state = State(run, 50)
    assert RunIndex(store).needed(state) == (begun,)
    checkpoint(run, 35)
    assert RunIndex(store).needed(state) == ()
    assert RunIndex(store).needed(State(run, 30)) == (begun,)


def test_junk_beside_states_is_no_start(store, run, put, checkpoint):
    put(State(run, 10, needs_slots=True))
    start = State(run, 10).address
    for junk in ("abc", "35/deeper", "1e3"):
        with store.writing(f"checkpoints/{run.key}/{junk}", {}) as folder:
            (folder / "slots.safetensors").write_text("x")
    for listed in (False, True):
        [segment] = RunIndex(store, listed=listed).segments(run, [State(run, 50)])
        assert (segment.first, segment.start) == (10, start)
    assert run_index.checkpoints(run, store) == {}


def test_a_listed_store_says_what_the_folders_say(store, make_study, put, checkpoint):
    study = make_study()
    run = study.trunk(1)
    put(State(run, 10, needs_slots=True), State(run, 20))
    checkpoint(run, 35)
    with store.writing(run_index.divergence_address(run), {"iteration": 40}):
        pass
    wanted = [State(run, 10), State(run, 20), State(run, 20, needs_slots=True)]
    wanted += [State(run, 30), State(study.trunk(2), 10)]
    for listed in (False, True):
        index = RunIndex(store, listed=listed)
        assert [index.has(state) for state in wanted] == [True, True, *[False] * 3]
        assert (index.diverged(run), index.diverged(study.trunk(2))) == (40, None)
        [segment] = index.segments(run, [State(run, 50)])
        assert segment.first == 35
