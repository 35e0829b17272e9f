"""Commands of a list carried out as one, which share runs, workers and time.

What several of them want is made once, and whatever is ready goes to whoever is idle,
whichever command wants it. Each has the tables, figure, config.json and log in its own
folder that it makes by itself, as soon as all that they are read from is there.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from tflottery.core.amounts import counted
from tflottery.execution.executor import Executor
from tflottery.execution.log import Log
from tflottery.execution.outcome import Outcome
from tflottery.execution.plan import plan_of
from tflottery.execution.unobtainable import Unobtainable
from tflottery.plan.commands import Command
from tflottery.plan.prepared_commands import (
    PreparedCommand,
    machine_of,
    prepared_commands,
)
from tflottery.studies import endings, planned_work, tabulation
from tflottery.studies.machine import Machine
from tflottery.studies.output import OutputError
from tflottery.studies.planned_work import PlannedWork
from tflottery.studies.tabulation import Loss
from tflottery.studies.tensorboard import Board

# Between two looks at whose goals are all there.
_LOOK_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointWork(PlannedWork):
    """What the commands of a list ask for together, and what it is made with.

    Attributes:
      commands: those that are carried out.
      refused: by the others' text, what is wrong with them.
    """

    commands: Sequence[PreparedCommand]
    refused: Mapping[str, str]


class JointLog(Log):
    """Says what concerns all commands: on the terminal, and in the log of each."""

    def __init__(self):
        super().__init__()
        self.commands: Sequence[PreparedCommand] = ()

    def keep(self, text: str) -> None:
        """Writes text into the logs of the commands that are not finished."""
        for one in self.commands:
            if not one.is_finished:
                one.log.keep(text)


def execute(
    asked: Sequence[Command],
    machine: Machine,
    *,
    said: Collection[str] = (),
    command: str,
) -> int:
    """Makes the results of all commands.

    Args:
      asked: the commands.
      machine: where and how.
      said: names of its options that were given, be it at their defaults.
      command: the command line that does the same; told after a stop.

    Returns:
      The exit code, as `endings` has them; `endings.INCOMPLETE` also where a command
      was refused and the others are done.

    Raises:
      ValueError: an option is wrong, or every command; nothing was trained.
      StoreError: the store cannot be used or has too little room.
    """
    machine = machine_of(asked, machine, said=said)
    log = JointLog()
    with contextlib.ExitStack() as until_the_end:
        with prepared(asked, machine, log) as ready:
            log.say(_summary(ready))
            if machine.dry_run:
                return endings.INCOMPLETE if ready.refused else 0
            until_the_end.enter_context(ready.claimed(log.say))
            board = Board(machine.tensorboard, log=log)
            until_the_end.callback(_end, ready.commands)
            ready = _begun(ready, told=command, board=board, log=log)
            log.commands = ready.commands
            outcome = ready.made(
                lambda unobtainable: _collected(ready.commands, unobtainable),
                keeping_up=lambda executor: _kept_up(ready.commands, executor),
                log=log,
                observe=board.show_training,
                # What is wrong with the data of one command is no matter of others.
                refusal_stops=False,
            )
        # What is known is told and written without workers.
        _finish(ready.commands, outcome)
        code = endings.exit_code(
            outcome, log, written=True, stop_code=ready.stop.exit_code, command=command
        )
        if code not in (0, endings.INCOMPLETE):
            return code
        return max(code, _told_what_is_not_done(ready, log))


@contextlib.contextmanager
def prepared(
    asked: Sequence[Command], machine: Machine, log: JointLog
) -> Iterator[JointWork]:
    """Gives what commands ask for to a block, with workers that end with it.

    Raises:
      ValueError: an option is wrong, or every command.
      StoreError: the store cannot be used.
    """
    with planned_work.workers_of(machine) as workers:
        commands, refused = prepared_commands(
            asked,
            planned_work.asking(workers.pool, workers.stop),
            workers.placement,
            parent=machine.output_dir,
            log=log,
        )
        for text, reason in refused.items():
            log.say(f"error: {text}: {reason}")
        _refuse_none(commands)
        studies = [study for one in commands for study in one.studies]
        goals = [goal for one in commands for goal in one.goals]
        facts = planned_work.networks_of(studies)
        yield JointWork.of(
            machine, workers, goals, facts, commands=commands, refused=refused
        )


def _refuse_none(commands: Sequence[PreparedCommand]) -> None:
    if not commands:
        raise ValueError("No command is left to carry out.")


def _begun(ready: JointWork, *, told: str, board: Board, log: Log) -> JointWork:
    """Has commands begin; returns the work of those whose folders can be written.

    Args:
      ready: the work of all.
      told: the command line that they are carried out by.
      board: shows what their tables say.
      log: what is refused is told to.

    Raises:
      ValueError: that is none.
    """
    commands, refused = [], dict(ready.refused)
    for one in ready.commands:
        try:
            one.begin(ready.store, told=told, board=board)
            commands.append(one)
        except OutputError as error:
            refused[one.command.text] = str(error)
            log.say(f"error: {one.command.text}: {error}")
    if len(commands) == len(ready.commands):
        return ready
    _refuse_none(commands)
    goals = [goal for one in commands for goal in one.goals]
    todo = plan_of(goals, ready.store, facts=ready.facts)
    return dataclasses.replace(
        ready, commands=commands, refused=refused, goals=goals, todo=todo
    )


def _end(commands: Sequence[PreparedCommand]) -> None:
    for one in commands:
        one.end()


def _summary(ready: JointWork) -> str:
    """Returns what is left to do for all commands and what that costs, for people."""
    studies = [study for one in ready.commands for study in one.studies]
    titles = [f"{counted(len(ready.commands), 'command')} as one plan:"]
    titles += [f"  {one.command.text}" for one in ready.commands]
    titles += planned_work.remarks(studies, ready.placement)
    return ready.summary("\n".join(titles))


def _unfinished(commands: Sequence[PreparedCommand]) -> list[PreparedCommand]:
    return [one for one in commands if not one.is_finished]


def _collected(
    commands: Sequence[PreparedCommand], unobtainable: Unobtainable
) -> list[Loss]:
    """Makes the tables of those that have none yet; returns which goals are lost."""
    return [loss for one in _unfinished(commands) for loss in one.collect(unobtainable)]


def _kept_up(
    commands: Sequence[PreparedCommand], executor: Executor
) -> contextlib.AbstractContextManager[None]:
    """Has tables written while a block works, by a thread of its own.

    Whole ones as soon as all goals of a command are there; those of what is known
    every few minutes, in a fiftieth of the time at most.
    """

    def keep_up(ended: threading.Event) -> None:
        # What turns out damaged when it is read, the end makes again.
        tried: set[PreparedCommand] = set()
        update_at = time.monotonic() + tabulation.pause_after(0.0)
        while not ended.wait(_LOOK_SECONDS):
            for one in _unfinished(commands):
                if one not in tried and one.is_settled(executor.is_settled):
                    tried.add(one)
                    known = executor.outcome.unobtainable
                    _write_whole(one, known, stopping=ended.is_set)
            started = time.monotonic()
            if started >= update_at:
                for one in _unfinished(commands):
                    known = executor.outcome.unobtainable
                    one.tabulation.update(known, stopping=ended.is_set)
                now = time.monotonic()
                update_at = now + tabulation.pause_after(now - started)

    return tabulation.beside(keep_up)


def _write_whole(
    one: PreparedCommand, unobtainable: Unobtainable, *, stopping: Callable[[], bool]
) -> None:
    """Writes, tells and draws the tables of a command whose goals are all there."""
    if stopping():
        return
    one.tabulation.update(unobtainable, stopping=stopping)
    # A figure takes a while, which a stop need not wait for.
    if stopping():
        return
    one.show_if_whole()
    if one.is_finished:
        one.end()


def _finish(commands: Sequence[PreparedCommand], outcome: Outcome) -> None:
    """Writes the tables of those commands that have no whole ones yet."""
    deadline = time.monotonic() + endings.STOP_SECONDS
    for one in _unfinished(commands):
        # After a stop all of them have the time that one command has.
        left = deadline - time.monotonic()
        if outcome.stopped and left <= 0:
            return
        one.say_which()
        with one.failing_alone():
            written = endings.finish(
                outcome,
                one.tabulation,
                one.output,
                one.log,
                seconds=left if outcome.stopped else None,
            )
            extent = one.tabulation.written
            one.is_finished = written and extent is not None and extent.is_complete


def _told_what_is_not_done(ready: JointWork, log: Log) -> int:
    """Names the commands that are not done; returns the exit code."""
    lacking = {one.command.text: one.lacks() for one in ready.commands}
    reasons = {text: reason for text, reason in lacking.items() if reason}
    reasons |= {text: f"refused: {reason}" for text, reason in ready.refused.items()}
    if not reasons:
        return 0
    lines = (f"  {text}: {reason}" for text, reason in reasons.items())
    num_asked = len(ready.commands) + len(ready.refused)
    log.say(f"{len(reasons)} of {num_asked} commands are not done:")
    log.say("\n".join(lines))
    return endings.INCOMPLETE
