"""The whole column of a network: every distinct run is trained exactly once."""

import pytest

from tflottery.execution.plan import plan_of
from tflottery.experiments import instability, lottery
from tflottery.store.store import Store
from tflottery.studies.subnetworks import DENSE, IMP, RANDOM_PRUNING, RANDOM_REINIT

# Updates of one replicate: a run takes 24 from k = 0 and 16 from k = 8.
#   lottery: the trunk, two levels of IMP at both k and of two controls at 0
_LOTTERY = 24 + 2 * (24 + 16) + 2 * 2 * 24
#   its last level: IMP lacks a second copy, the controls one at 0 and both at 8
_NEW = {IMP: 24 + 16, RANDOM_PRUNING: 24 + 2 * 16, RANDOM_REINIT: 24 + 2 * 16}
#   and two copies of the dense network
_NEW |= {DENSE: 2 * (24 + 16)}
_TOTAL = _LOTTERY + sum(_NEW.values())
_RUNS = (1 + 4 + 4) + (2 + 3 + 3 + 4)


def options_of(kind):
    levels = {} if kind == DENSE else {"levels": ("2",)}
    return {"subnetworks": (kind,)} | levels


@pytest.fixture
def column(execute):
    """Runs the commands of a column in one store, in the order given."""

    def run(names, *, store):
        ended = {}
        for name in names:
            output = f"{store}-{name}"
            ended[name] = (
                execute(lottery, store=store, output=output, replicates=1)
                if name == "lottery"
                else execute(store=store, output=output, **options_of(name))
            )
            assert ended[name].code == 0
        return ended

    return run


def updates(trainings):
    return sum(last - first for first, last in trainings)


def test_the_plan_of_all_commands_counts_each_run_once(study_of, facts, tmp_path):
    studies = [(lottery, study_of(lottery, replicates=1))]
    studies += [
        (instability, study_of(instability, **options_of(kind))) for kind in _NEW
    ]
    networks = {facts.network: facts}
    goals = [goal for module, study in studies for goal in module.plan(study)]
    together = plan_of(goals, Store(tmp_path), facts=networks)
    assert (together.num_iterations, together.num_runs) == (_TOTAL, _RUNS)
    apart = [
        plan_of(module.plan(study), Store(tmp_path), facts=networks)
        for module, study in studies
    ]
    assert sum(one.num_iterations for one in apart) > 1.5 * _TOTAL
    # Each goal for itself, as scripts that keep nothing would train; what is measured
    # of the same runs is of one script.
    alone = {
        frozenset(step.job.name for step in one.steps if step.num_iterations): one
        for one in (plan_of([goal], Store(tmp_path), facts=networks) for goal in goals)
    }
    alone = sum(one.num_iterations for one in alone.values())
    assert together.num_shared == alone - _TOTAL > _TOTAL


def test_every_run_of_a_column_is_trained_once(column, trainings):
    ended = column(["lottery"], store="store")
    assert updates(trainings) == _LOTTERY
    assert f"{_LOTTERY:,} to make, 0 in the store" in ended["lottery"].text
    for kind, new in _NEW.items():
        before = updates(trainings)
        ended |= column([kind], store="store")
        assert f"iterations  {new:,} to make" in ended[kind].text
        assert updates(trainings) - before == new
    assert updates(trainings) == _TOTAL and len(trainings) == _RUNS
    csvs = {name: one.csvs for name, one in ended.items()}
    trainings.clear()
    again = column(csvs, store="store")
    assert trainings == []
    assert {name: one.csvs for name, one in again.items()} == csvs


@pytest.mark.slow
def test_the_order_of_the_commands_does_not_matter(column, trainings):
    names = ["lottery", *_NEW]
    one = column(names, store="one")
    trainings.clear()
    other = column(names[::-1], store="other")
    # The trunk alone is made in two pieces: to 8, and then to its end.
    assert (updates(trainings), len(trainings)) == (_TOTAL, _RUNS + 1)
    for name in names:
        assert one[name].csvs == other[name].csvs
