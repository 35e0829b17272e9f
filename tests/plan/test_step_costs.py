"""Commands together cost what one plan of all that they ask for costs."""

import pytest

from tflottery.components.accuracies import Accuracy
from tflottery.components.runs import State
from tflottery.core.recipes import Setting
from tflottery.execution.plan import plan_of
from tflottery.plan import commands, device_time, known_data, step_costs
from tflottery.store.store import Store

_COMMAND = (
    "instability --model=lenet --dataset=mnist --replicates=2 --data_orders=2 "
    "--rewind_iterations=0,10 --training_iterations=100"
)


def test_steps_together_cost_what_one_plan_of_all_costs(tmp_path):
    command = commands.parsed(_COMMAND)
    known = known_data.facts_of("lenet", Setting("mnist"))
    (study,) = command.studies({("lenet", Setting("mnist")): known})
    facts, trunk = {study.facts.network: known}, study.trunk(1)
    asked = [
        command.goals([study]),
        # Of a run that another follows further, its newest state with slots; and the
        # same state with slots and without.
        [State(trunk, 5), Accuracy(State(trunk, 8))],
        [State(trunk, 5, keeps_slots=True)],
        [State(trunk, 150, needs_slots=True)],
        [State(trunk, 150)],
    ]
    store, together = Store(tmp_path), {}
    for goals in asked:
        alone = plan_of(goals, store, facts=facts)
        each = step_costs.costs_of(alone, facts)
        assert step_costs.total(each.values()).num_bytes == alone.num_bytes
        step_costs.add(each, to=together)
    whole = plan_of([goal for goals in asked for goal in goals], store, facts=facts)
    found = step_costs.total(together.values())
    assert found.num_runs == whole.num_runs
    assert found.num_iterations == whole.num_iterations
    assert found.num_bytes == whole.num_bytes
    assert found.time == pytest.approx(device_time.of_plan(whole, facts))
