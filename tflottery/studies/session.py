"""One experiment from its options to its results.

Config -> Study -> plan -> executor -> rows -> tables and figure. One direction, and no
experiment knows of any of it.
"""

import collections
import contextlib
import dataclasses
import functools
import math
import os
import shlex
import sys
import types
from collections.abc import Callable, Iterator, Sequence

from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts
from tflottery.core import command_line, registry
from tflottery.core.identities import Network
from tflottery.core.recipes import Setting
from tflottery.execution import estimate, unobtainable, utilization, work
from tflottery.execution.executor import Executor, Outcome, ask
from tflottery.execution.inline import InlinePool
from tflottery.execution.jobs import Inspect
from tflottery.execution.log import Log
from tflottery.execution.plan import Plan, plan_of
from tflottery.execution.pool import Pool
from tflottery.execution.progress import Progress
from tflottery.execution.stop_request import StopRequest
from tflottery.store.errors import StoreError
from tflottery.store.store import Store
from tflottery.studies import batch_sizes
from tflottery.studies.config import Config, validated_members
from tflottery.studies.machine import Machine, placement_of, pool_of, settled
from tflottery.studies.output import LOG_FILE, Output, OutputError
from tflottery.studies.study import Study, study_of
from tflottery.studies.tabulation import Tabulation
from tflottery.studies.tensorboard import Board
from tflottery.training.distribution import Placement

# Exit code where part of the results is missing; `core.stopping` has those of a stop.
INCOMPLETE = 1
# Exit code where the store took no more on the way: its disk is full, or may not be
# written any more ("input/output error" of sysexits.h). Until that is mended the same
# command would not get on.
STORE_UNUSABLE = os.EX_IOERR
# After a stop, how long what is known is read before the process ends.
_STOP_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What an experiment asks for, and what it is made with.

    Attributes:
      module: the experiment.
      studies: those of its Config.
      output: where its tables go.
      goals: the artifacts that they are read from.
      facts: of every network that takes part.
      todo: what is left to do.
      store: keeps what is made.
      pool: makes it.
      placement: where.
      stop: says whether to stop.
    """

    module: types.ModuleType
    studies: Sequence[Study]
    output: Output
    goals: Sequence[Artifact]
    facts: dict[Network, Facts]
    todo: Plan
    store: Store
    pool: Pool | InlinePool
    placement: Placement
    stop: StopRequest

    @functools.cached_property
    def learned(self) -> dict[str, float]:
        """How long work such as what is left to do took, by the store's manifests."""
        artifacts = (one for step in self.todo.steps for one in step.artifacts)
        # Where such work is told of.
        folders = {artifact.address.split("/")[0] for artifact in artifacts}
        return work.learned(self.store, folders)


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
      The exit code: 0, `INCOMPLETE`, `STORE_UNUSABLE`, that of refused input where
      damaged data were met on the way, or that of a stop.

    Raises:
      ValueError: an option is wrong; nothing was trained.
      StoreError: the store cannot be used or has too little room.
    """
    ending = carry_out(module, config, machine=machine, command=own_command())
    return ending.code if ending is not None else 0


def carry_out(
    module: types.ModuleType, config: Config, *, machine: Machine, command: str
) -> Ending | None:
    """Makes an experiment's results; returns how that ended, None of a dry run.

    Args:
      module: the experiment.
      config: its options.
      machine: where and how.
      command: the command line that makes the same; told after a stop.

    Raises:
      ValueError: an option is wrong; nothing was trained.
      StoreError: the store cannot be used or has too little room.
    """
    log = Log()
    log.keep(command)
    with contextlib.ExitStack() as until_the_end:
        with prepared(module, config, machine=machine) as ready:
            log.say(summary(ready))
            if machine.dry_run:
                return None
            if ready.todo.steps:
                # A store that holds all that is wanted may be another user's, or be
                # written by another host.
                until_the_end.enter_context(ready.store.claimed(log.say))
                ready.store.ensure_writable(ready.todo.num_bytes)
            ready.output.claim()
            until_the_end.enter_context(ready.output.at_work())
            log.keep_in(ready.output.folder / LOG_FILE)
            outcome, tabulation = _carried_out(ready, machine, log)
        # What is known is told and written without workers.
        written = _finish(outcome, tabulation, ready.output, log)
        code = _exit_code(
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
    with Progress(ready.todo, log=log) as progress:
        executor = Executor(
            ready.pool,
            ready.store,
            facts=ready.facts,
            progress=progress,
            stopping=ready.stop.is_set,
            planned=ready.todo,
            observe=board.show_training,
        )
        return _made(ready.goals, executor, tabulation), tabulation


@contextlib.contextmanager
def prepared(
    module: types.ModuleType, config: Config, *, machine: Machine
) -> Iterator[Prepared]:
    """Gives what an experiment asks for to a block, with workers that end with it.

    Args:
      module: the experiment.
      config: its options.
      machine: where and how.

    Raises:
      ValueError: an option is wrong.
      StoreError: the store cannot be used.
    """
    # What needs no worker is refused first.
    registry.load_plugins(machine.plugins, named_by="--plugins")
    configs = validated_members(module, config)
    machine.validate()
    placement = placement_of(machine)
    store = Store(machine.store)
    store.ensure_root()
    with pool_of(machine, placement, store) as pool, StopRequest(pool) as stop:
        studies = _studies(configs, pool, placement, stopping=stop.is_set)
        output = Output(module, *studies, folder=machine.output_dir)
        goals = [goal for study in studies for goal in module.plan(study)]
        networks = _networks(studies)
        todo = plan_of(goals, store, facts=networks)
        placement = settled(machine, placement, todo, pool=pool, store=store)
        yield Prepared(
            module, studies, output, goals, networks, todo, store, pool, placement, stop
        )


def summary(ready: Prepared) -> str:
    """Returns what is left to do and what that costs, in a few lines for people."""
    titles = (_title(ready.module, study) for study in ready.studies)
    return estimate.summary(
        ready.todo,
        title="\n".join([*titles, *_remarks(ready.studies, ready.placement)]),
        store=ready.store.root,
        num_workers=ready.pool.size,
        placement=ready.placement,
        learned=ready.learned,
    )


def seconds(ready: Prepared) -> estimate.Range | None:
    """Returns about how long what is left to do takes; None if there is no telling."""
    return estimate.seconds(
        ready.todo,
        num_workers=ready.pool.size,
        placement=ready.placement,
        learned=ready.learned,
    )


def _title(module: types.ModuleType, study: Study) -> str:
    """Returns a line on a study, with what the experiment has to say of it."""
    if not hasattr(module, "subject"):
        return study.title
    return f"{study.title}; {module.subject(study)}"


def _studies(
    configs: Sequence[Config],
    pool: Pool | InlinePool,
    placement: Placement,
    *,
    stopping: Callable[[], bool],
) -> list[Study]:
    """Returns the studies of Configs, having asked a worker for the facts of each."""

    @functools.cache
    def facts_of(model: str, setting: Setting) -> Facts:
        return ask(pool, Inspect(model, setting), stopping)

    return [study_of(config, facts_of, placement) for config in configs]


def _networks(studies: Sequence[Study]) -> dict[Network, Facts]:
    """Returns the facts of every network that takes part."""
    return {
        one.facts.network: one.facts
        for study in studies
        for one in (study, *study.related.values())
    }


def _remarks(studies: Sequence[Study], placement: Placement) -> list[str]:
    """Returns what is to be known of what takes part and of where, each once."""
    parts = (one for study in studies for one in (study, *study.related.values()))
    said = (batch_sizes.remark(one.recipe.batch_size, one.facts) for one in parts)
    remarks = [text for text in said if text is not None]
    if placement != studies[0].placement:
        remarks.append(utilization.told_of_sharing(placement.num_devices))
    return list(dict.fromkeys(remarks))


def _made(
    goals: Sequence[Artifact], executor: Executor, tabulation: Tabulation
) -> Outcome:
    """Makes all goals, and tables of what is known by then; returns how it ended.

    What is found missing or damaged when the tables are made is made again.
    """
    while True:
        with tabulation.kept_up(lambda: dict(executor.outcome.unobtainable)):
            outcome = executor.execute(goals)
        if outcome.stopped or outcome.failures or outcome.skipped:
            return outcome
        lost = tabulation.collect(outcome.unobtainable)
        if not lost:
            return outcome
        for loss in lost:
            executor.lose(loss)


def _finish(outcome: Outcome, tabulation: Tabulation, output: Output, log: Log) -> bool:
    """Writes and tells what is known in the end; returns whether it was written."""
    try:
        told = tabulation.write(
            outcome.unobtainable,
            seconds=_STOP_SECONDS if outcome.stopped else math.inf,
        )
        if frames := output.frames():
            if answer := output.answer(frames):
                log.say(answer)
            if not outcome.stopped:
                output.draw(frames)
        log.say(told)
    except OutputError as error:
        log.say(
            f"{error} All that was made is in the store: the same command with another "
            "--output_dir needs nothing more."
        )
        return False
    except StoreError:
        # What may not even be read any more is told once, in `_exit_code`.
        if outcome.unusable is None:
            raise
    return True


def _exit_code(
    outcome: Outcome, log: Log, *, written: bool, stop_code: int, command: str
) -> int:
    """Tells why an experiment ended, if it is not done; returns the exit code."""
    if outcome.unusable:
        log.say(
            f"{outcome.unusable} What was finished is kept. To go on after that:\n"
            f"  {command}"
        )
        return STORE_UNUSABLE
    if outcome.refused:
        log.say(
            f"error: {outcome.refused} What was finished is kept. To go on after "
            f"that:\n  {command}"
        )
        return command_line.WRONG_INPUT
    if outcome.stopped:
        log.say(f"Stopped. To go on:\n  {command}")
        return stop_code
    return max(_told_what_is_missing(outcome, log), 0 if written else INCOMPLETE)


def own_command() -> str:
    """Returns the command line of this program."""
    spec = sys.modules["__main__"].__spec__
    program = ["python", "-m", spec.name] if spec else ["python", sys.argv[0]]
    return shlex.join([*program, *sys.argv[1:]])


def _told_what_is_missing(outcome: Outcome, log: Log) -> int:
    """Prints what could not be made; returns the exit code."""
    num_absent = unobtainable.num_absent(outcome.unobtainable)
    num_diverged = len(outcome.unobtainable) - num_absent
    if num_diverged:
        log.say(
            f"{num_diverged} artifacts were not made, because a training diverged: "
            "see the column diverged_iteration.",
        )
    if num_absent:
        log.say(
            f"{num_absent} artifacts do not exist, as they ask for more weights than "
            "there are to keep: their rows are empty.",
        )
    causes = collections.Counter(outcome.failures.values())
    for text, count in causes.items():
        log.say(f"{count} jobs failed:\n{text}")
    if outcome.skipped:
        log.say(
            f"{len(outcome.skipped)} artifacts were not made because of that. The same "
            "command makes what is missing.",
        )
    missing = num_diverged or outcome.failures or outcome.skipped
    return INCOMPLETE if missing else 0
