"""One experiment from its options to its results.

Config -> Study -> plan -> executor -> rows -> tables and figure. One direction, and no
experiment knows of any of it.
"""

import contextlib
import dataclasses
import shlex
import sys
import types
from collections.abc import Iterator, Sequence

from tflottery.core import registry
from tflottery.execution.leader import Leader
from tflottery.execution.log import Log
from tflottery.execution.outcome import Outcome
from tflottery.studies import endings
from tflottery.studies.config import Config, validated_members
from tflottery.studies.machine import Machine
from tflottery.studies.output import LOG_FILE, Output, validate_folder
from tflottery.studies.planned_work import (
    PlannedWork,
    asking,
    networks_of,
    remarks,
    workers_of,
)
from tflottery.studies.study import Study, study_of
from tflottery.studies.tabulation import Tabulation
from tflottery.studies.tensorboard import Board


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared(PlannedWork):
    """What an experiment asks for, and what it is made with.

    Attributes:
      module: the experiment.
      studies: those of its Config.
      output: where its tables go.
    """

    module: types.ModuleType
    studies: Sequence[Study]
    output: Output


@dataclasses.dataclass(frozen=True)
class Ending:
    """How an experiment ended.

    Attributes:
      code: the exit code of its command.
      outcome: what was made, and what was not.
      output: where the tables are.
      written: whether they are there.
    """

    code: int
    outcome: Outcome
    output: Output
    written: bool


def execute(module: types.ModuleType, config: Config, *, machine: Machine) -> int:
    """Makes an experiment's results, as its command.

    Args:
      module: the experiment.
      config: its options.
      machine: where and how.

    Returns:
      The exit code, as `endings` has them.

    Raises:
      ValueError: an option is wrong; nothing was trained.
      StoreError: the store cannot be used or has too little room.
    """
    ending = carry_out(module, config, machine=machine, command=own_command())
    return ending.code if ending is not None else 0


def carry_out(
    module: types.ModuleType,
    config: Config,
    *,
    machine: Machine,
    command: str,
    leader: Leader | None = None,
) -> Ending | None:
    """Makes an experiment's results; returns how that ended, None of a dry run.

    Args:
      module: the experiment.
      config: its options.
      machine: where and how.
      command: the command line that makes the same; told after a stop.
      leader: of hosts that train together, where this one is their chief.

    Raises:
      ValueError: an option is wrong; nothing was trained.
      StoreError: the store cannot be used or has too little room.
    """
    log = Log()
    log.keep(command)
    with contextlib.ExitStack() as until_the_end:
        with prepared(module, config, machine=machine, leader=leader) as ready:
            log.say(summary(ready))
            if machine.dry_run:
                return None
            until_the_end.enter_context(ready.claimed(log.say))
            ready.output.claim()
            until_the_end.enter_context(ready.output.at_work())
            log.keep_in(ready.output.folder / LOG_FILE)
            outcome, tabulation = _carried_out(ready, machine, log)
        # What is known is told and written without workers.
        written = endings.finish(outcome, tabulation, ready.output, log)
        code = endings.exit_code(
            outcome,
            log,
            written=written,
            stop_code=ready.stop.exit_code,
            command=command,
        )
    return Ending(code, outcome, ready.output, written)


def _carried_out(
    ready: Prepared, machine: Machine, log: Log
) -> tuple[Outcome, Tabulation]:
    """Makes all that is left to do; returns how that ended, and what makes tables."""
    board = Board(machine.tensorboard, log=log)
    tabulation = Tabulation(
        ready.module,
        ready.studies,
        goals=ready.goals,
        store=ready.store,
        output=ready.output,
        log=log,
        board=board,
    )
    outcome = ready.made(
        tabulation.collect,
        keeping_up=lambda executor: tabulation.kept_up(
            lambda: executor.outcome.unobtainable
        ),
        log=log,
        observe=board.show_training,
    )
    return outcome, tabulation


@contextlib.contextmanager
def prepared(
    module: types.ModuleType,
    config: Config,
    *,
    machine: Machine,
    leader: Leader | None = None,
) -> Iterator[Prepared]:
    """Gives what an experiment asks for to a block, with workers that end with it.

    Args:
      module: the experiment.
      config: its options.
      machine: where and how.
      leader: of hosts that train together, where this one is their chief.

    Raises:
      ValueError: an option is wrong.
      StoreError: the store cannot be used.
    """
    # What needs no worker is refused first.
    registry.load_plugins(machine.plugins, named_by="--plugins")
    configs = validated_members(module, config)
    machine.validate()
    validate_folder(machine.output_dir)
    with workers_of(machine, leader=leader) as workers:
        facts_of = asking(workers.pool, workers.stop)
        studies = [study_of(one, facts_of, workers.placement) for one in configs]
        output = Output(module, *studies, folder=machine.output_dir)
        goals = [goal for study in studies for goal in module.plan(study)]
        yield Prepared.of(
            machine,
            workers,
            goals,
            networks_of(studies),
            module=module,
            studies=studies,
            output=output,
        )


def summary(ready: Prepared) -> str:
    """Returns what is left to do and what that costs, in a few lines for people."""
    titles = (title(ready.module, study) for study in ready.studies)
    return ready.summary("\n".join([*titles, *remarks(ready.studies, ready.placement)]))


def title(module: types.ModuleType, study: Study) -> str:
    """Returns a line on a study, with what the experiment has to say of it."""
    if not hasattr(module, "subject"):
        return study.title
    return f"{study.title}; {module.subject(study)}"


def own_command() -> str:
    """Returns the command line of this program."""
    spec = sys.modules["__main__"].__spec__
    program = ["python", sys.argv[0]]
    if spec:
        program = ["python", "-m", spec.name.removesuffix(".__main__")]
    return shlex.join([*program, *sys.argv[1:]])
