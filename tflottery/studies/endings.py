"""How a command ends: its tables and figure, what it tells, and its exit code."""

import collections
import math
import os

from tflottery.core import command_line
from tflottery.core.amounts import counted
from tflottery.execution import unobtainable
from tflottery.execution.log import Log
from tflottery.execution.outcome import Outcome
from tflottery.store.errors import StoreError
from tflottery.studies.output import Output, OutputError
from tflottery.studies.tabulation import Tabulation

# Exit code where part of the results is missing; `core.stopping` has those of a stop.
INCOMPLETE = command_line.INCOMPLETE
# Exit code where the store took no more on the way: its disk is full, or may not be
# written any more ("input/output error" of sysexits.h). Until that is mended the same
# command would not get on.
STORE_UNUSABLE = os.EX_IOERR
# After a stop, how long what is known is read before the process ends.
STOP_SECONDS = 5.0


def finish(
    outcome: Outcome,
    tabulation: Tabulation,
    output: Output,
    log: Log,
    *,
    seconds: float | None = None,
) -> bool:
    """Writes and tells what is known in the end; returns whether it was written.

    Args:
      outcome: of the work.
      tabulation: makes the tables.
      output: where they go.
      log: what they say is told to.
      seconds: for how long to read what is known; None: for five seconds after a stop,
        else as long as it takes.
    """
    if seconds is None:
        seconds = STOP_SECONDS if outcome.stopped else math.inf
    try:
        told = tabulation.write(outcome.unobtainable, seconds=seconds)
        show(output, log, told=told, drawn=not outcome.stopped)
    except OutputError as error:
        log.say(
            f"{error} All that was made is in the store: the same command with another "
            "--output_dir needs nothing more."
        )
        return False
    except StoreError:
        # What may not even be read any more is told once, in `exit_code`.
        if outcome.unusable is None:
            raise
    return True


def show(output: Output, log: Log, *, told: str, drawn: bool) -> None:
    """Tells what the tables say, and draws them.

    Args:
      output: where they are.
      log: where to tell it.
      told: what there is to say of them.
      drawn: whether there is to be a figure.

    Raises:
      OutputError: the tables cannot be read, or the figure not be written.
    """
    if frames := output.frames():
        if answer := output.answer(frames):
            log.say(answer)
        if drawn:
            output.draw(frames)
    log.say(told)


def exit_code(
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


def _told_what_is_missing(outcome: Outcome, log: Log) -> int:
    """Prints what could not be made; returns the exit code."""
    num_absent = unobtainable.num_absent(outcome.unobtainable)
    num_diverged = len(outcome.unobtainable) - num_absent
    if num_diverged:
        log.say(
            f"{counted(num_diverged, 'artifact')} could not be made, because a "
            "training diverged: see the column diverged_iteration.",
        )
    if num_absent:
        log.say(
            f"{counted(num_absent, 'artifact')} cannot exist, where other numbers of "
            "weights are asked for than can be kept, or gradual pruning diverged: rows "
            "of that are empty.",
        )
    causes = collections.Counter(outcome.failures.values())
    for text, count in causes.items():
        log.say(f"{counted(count, 'job')} failed:\n{text}")
    if outcome.skipped:
        log.say(
            f"{counted(len(outcome.skipped), 'artifact')} could not be made because of "
            "that. The same command makes what is missing.",
        )
    missing = num_diverged or outcome.failures or outcome.skipped
    return INCOMPLETE if missing else 0
