"""What commands cost from an empty store: each alone, and several as one plan.

A plan is made for each command, and no second one for several together: from an empty
store a run is trained in one piece, so that of all plans the one that follows it
furthest has all its updates.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

from tflottery.components.metadata import Facts
from tflottery.core.files import readable_size
from tflottery.core.identities import Network
from tflottery.execution.plan import Plan, Step
from tflottery.plan import device_time
from tflottery.plan.device_time import DeviceTime, readable

HEAD = (
    f"{'runs':>8} {'updates':>14} {'disk':>9} {'a core':>11} {'decoding':>11} "
    f"{'a GPU':>11} {'a v5e chip':>11}"
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What commands ask for, from an empty store.

    Attributes:
      num_runs: distinct trainings.
      num_iterations: updates.
      num_bytes: of the store in the end, if nothing is cleaned away.
      time: by kind of device.
    """

    num_runs: int
    num_iterations: int
    num_bytes: int
    time: DeviceTime

    @property
    def line(self) -> str:
        """Its numbers, in columns, as `HEAD` names them."""
        time = self.time
        return (
            f"{self.num_runs:8,} {self.num_iterations:14,} "
            f"{readable_size(self.num_bytes):>9} {readable(time.core_hours):>11} "
            f"{readable(time.decoding_hours) if time.decoding_hours else '':>11} "
            f"{readable(time.gpu_hours):>11} {readable(time.tpu_hours):>11}"
        )


class StepCost(NamedTuple):
    """What a step costs, for one command or for several that want it.

    Attributes:
      trains: whether it trains a run.
      num_iterations: updates.
      time: by kind of device.
      wanted_bytes: of what it makes, by address, without what is kept only to train
        for longer.
      end_bytes: of the last of these, with that.
    """

    trains: bool
    num_iterations: int
    time: DeviceTime
    wanted_bytes: Mapping[str, int]
    end_bytes: int

    def together(self, other: Self) -> Self:
        """Returns what the same step costs for two."""
        if self.wanted_bytes == other.wanted_bytes:
            return self
        longer = max(self, other, key=lambda one: one.num_iterations)
        # One may want a state with optimizer slots that another wants without.
        wanted = dict(self.wanted_bytes)
        for address, size in other.wanted_bytes.items():
            wanted[address] = max(size, wanted.get(address, 0))
        return longer._replace(wanted_bytes=wanted)

    @property
    def num_bytes(self) -> int:
        """Of all that it makes."""
        last = self.wanted_bytes[max(self.wanted_bytes)]
        return sum(self.wanted_bytes.values()) - last + self.end_bytes


Costs = dict[str, StepCost]


def costs_of(plan: Plan, facts: Mapping[Network, Facts]) -> Costs:
    """Returns what each step of a plan costs, by the name of its job.

    Args:
      plan: from an empty store.
      facts: of every network that takes part.
    """
    return {step.job.name: _cost_of(step, plan, facts) for step in plan.steps}


def add(costs: Costs, to: Costs) -> None:
    """Adds what steps of a plan cost to what steps of others do. Changes: `to`."""
    for name, cost in costs.items():
        known = to.get(name)
        to[name] = cost if known is None else known.together(cost)


def total(costs: Iterable[StepCost]) -> Cost:
    """Returns what steps cost in all."""
    costs = list(costs)
    return Cost(
        sum(one.trains for one in costs),
        sum(one.num_iterations for one in costs),
        sum(one.num_bytes for one in costs),
        device_time.total(one.time for one in costs),
    )


def _cost_of(step: Step, plan: Plan, facts: Mapping[Network, Facts]) -> StepCost:
    """Returns what a step of a plan costs."""
    wanted = {one: plan.wanted[one].num_bytes(facts) for one in step.makes}
    return StepCost(
        step.trains,
        step.num_iterations,
        device_time.of_step(step, facts),
        wanted,
        step.artifacts[-1].num_bytes(facts),
    )
