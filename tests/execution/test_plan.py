"""What a plan asks for, against numbers worked out by hand."""

import dataclasses

import pytest

from tflottery.components.accuracies import Accuracy
from tflottery.components.runs import State
from tflottery.core import fingerprints
from tflottery.execution.jobs import Advance, Make
from tflottery.execution.plan import plan_of
from tflottery.execution.run_index import absence_address, divergence_address
from tflottery.experiments import instability
from tflottery.studies.subnetworks import Subnetwork, Subnetworks


def study_plan(study, store):
    goals = instability.plan(study)
    return plan_of(goals, store, facts={study.facts.network: study.facts})


def trunk(study, k, replicate=1):
    return study.trunk_state(replicate, k)


def end(study, k, data_order, *, replicate=1, iteration=None):
    run = study.branch(
        trunk(study, k, replicate),
        rewind_iteration=k,
        replicate=replicate,
        data_order=data_order,
    )
    return State(run, iteration or study.last)


def diverge(store, run, iteration):
    with store.writing(divergence_address(run), {"iteration": iteration}):
        pass


def test_numbers_of_a_small_case(make_study, store):
    study = make_study(replicates=2, data_orders=3)
    made = study_plan(study, store)
    # A replicate: a trunk of 10, three copies of 100 from 0 and three of 90 from 10.
    assert made.num_runs == 2 * (1 + 3 + 3)
    assert made.num_iterations == 2 * (10 + 3 * 100 + 3 * 90)
    assert made.num_stored == 0
    # Alone, a pair trains 100 twice, or 10 and then 90 twice.
    alone = 2 * (3 * 2 * 100 + 3 * (10 + 2 * 90))
    assert made.num_shared == alone - made.num_iterations
    jobs = [step.job for step in made.steps]
    assert sum(isinstance(job, Advance) for job in jobs) == 14
    assert sum(isinstance(job, Make) for job in jobs) == 2 * 6
    weights = 4 * 50_610
    # Adam's two slots a weight, which trunks keep at both k and copies at their ends.
    states = 2 * 2 * 3 * weights + 2 * 6 * 3 * weights
    assert made.num_bytes == states + 12 * 4096
    assert made.num_slots_bytes == 2 * 6 * 2 * weights
    update = 3 * 60 * 100_000
    line = 30 * (1437 + 360) * 100_000
    assert made.flops == made.num_iterations * update + 12 * line


def test_inputs_come_before_what_is_made_from_them(make_study, store):
    sparse = {"subnetworks": ("dense", "imp", "random_pruning"), "levels": ("1-2",)}
    made = study_plan(make_study(replicates=2, **sparse), store)
    done = set()
    for step in made.steps:
        assert step.needs <= done
        done |= set(step.makes)


def test_copies_of_a_replicate_share_their_trunk(make_study, store):
    study = make_study(data_orders=3)
    steps = study_plan(study, store).steps
    trunks = [step for step in steps if trunk(study, 10).address in step.makes]
    assert len(trunks) == 1
    assert set(trunks[0].makes) == {
        trunk(study, 0).address,
        trunk(study, 10).address,
    }
    waiting = [step for step in steps if trunk(study, 10).address in step.needs]
    assert len(waiting) == 3


def test_what_the_store_has_is_not_asked_for(make_study, store, put):
    study = make_study()
    put(trunk(study, 0), trunk(study, 10), end(study, 0, 1), end(study, 10, 1))
    made = study_plan(study, store)
    assert made.num_iterations == 100 + 90
    assert made.num_stored == 10 + 100 + 90
    assert not any(trunk(study, 10).address in step.makes for step in made.steps)


def test_nothing_is_left_once_the_lines_are_there(make_study, store, put):
    study = make_study()
    put(*instability.plan(study))
    made = study_plan(study, store)
    assert made.steps == ()
    assert (made.num_iterations, made.num_stored) == (0, 10 + 2 * 100 + 2 * 90)
    assert made.num_bytes == 0


def test_measuring_a_run_at_many_iterations_shares_nothing(make_study, store):
    study = make_study()
    goals = [Accuracy(State(study.trunk(1), iteration)) for iteration in (2, 5, 9)]
    made = plan_of(goals, store, facts={study.facts.network: study.facts})
    assert (made.num_iterations, made.num_shared) == (9, 0)


def test_more_data_orders_train_only_the_new_ones(make_study, store, put):
    small, large = make_study(), make_study(data_orders=3)
    put(trunk(small, 0), trunk(small, 10))
    put(*(end(small, k, order) for k in (0, 10) for order in (1, 2)))
    put(*instability.plan(small))
    made = study_plan(large, store)
    assert made.num_iterations == 100 + 90
    lines = [step for step in made.steps if isinstance(step.job, Make)]
    assert len(lines) == 2 * 3 - 2


def test_another_grid_goes_on_from_the_trunk(make_study, store, put):
    study = make_study(rewind_iterations=(0, 30))
    put(trunk(study, 0), trunk(study, 10))
    made = study_plan(study, store)
    assert made.num_iterations == (30 - 10) + 2 * 100 + 2 * 70
    [step] = [one for one in made.steps if trunk(study, 30).address in one.makes]
    assert step.num_iterations == 20
    assert step.needs == frozenset()


def test_a_trunk_state_before_those_in_store_is_made_from_the_beginning(
    make_study, store, put
):
    study = make_study(rewind_iterations=(5, 20))
    put(trunk(study, 10))
    [step] = [
        one
        for one in study_plan(study, store).steps
        if trunk(study, 5).address in one.makes
    ]
    # 0 to 5 anew, and 10 to 20 from the store.
    assert step.num_iterations == 5 + 10


def test_lengths_without_milestones_share_their_runs(make_study, store, put):
    short, long = make_study(), make_study(training_iterations=2000)
    assert end(short, 10, 1).run.key == end(long, 10, 1).run.key
    assert trunk(short, 10).key == trunk(long, 10).key
    goals = instability.plan(short) + instability.plan(long)
    made = plan_of(goals, store, facts={short.facts.network: short.facts})
    # Together they cost what the long one costs alone.
    assert made.num_iterations == study_plan(long, store).num_iterations
    put(trunk(short, 0), trunk(short, 10))
    assert study_plan(long, store).num_iterations == 2 * 2000 + 2 * 1990


def test_a_shortened_schedule_with_milestones_is_another_run(make_study):
    whole = make_study(milestones=(40, 80))
    same = make_study(milestones=(40, 80), training_iterations=200)
    shortened = make_study(milestones=(20, 40), training_iterations=50)
    assert trunk(whole, 10).key == trunk(same, 10).key
    assert trunk(whole, 10).key != trunk(shortened, 10).key
    assert trunk(whole, 10).key != trunk(make_study(), 10).key


def test_a_state_wanted_with_and_without_slots_is_made_once_with_them(
    make_study, store
):
    study = make_study()
    bare = dataclasses.replace(trunk(study, 10), keeps_slots=False)
    for goals in ([bare, trunk(study, 10)], [trunk(study, 10), bare]):
        made = plan_of(goals, store, facts={study.facts.network: study.facts})
        [step] = made.steps
        assert step.job.states == (trunk(study, 10),)
        assert step.job.states[0].keeps_slots


def test_a_state_without_slots_is_made_again_only_where_they_are_carried(
    make_study, store, put
):
    bare = dataclasses.replace(trunk(make_study(), 10), keeps_slots=False)
    put(bare, trunk(make_study(), 0))
    copies = 2 * (100 + 90)
    assert study_plan(make_study(), store).num_iterations == copies
    carried = make_study(optimizer_state="carried")
    made = study_plan(carried, store)
    assert made.num_iterations == copies + 10
    # Whoever wants it as well, it is made once.
    goals = [bare, *instability.plan(carried), bare]
    again = plan_of(goals, store, facts={carried.facts.network: carried.facts})
    assert again.num_iterations == made.num_iterations
    [step] = [one for one in again.steps if bare.address in one.makes]
    assert step.job.states[-1].needs_slots


def test_the_newest_state_of_a_run_keeps_slots_and_the_plan_says_what_that_costs(
    make_study, store, put
):
    study = make_study()
    run = study.trunk(1)
    states = [State(run, iteration) for iteration in (5, 20, 30)]
    facts = {study.facts.network: study.facts}
    made = plan_of(states, store, facts=facts)
    weights = 4 * 50_610
    assert [state.has_slots for state in made.steps[0].job.states] == [0, 0, 1]
    assert (made.num_bytes, made.num_slots_bytes) == (5 * weights, 2 * weights)
    # Once a later state has them, an earlier one needs none.
    put(State(run, 40, keeps_slots=True))
    made = plan_of(states, store, facts=facts)
    assert (made.num_bytes, made.num_slots_bytes) == (3 * weights, 0)


@pytest.fixture
def looks(store, monkeypatch):
    """What a store is asked for, in order: names of its methods."""
    asked = []
    for name in ("manifest", "stamps", "listing"):
        method = getattr(store._backend, name)

        def noted(*arguments, name=name, method=method):
            asked.append(name)
            return method(*arguments)

        monkeypatch.setattr(store._backend, name, noted)
    return asked


def test_a_large_plan_lists_the_store_once_and_opens_nothing(
    toys, store, put, looks, monkeypatch
):
    goals = [toys.Sum(toys.Number(n), toys.Number(n + 1)) for n in range(1500)]
    put(*goals[:20], *(toys.Number(n) for n in range(700, 720)))
    looks.clear()
    made = plan_of(goals, store, facts={})
    assert looks == ["listing"]
    # 0 to 19 are done; of the numbers from 20 to 1500 twenty are there.
    assert len(made.steps) == (1500 - 20) + (1481 - 20)


def test_a_small_plan_does_not_list_a_large_store(toys, store, put, looks):
    goal = toys.Sum(toys.Number(1), toys.Number(2))
    put(toys.Number(1))
    listing, listed = store._backend.listing, []
    store._backend.listing = lambda prefix: listed.append(prefix) or listing(prefix)
    assert len(plan_of([goal], store, facts={}).steps) == 2
    expected = {one.address for one in (goal, goal.a, goal.b)}
    # Of what is missing, also whether it is known not to exist.
    assert set(listed) == expected | set(map(absence_address, (goal, goal.b)))


def test_a_run_that_can_go_on_needs_not_what_it_began_from(make_study, store, put):
    study = make_study(rewind_iterations=(10,))
    put(dataclasses.replace(end(study, 10, 1, iteration=50), needs_slots=True))
    goals = [end(study, 10, 1)]
    made = plan_of(goals, store, facts={study.facts.network: study.facts})
    # The trunk, which is gone, is not trained for it.
    assert [step.num_iterations for step in made.steps] == [50]


def test_each_derivation_is_hashed_once(make_study, store, monkeypatch):
    study = make_study(replicates=2, data_orders=3)
    goals = instability.plan(study)
    hashed, digest = [], fingerprints.digest
    monkeypatch.setattr(
        fingerprints, "digest", lambda *a, **b: hashed.append(a) or digest(*a, **b)
    )
    plan_of(goals, store, facts={study.facts.network: study.facts})
    # Trunks and copies, their ends, and lines: 14 runs, 12 ends, 4 trunk states.
    assert len(hashed) <= 14 + 12 + 4 + 12


def test_what_goals_take_alone_is_counted_as_one_by_one(make_study, store):
    study = make_study(replicates=2, data_orders=3, throughout=True)
    sparse = Subnetworks(study)
    goals = [*instability.plan(study), trunk(study, 10), end(study, 10, 1)]
    for level in (1, 3):
        which = Subnetwork(kind="imp", level=level, replicate=1, rewind_iteration=10)
        run = sparse.run(which, data_order=1)
        goals += [sparse.mask(which), Accuracy(State(run, 100))]
    facts = {study.facts.network: study.facts}
    alone = {}
    for goal in goals:
        made = plan_of([goal], store, facts=facts)
        names = frozenset(step.job.name for step in made.steps if step.num_iterations)
        alone[names] = max(alone.get(names, 0), made.num_iterations)
    together = plan_of(goals, store, facts=facts)
    assert together.num_shared == sum(alone.values()) - together.num_iterations


def test_a_diverged_copy_takes_only_its_own_pairs_along(make_study, store):
    study = make_study(data_orders=3, rewind_iterations=(10,))
    diverge(store, end(study, 10, 2).run, 40)
    made = study_plan(study, store)
    lines = instability.plan(study)
    # Pairs in order: (1, 2), (1, 3), (2, 3).
    assert dict(made.unobtainable) == {
        end(study, 10, 2).address: 40,
        lines[0].address: 40,
        lines[2].address: 40,
    }
    makes = {address for step in made.steps for address in step.makes}
    assert lines[1].address in makes
    assert not makes & made.unobtainable.keys()


def test_a_diverged_trunk_takes_along_what_leaves_it_later(make_study, store, put):
    study = make_study()
    put(trunk(study, 0))
    diverge(store, study.trunk(1), 7)
    made = study_plan(study, store)
    lines = instability.plan(study)
    assert lines[1].address in made.unobtainable
    assert lines[0].address not in made.unobtainable
    assert set(made.unobtainable.values()) == {7}
    assert made.num_iterations == 2 * 100


def test_iterations_before_a_divergence_are_still_made(make_study, store):
    study = make_study(
        throughout=True, rewind_iterations=(0,), batch_size=50, training_iterations=60
    )
    run = end(study, 0, 1).run
    diverge(store, run, 40)
    made = study_plan(study, store)
    makes = {address for step in made.steps for address in step.makes}
    # Epochs of 1,437 images in batches of 50 end at 29 and 58.
    assert State(run, 29).address in makes
    assert State(run, 58).address in made.unobtainable


def test_a_state_exactly_at_the_divergence_cannot_be_made(make_study, store):
    study = make_study()
    run = study.trunk(1)
    diverge(store, run, 40)
    goals = [State(run, iteration) for iteration in (39, 40, 41)]
    made = plan_of(goals, store, facts={study.facts.network: study.facts})
    assert dict(made.unobtainable) == {goals[1].address: 40, goals[2].address: 40}
    assert [step.makes for step in made.steps] == [(goals[0].address,)]


def test_a_sparse_run_needs_its_masks_when_it_goes_on(make_study, store, put, toys):
    study = make_study()
    mask, initial = toys.Number(1), trunk(study, 10)
    run = study.branch(
        initial, rewind_iteration=10, replicate=1, data_order=1, mask=mask
    )
    facts = {study.facts.network: study.facts}

    def needs():
        steps = plan_of([State(run, 50)], store, facts=facts).steps
        [step] = [one for one in steps if State(run, 50).address in one.makes]
        return step.needs

    assert needs() == {initial.address, mask.address}
    put(State(run, 20, keeps_slots=True))
    assert needs() == {mask.address}


def test_pairs_throughout_training_cost_no_more_training(make_study, store):
    plain = study_plan(make_study(), store)
    throughout = study_plan(make_study(throughout=True), store)
    assert throughout.num_iterations == plain.num_iterations
    assert len(throughout.steps) > len(plain.steps)


def chains_of(goals, store):
    """Returns what each toy costs with all that follows it, by the toy's name."""
    made = plan_of(goals, store, facts={})
    names = {step.job.name: step.job.component.name for step in made.steps}
    return {names[job]: cost for job, cost in made.chains().items()}


def test_a_chain_is_a_step_with_all_that_follows_it(toys, store):
    first = toys.Costly("first", 1)
    second = toys.Costly("second", 10, first)
    third = toys.Costly("third", 100, second)
    apart = toys.Costly("apart", 7)
    assert chains_of([third, apart], store) == {
        "first": 111,
        "second": 110,
        "third": 100,
        "apart": 7,
    }


def test_the_costlier_side_of_a_diamond_counts(toys, store):
    top = toys.Costly("top", 1)
    cheap, dear = toys.Costly("cheap", 2, top), toys.Costly("dear", 5, top)
    bottom = toys.Costly("bottom", 10, cheap, dear)
    for goals in ([bottom], [dear, cheap, bottom], [top, bottom]):
        found = chains_of(goals, store)
        assert found == {"top": 16, "cheap": 12, "dear": 15, "bottom": 10}


def test_of_several_that_wait_the_costliest_chain_counts(toys, store):
    root = toys.Costly("root", 1)
    # Dear by itself, and cheap with something dear behind it.
    dear, cheap = toys.Costly("dear", 20, root), toys.Costly("cheap", 2, root)
    behind = toys.Costly("behind", 30, cheap)
    waiting = [toys.Costly(f"waiting {n}", n, root) for n in range(5)]
    found = chains_of([dear, *waiting, behind], store)
    assert found["root"] == 1 + 2 + 30
    assert (found["cheap"], found["dear"], found["waiting 4"]) == (32, 20, 4)


def test_a_chain_holds_only_what_is_missing(toys, store, put):
    first = toys.Costly("first", 1)
    second = toys.Costly("second", 10, first)
    third = toys.Costly("third", 100, second)
    put(first)
    assert chains_of([third], store) == {"second": 110, "third": 100}
    put(second, third)
    assert chains_of([third], store) == {}


def test_what_waits_for_one_of_several_states_is_behind_their_run(make_study, store):
    study = make_study()
    chains = study_plan(study, store).chains()
    update, line = 3 * 60 * 100_000, 30 * (1437 + 360) * 100_000
    # The trunk of 10 makes the states at 0 and at 10; from 0 copies take 100.
    assert chains[f"runs/{study.trunk(1).key}"] == (10 + 100) * update + line
    assert chains[f"runs/{end(study, 0, 1).run.key}"] == 100 * update + line
    assert chains[f"runs/{end(study, 10, 2).run.key}"] == 90 * update + line


def test_a_long_row_of_steps_is_no_deep_recursion(toys, store):
    last = toys.Costly("0", 1)
    for number in range(1, 3000):
        last = toys.Costly(str(number), 1, last)
        # Keys nest too: each is worked out from the one before.
        assert last.key
    chains = plan_of([last], store, facts={}).chains()
    assert sorted(chains.values()) == list(range(1, 3001))
