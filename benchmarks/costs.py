"""What each command of the README costs: its plan, at rates that were measured.

    python -m benchmarks.costs [README.md ...]

Every command of an experiment in the named pages is planned with an empty store, for
data sets of the papers' sizes, and nothing is trained. `tflottery.plan` says by which
rates, and what of them was measured.
"""

import re
import sys
import tempfile
import types
from collections.abc import Sequence

from tflottery.components.metadata import Facts
from tflottery.core.identities import Network
from tflottery.execution.plan import plan_of
from tflottery.plan import commands, device_time, known_data
from tflottery.plan.device_time import DeviceTime, readable
from tflottery.store.store import Store
from tflottery.studies.config import Config, members_of
from tflottery.studies.study import Study, study_of
from tflottery.training import process
from tflottery.training.distribution import Placement

_COMMAND = re.compile(r"python -m tflottery\.experiments\.(\w+[^`\n|]*)")


def line_of(text: str) -> str:
    """Returns what a command takes from an empty store, in a line.

    Args:
      text: as it is typed behind `python -m tflottery.experiments.`.
    """
    num_iterations, time = cost_of(text)
    return (
        f"{num_iterations:14,} iterations, {readable(time.core_hours)} of a core, "
        f"{readable(time.gpu_hours)} of a GPU  {text}"
    )


def cost_of(text: str) -> tuple[int, DeviceTime]:
    """Returns the iterations that a command makes from an empty store, and its hours.

    Args:
      text: as it is typed behind `python -m tflottery.experiments.`.
    """
    command = commands.parsed(text)
    facts = {one: known_data.facts_of(*one) for one in command.settings()}
    networks = {one.network: one for one in facts.values()}
    with tempfile.TemporaryDirectory() as folder:
        goals = command.goals(command.studies(facts))
        plan = plan_of(goals, Store(folder), facts=networks)
    return plan.num_iterations, device_time.of_plan(plan, networks)


def studies_of(module: types.ModuleType, config: Config) -> list[Study]:
    """Returns the studies of an experiment's Config."""
    return [
        study_of(one, known_data.facts_of, Placement())
        for one in members_of(module, config)
    ]


def networks_of(studies: Sequence[Study]) -> dict[Network, Facts]:
    """Returns the facts of every network that takes part."""
    return {
        one.facts.network: one.facts
        for study in studies
        for one in (study, *study.related.values())
    }


def main() -> None:
    """Prints a line for each command of the pages."""
    process.configure()
    for page in sys.argv[1:] or ["README.md"]:
        with open(page) as file:
            found = dict.fromkeys(_COMMAND.findall(file.read()))
        for text in found:
            print(line_of(text.strip()), flush=True)


if __name__ == "__main__":
    main()
