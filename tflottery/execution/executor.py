"""Carrying out a plan over a pool: what is ready goes to whoever is idle.

Nothing here decides results: any number of workers, deaths and restarts lead to the
same artifacts.
"""

import collections
import math
import time
from collections.abc import Callable, Mapping, Sequence

from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts
from tflottery.components.runs import Run
from tflottery.core.amounts import counted
from tflottery.core.identities import Network
from tflottery.execution import job_context, setbacks
from tflottery.execution.outcome import Outcome
from tflottery.execution.plan import Plan, Step, plan_of
from tflottery.execution.progress import Progress
from tflottery.execution.run_index import (
    RunIndex,
    absence_address,
    divergence_address,
)
from tflottery.execution.schedule import Schedule
from tflottery.execution.unobtainable import Unobtainable, first
from tflottery.execution.worker import ENDINGS, Message
from tflottery.execution.worker_pool import WorkerPool
from tflottery.store.errors import DamagedArtifact, MissingArtifact
from tflottery.store.store import Store

_POLL_SECONDS = 0.25
# How often an artifact may be made again that is damaged or gone when it is needed.
_MAX_LOSSES = 3
# A stopped command ends within ten seconds: what has come to no checkpoint by now, as
# where a network is being compiled, is ended as if killed. The rest is for the tables.
_STOP_SECONDS = 6.0
# How long to leave a job alone that another process is at.
_BUSY_SECONDS = 1.0


class Executor:
    """Makes the artifacts wanted, with a pool of workers and a store."""

    def __init__(
        self,
        pool: WorkerPool,
        store: Store,
        *,
        facts: Mapping[Network, Facts],
        progress: Progress,
        stopping: Callable[[], bool] = lambda: False,
        planned: Plan | None = None,
        observe: Callable[[Step, int, Mapping[str, float]], None] | None = None,
        refusal_stops: bool = True,
    ):
        """Args:
        pool: does the jobs.
        store: holds the artifacts.
        facts: of every network that takes part.
        progress: shows how far it is.
        stopping: whether to stop; asked several times a second.
        planned: what is to be done first, where that was worked out already.
        observe: is given what is known of a training: its step, an iteration, values.
        refusal_stops: whether all work ends where data turn out damaged, or only what
          is done with those data.
        """
        self._pool = pool
        self._store = store
        self._facts = facts
        self._progress = progress
        self._stopping = stopping
        self._first = planned
        self._observe = observe
        self._refusal_stops = refusal_stops
        self._running: dict[int, Step] = {}
        self._made: set[str] = set()
        self._setbacks = setbacks.Setbacks()
        self._losses: collections.Counter[str] = collections.Counter()
        # Addresses of artifacts that are not made again, and why.
        self._given_up: dict[str, str] = {}
        self._noted: set[str] = set()
        self._outcome = Outcome()
        self._goals: Sequence[Artifact] = ()
        self._schedule: Schedule | None = None

    def execute(self, goals: Sequence[Artifact]) -> Outcome:
        """Makes all goals, or as many as can be made.

        Changes: the store.
        """
        self._goals = goals
        schedule = self._schedule = self._planned()
        while schedule:
            self._work_off(schedule)
            if self._outcome.stopped:
                break
            # What was lost meanwhile, though its job had made it, shows here.
            schedule = self._schedule = self._planned()
        self._outcome.skipped = tuple(
            address for step in schedule.steps for address in step.makes
        )
        return self._outcome

    def _work_off(self, schedule: Schedule) -> None:
        """Runs all pending jobs that can be run."""
        stop_by = math.inf
        while self._running or (schedule and not self._outcome.stopped):
            if self._stopping() and stop_by == math.inf:
                stop_by = time.monotonic() + _STOP_SECONDS
                self._outcome.stopped = True
                self._pool.stop()
            if time.monotonic() > stop_by:
                self._end_workers()
                return
            if not self._outcome.stopped:
                self._assign(schedule)
            for number, message in self._pool.messages(_POLL_SECONDS):
                self._receive(number, message, schedule)

    def _end_workers(self) -> None:
        """Ends workers that reach no checkpoint in time after a stop, as if killed."""
        num_ended = len(self._running)
        self._running.clear()
        self._pool.close()
        self.note(
            f"{counted(num_ended, 'job')} came to no checkpoint within "
            f"{_STOP_SECONDS:.0f} seconds, and will go on from the last one."
        )

    @property
    def outcome(self) -> Outcome:
        """How the work ended, or what is known of that by now."""
        return self._outcome

    def is_settled(self, address: str) -> bool:
        """Returns whether a goal is made by now, or known never to be made."""
        if self._schedule is None:
            return False
        known = address in self._outcome.unobtainable
        return known or not self._schedule.lacks(address)

    def lose(self, loss: DamagedArtifact | MissingArtifact) -> None:
        """Records that a goal is lost, though it was made.

        The next `execute` makes it again, or gives it up.
        """
        damaged = isinstance(loss, DamagedArtifact)
        self._count_loss(loss.address, "damaged" if damaged else "missing")
        if loss.address not in self._given_up:
            goals = [goal for goal in self._goals if goal.address == loss.address]
            again = plan_of(goals, self._store, facts=self._facts)
            self.note(_told(loss, again.num_iterations))

    def note(self, text: str) -> None:
        """Prints a line for the user that stays on the screen."""
        self._progress.note(text)

    def _planned(self) -> Schedule:
        """Returns a schedule of what is missing; what was given up stays so."""
        current, self._first = self._first, None
        if current is None:
            current = plan_of(self._goals, self._store, facts=self._facts)
        self._outcome.unobtainable = current.unobtainable
        for step in current.steps:
            for address in self._made & set(step.makes):
                self._count_loss(address, "missing")
        self._made.clear()
        self._give_up(current.steps)
        return Schedule(
            current, num_workers=self._pool.size, without=self._outcome.failures
        )

    def _assign(self, schedule: Schedule) -> None:
        """Gives idle workers the most urgent jobs that can begin."""
        for number in self._pool.idle():
            if number in self._running:
                continue
            at_work = {step.job.name for step in self._running.values()}
            step = schedule.take(time.monotonic(), without=at_work)
            if step is None:
                return
            self._running[number] = step
            self._progress.begin(number, step)
            self._pool.submit(number, step.job)

    def _receive(self, number: int, message: Message, schedule: Schedule) -> None:
        """Records what a worker reports."""
        if message.kind == "note" and message.value not in self._noted:
            # Several workers may find the same.
            self._noted.add(message.value)
            self.note(message.value)
        step = self._running.get(number)
        if step is None:
            return
        if message.kind in ("made", "saved"):
            # Setbacks count against a job that gets nowhere between them.
            self._setbacks.forget(step.job.name)
        if message.kind == "made":
            schedule.made(message.value)
            self._made.add(message.value)
            self._expect(message.value, step)
        elif message.kind == "progress":
            self._progress.update(number, message.value)
        elif message.kind == "measured" and self._observe is not None:
            self._observe(step, *message.value)
        if message.kind not in ENDINGS:
            return
        del self._running[number]
        self._progress.end(number, finished=message.value == job_context.FINISHED)
        self._conclude(step, message, schedule)

    def _conclude(self, step: Step, message: Message, schedule: Schedule) -> None:
        """Decides what follows from how a job ended."""
        name = step.job.name
        if message.kind == "failed":
            self._outcome.failures[name] = message.value
        elif message.kind in setbacks.KINDS:
            if reason := self._setbacks.count(name, message):
                self._outcome.failures[name] = reason
            self._begin_again(step, schedule)
        elif message.kind in ("damaged", "missing"):
            self._count_loss(message.value.address, message.kind)
            num_iterations = self._begin_again(step, schedule)
            self.note(_told(message.value, num_iterations))
        elif message.kind == "unusable":
            # No other job would fare better: the disk is full, or may not be written.
            self._outcome.unusable = self._outcome.unusable or message.value
            self._outcome.stopped = True
            self._pool.stop()
        elif message.kind == "refused" and not self._refusal_stops and step.run:
            self._fail_data(step, message.value, schedule)
        elif message.kind == "refused":
            # Every job on these data would meet it, early or late.
            self._outcome.refused = self._outcome.refused or message.value
            self._outcome.stopped = True
            self._pool.stop()
        elif message.value == job_context.BUSY:
            self._await_another(step, schedule)
        elif message.value == job_context.DIVERGED:
            self._leave_out_diverged(step, schedule)
        elif message.value == job_context.ABSENT:
            self._leave_out_absent(step, schedule)
        elif message.value == job_context.STOPPED:
            # The last job may end before this process looks whether to stop.
            self._outcome.stopped = True

    def _count_loss(self, address: str, how: str) -> None:
        """Gives an artifact up that is lost whenever it is needed.

        Args:
          address: of what is lost.
          how: "damaged" or "missing".
        """
        self._made.discard(address)
        self._store.sight.expect_no_more(address)
        self._losses[address] += 1
        if self._losses[address] > _MAX_LOSSES and address not in self._given_up:
            self._given_up[address] = (
                f"Given up: {address} is {how} whenever it is needed, although it was "
                f"made again {_MAX_LOSSES} times. Is the disk sound?"
            )

    def _give_up(self, steps: Sequence[Step]) -> None:
        """Marks jobs as failed that would make again what was given up."""
        for step in steps:
            for address in self._given_up.keys() & set(step.makes):
                self._outcome.failures[step.job.name] = self._given_up[address]

    def _begin_again(self, step: Step, schedule: Schedule) -> int:
        """Starts a job again, once whatever of its inputs is lost has been made again.

        Returns:
          How many iterations more than before that takes.
        """
        wanted = {one.address: one for one in step.artifacts}
        found = None
        while found is None:
            found = plan_of(list(wanted.values()), self._store, facts=self._facts)
            # Of a run that others want more of, all is made in one go.
            names = (one.job.name for one in found.steps)
            others = filter(None, map(schedule.step, names))
            more = {one.address: one for other in others for one in other.artifacts}
            if not more.keys() <= wanted.keys():
                wanted |= more
                found = None
        names = (one.job.name for one in found.steps)
        before = [step, *filter(None, map(schedule.step, names))]
        num_more = found.num_iterations - sum(one.num_iterations for one in before)
        self._progress.grow(num_more, found.flops - sum(one.flops for one in before))
        self._give_up(found.steps)
        schedule.add(found, without=self._outcome.failures)
        self._leave_out(found.unobtainable, schedule)
        return max(num_more, 0)

    def _await_another(self, step: Step, schedule: Schedule) -> None:
        """Puts off a job that another process is working on."""
        self._progress.waiting(step.job.name)
        for artifact in step.artifacts:
            if self._store.has(artifact.address, artifact.files):
                schedule.made(artifact.address)
        schedule.rest(step, time.monotonic() + _BUSY_SECONDS)

    def _leave_out_diverged(self, step: Step, schedule: Schedule) -> None:
        """Leaves out what a training that diverged keeps from being made."""
        address = divergence_address(step.job.run)
        self._expect(address, step)
        self._store.awaited(address, stopping=self._stopping)
        diverged = RunIndex(self._store).diverged(step.job.run)
        if diverged is None:
            # Its record was lost the moment it was made.
            self._begin_again(step, schedule)
            return
        lost = [one.address for one in step.artifacts if one.iteration >= diverged]
        self._leave_out(dict.fromkeys(lost, diverged), schedule)

    def _leave_out_absent(self, step: Step, schedule: Schedule) -> None:
        """Leaves out a component that turned out to make nothing, and what needs it."""
        component = step.job.component
        self._expect(absence_address(component), step)
        # Where what workers publish is seen late, the next plan knows when it diverged.
        reason = RunIndex(self._store).reason_of_absence(component)
        self._leave_out({component.address: reason}, schedule)

    def _expect(self, address: str, step: Step) -> None:
        """Has the store look for what a worker elsewhere said it published."""
        if self._pool.is_elsewhere:
            files = {one.address: one.files for one in step.artifacts}
            self._store.sight.expect(address, files.get(address, ()), self.note)

    def _fail_data(self, step: Step, reason: str, schedule: Schedule) -> None:
        """Counts whatever reads the images of a step as failed.

        Every job on these would meet what is wrong with them, early or late. Another
        part of the same data may be sound.
        """
        alike = [
            one.job.name
            for one in schedule.steps
            if one.run is not None and _images(one.run) == _images(step.run)
        ]
        schedule.leave_out(alike)
        failed = dict.fromkeys([step.job.name, *alike], reason)
        self._outcome.failures = failed | self._outcome.failures

    def _leave_out(self, unobtainable: Unobtainable, schedule: Schedule) -> None:
        """Leaves out what needs artifacts that cannot be made.

        Args:
          unobtainable: their addresses, and why they cannot.
          schedule: of what is to be done.
        """
        lost = dict(unobtainable)
        for address, reason in unobtainable.items():
            for other in schedule.drop([address]):
                lost[other] = first((lost.get(other), reason))
        self._outcome.unobtainable = {**self._outcome.unobtainable, **lost}


def _images(run: Run) -> tuple[str | None, ...]:
    """Returns what says which images a run reads.

    A pretext may see those outside of the subset as well.
    """
    return run.data.name, run.data.subset, run.data.pretext


def _told(loss: DamagedArtifact | MissingArtifact, num_iterations: int) -> str:
    """Returns what the user is told of an artifact that is made again."""
    what = f"Artifact {loss.address} is gone."
    if isinstance(loss, DamagedArtifact):
        moved = f"; it was moved to {loss.moved_to}" if loss.moved_to else ""
        what = f"Artifact {loss.address} is damaged ({loss.reason}){moved}."
    cost = f"{num_iterations:,} iterations" if num_iterations else "no further training"
    return f"{what} It is made again, which takes {cost}."
