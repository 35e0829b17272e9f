"""Carrying out a plan over a pool: what is ready goes to whoever is idle.

Nothing here decides results: any number of workers, deaths and restarts lead to the
same artifacts.
"""

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts
from tflottery.core.identities import Network
from tflottery.execution import job_context
from tflottery.execution.inline import InlinePool
from tflottery.execution.jobs import Inspect
from tflottery.execution.plan import Plan, Step, plan
from tflottery.execution.pool import Pool
from tflottery.execution.progress import Progress
from tflottery.execution.worker import ENDINGS, Message
from tflottery.store.store import Store

_POLL_SECONDS = 0.25
# How often a job may be begun again after a death or a lost input, without getting on.
_MAX_SETBACKS = 3
# A stopped command ends within ten seconds: what has come to no checkpoint by now, as
# where a network is being compiled, is ended as if killed. The rest is for the tables.
_STOP_SECONDS = 6.0
# How long to leave a job alone that another process is at.
_BUSY_SECONDS = 1.0


@dataclasses.dataclass
class Outcome:
    """How carrying out a plan ended.

    Attributes:
      failures: what went wrong, by the name of the job.
      unobtainable: addresses that a diverged run kept from being made, and at which
        iteration it diverged.
      skipped: addresses not made because what they need failed.
      stopped: whether it was stopped before the end.
    """

    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    unobtainable: Mapping[str, int] = dataclasses.field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    stopped: bool = False


class WorkerFailed(Exception):
    """A worker cannot answer, and not because of what the user asked for."""


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def ask(
    pool: Pool | InlinePool,
    question: Inspect,
    stopping: Callable[[], bool],
    *,
    note: Callable[[str], None] = _print,
) -> Facts:
    """Returns the answer of an idle worker to a question outside of any plan.

    Args:
      pool: of the worker.
      question: what is asked.
      stopping: whether to stop; asked several times a second.
      note: tells the user what the worker notes.

    Raises:
      ValueError: what was asked about cannot be; says what is wrong.
      WorkerFailed: the worker failed, or died each time.
      KeyboardInterrupt: it has to stop.
    """
    deaths = 0
    pool.submit(0, question)
    while not stopping():
        for _, message in pool.messages(_POLL_SECONDS):
            if message.kind == "ended":
                return message.value
            if message.kind == "note":
                note(message.value)
            if message.kind == "refused":
                raise ValueError(message.value)
            if message.kind == "died":
                deaths += 1
                if deaths == _MAX_SETBACKS:
                    raise WorkerFailed(
                        f"Gave up after a worker died {deaths} times while it looked "
                        f"at model {question.model!r} and data set "
                        f"{question.dataset!r}: {message.value} Short of memory?"
                    )
                pool.submit(0, question)
            elif message.kind in ENDINGS:
                raise WorkerFailed(f"A worker failed. {message.value}")
    raise KeyboardInterrupt


class Executor:
    """Makes goals with a pool and a store."""

    def __init__(
        self,
        pool: Pool | InlinePool,
        store: Store,
        *,
        facts: Mapping[Network, Facts],
        progress: Progress,
        stopping: Callable[[], bool] = lambda: False,
    ):
        """Args:
        pool: does the jobs.
        store: holds the artifacts.
        facts: of every network that takes part.
        progress: shows how far it is.
        stopping: whether to stop; asked several times a second.
        """
        self._pool = pool
        self._store = store
        self._facts = facts
        self._progress = progress
        self._stopping = stopping
        self._pending: dict[str, Step] = {}
        self._running: dict[int, Step] = {}
        self._available: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._setbacks: dict[str, int] = {}
        self._noted: set[str] = set()
        self._outcome = Outcome()
        self._goals: Sequence[Artifact] = ()

    def execute(self, goals: Sequence[Artifact]) -> Outcome:
        """Makes all goals, or as many as can be made.

        Changes: the store.
        """
        self._goals = goals
        self._replan()
        while self._ready():
            self._work_off()
            if self._outcome.stopped:
                break
            # What was set aside meanwhile, though its job had made it, shows here.
            self._replan()
        self._outcome.skipped = tuple(
            address for step in self._pending.values() for address in step.makes
        )
        return self._outcome

    def _work_off(self) -> None:
        """Has all pending jobs done that can be."""
        stop_by = math.inf
        while self._running or (self._ready() and not self._outcome.stopped):
            if self._stopping() and stop_by == math.inf:
                stop_by = time.monotonic() + _STOP_SECONDS
                self._outcome.stopped = True
                self._pool.stop()
            if time.monotonic() > stop_by:
                self._end_workers()
                return
            if not self._outcome.stopped:
                self._assign()
            for number, message in self._pool.messages(_POLL_SECONDS):
                self._receive(number, message)

    def _end_workers(self) -> None:
        """Ends what came to no checkpoint in time after a stop, as if killed."""
        num_ended = len(self._running)
        self._running.clear()
        self._pool.close()
        self.note(
            f"{num_ended} jobs came to no checkpoint within {_STOP_SECONDS:.0f} "
            "seconds; they go on from their last one."
        )

    @property
    def outcome(self) -> Outcome:
        """How the work ended, or what is known of that by now."""
        return self._outcome

    def note(self, text: str) -> None:
        """Tells the user something that stays on the screen."""
        self._progress.note(text)

    def _replan(self) -> None:
        """Works out anew what is missing; running and failed jobs stay as they are."""
        current = plan(self._goals, self._store, facts=self._facts)
        self._outcome.unobtainable = current.unobtainable
        self._pending = {
            step.job.name: step
            for step in _by_urgency(current)
            if step.job.name not in self._outcome.failures
        }
        made = {address for step in current.steps for address in step.makes}
        needed = {address for step in current.steps for address in step.needs}
        self._available = needed - made - current.unobtainable.keys()

    def _assign(self) -> None:
        """Gives idle workers the most urgent jobs that can begin."""
        at_work = {step.job.name for step in self._running.values()}
        for number in self._pool.idle():
            if number in self._running:
                continue
            now = time.monotonic()
            ready = (
                step
                for name, step in self._pending.items()
                if step.needs <= self._available
                and name not in at_work
                and self._not_before.get(name, 0.0) <= now
            )
            step = next(ready, None)
            if step is None:
                return
            del self._pending[step.job.name]
            at_work.add(step.job.name)
            self._running[number] = step
            self._progress.begin(number, step)
            self._pool.submit(number, step.job)

    def _ready(self) -> bool:
        """Returns whether a pending job has all it needs."""
        return any(step.needs <= self._available for step in self._pending.values())

    def _receive(self, number: int, message: Message) -> None:
        """Takes note of what a worker reports."""
        if message.kind == "note" and message.value not in self._noted:
            # Several workers may find the same.
            self._noted.add(message.value)
            self.note(message.value)
        step = self._running.get(number)
        if step is None:
            return
        if message.kind in ("made", "saved"):
            # Setbacks count against a job that gets nowhere between them.
            self._setbacks.pop(step.job.name, None)
        if message.kind == "made":
            self._available.add(message.value)
        elif message.kind == "progress":
            self._progress.update(number, message.value)
        if message.kind not in ENDINGS:
            return
        del self._running[number]
        self._progress.end(number, finished=message.value == job_context.FINISHED)
        self._conclude(step, message)

    def _conclude(self, step: Step, message: Message) -> None:
        """Decides what follows from how a job ended."""
        name = step.job.name
        if message.kind == "failed":
            self._outcome.failures[name] = message.value
        elif message.kind in ("died", "damaged", "missing"):
            self._set_back(step, message)
        elif message.value == job_context.BUSY:
            self._await_another(step)
        elif message.value == job_context.DIVERGED:
            self._replan_around()
        elif message.value == job_context.STOPPED:
            # The last job may end before this process looks whether to stop.
            self._outcome.stopped = True

    def _set_back(self, step: Step, message: Message) -> None:
        """Has a job begun again that lost its worker or an input, or gives it up."""
        name = step.job.name
        self._setbacks[name] = self._setbacks.get(name, 0) + 1
        if message.kind == "damaged":
            self._progress.note(
                f"Artifact {message.value} is damaged; it is set aside and made again."
            )
        if self._setbacks[name] >= _MAX_SETBACKS:
            reason = f"its worker died with {message.value} Short of memory? Try fewer "
            reason += "--workers."
            if message.kind != "died":
                reason = f"{message.value} is {message.kind} whenever it is needed."
            self._outcome.failures[name] = (
                f"Given up after {_MAX_SETBACKS} times: {reason}"
            )
        self._replan_around()

    def _await_another(self, step: Step) -> None:
        """Leaves a job alone for a while that another process is at."""
        name = step.job.name
        self._progress.waiting(name)
        self._not_before[name] = time.monotonic() + _BUSY_SECONDS
        self._available |= {one for one in step.makes if self._store.has(one)}
        self._pending[name] = step

    def _replan_around(self) -> None:
        """Plans anew and keeps what running jobs are making out of the new plan."""
        self._replan()
        for step in self._running.values():
            again = self._pending.get(step.job.name)
            if again is not None and set(again.makes) <= set(step.makes):
                del self._pending[step.job.name]


def _by_urgency(current: Plan) -> list[Step]:
    """Returns the steps, those first that the most work in sequence hangs on."""
    chains = current.chains()
    return sorted(current.steps, key=lambda step: -chains[step.job.name])
