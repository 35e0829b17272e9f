"""What is left to do for one command or for several, and the workers that do it."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts
from tflottery.core.identities import Network
from tflottery.core.recipes import Setting
from tflottery.datasets import source
from tflottery.execution import estimate, utilization, work
from tflottery.execution.executor import Executor
from tflottery.execution.jobs import Inspect
from tflottery.execution.leader import Leader
from tflottery.execution.log import Log
from tflottery.execution.outcome import Outcome
from tflottery.execution.plan import Plan, Step, plan_of
from tflottery.execution.progress import Progress
from tflottery.execution.questions import ask
from tflottery.execution.stop_request import StopRequest
from tflottery.execution.unobtainable import Unobtainable
from tflottery.execution.worker_pool import WorkerPool
from tflottery.store.store import Store
from tflottery.studies import batch_sizes
from tflottery.studies.machine import Machine, placement_of, pool_of, settled
from tflottery.studies.study import Study
from tflottery.studies.tabulation import Loss
from tflottery.training.distribution import Placement

# Has tables written while an executor works in a block, of what is known by then.
KeepingUp = Callable[[Executor], contextlib.AbstractContextManager[None]]


class Workers(NamedTuple):
    """What work is done with: the store, the workers, where they train, the stop."""

    store: Store
    pool: WorkerPool
    placement: Placement
    stop: StopRequest


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedWork:
    """What is asked for, and what it is made with.

    Attributes:
      goals: the artifacts wanted.
      facts: of every network that takes part.
      todo: what is left to do.
      store: keeps what is made.
      pool: makes it.
      placement: where.
      stop: says whether to stop.
    """

    goals: Sequence[Artifact]
    facts: dict[Network, Facts]
    todo: Plan
    store: Store
    pool: WorkerPool
    placement: Placement
    stop: StopRequest

    @classmethod
    def of(
        cls,
        machine: Machine,
        workers: Workers,
        goals: Sequence[Artifact],
        facts: dict[Network, Facts],
        **own: object,
    ) -> Self:
        """Plans what is left to do, and settles where by how much that is.

        Args:
          machine: the options.
          workers: that do it.
          goals: the artifacts wanted.
          facts: of every network that takes part.
          **own: attributes of the subclass.
        """
        store, pool, placement, stop = workers
        todo = plan_of(goals, store, facts=facts)
        return cls(
            goals=goals,
            facts=facts,
            todo=todo,
            store=store,
            pool=pool,
            placement=settled(machine, placement, todo, pool=pool, store=store),
            stop=stop,
            **own,
        )

    @functools.cached_property
    def learned(self) -> dict[str, float]:
        """How long work such as what is left to do took, by the store's manifests."""
        artifacts = (one for step in self.todo.steps for one in step.artifacts)
        # Where such work is told of.
        folders = {artifact.address.split("/")[0] for artifact in artifacts}
        return work.learned(self.store, folders)

    def summary(self, title: str) -> str:
        """Returns what is left to do and what that costs, in a few lines for people."""
        return estimate.summary(
            self.todo,
            title=title,
            store=self.store.root,
            num_workers=self.pool.size,
            placement=self.placement,
            learned=self.learned,
        )

    def seconds(self) -> estimate.Range | None:
        """Returns about how long that takes; None if there is no telling."""
        return estimate.seconds(
            self.todo,
            num_workers=self.pool.size,
            placement=self.placement,
            learned=self.learned,
        )

    @contextlib.contextmanager
    def claimed(self, note: Callable[[str], None]) -> Iterator[None]:
        """Has this host alone write the store during a block, if there is work to do.

        A store that holds all that is wanted may be another user's, or be written by
        another host.

        Raises:
          StoreError: the store cannot be written, or has too little room.
        """
        with contextlib.ExitStack() as claim:
            if self.todo.steps:
                claim.enter_context(self.store.claimed(note))
                self.store.ensure_writable(self.todo.num_bytes)
            yield

    def made(
        self,
        collect: Callable[[Unobtainable], Sequence[Loss]],
        *,
        keeping_up: KeepingUp,
        log: Log,
        observe: Callable[[Step, int, Mapping[str, float]], None],
        refusal_stops: bool = True,
    ) -> Outcome:
        """Makes all goals, and tables of what is known by then; returns how it ended.

        What is found missing or damaged when the tables are made is made again.

        Args:
          collect: makes the tables in the end, given what cannot be made; returns
            which goals are missing or damaged.
          keeping_up: has tables written meanwhile.
          log: shows how far the work is.
          observe: as of `Executor`.
          refusal_stops: as of `Executor`.
        """
        with Progress(self.todo, log=log) as progress:
            executor = Executor(
                self.pool,
                self.store,
                facts=self.facts,
                progress=progress,
                stopping=self.stop.is_set,
                planned=self.todo,
                observe=observe,
                refusal_stops=refusal_stops,
            )
            while True:
                with keeping_up(executor):
                    outcome = executor.execute(self.goals)
                if outcome.stopped or outcome.failures or outcome.skipped:
                    return outcome
                # Several may want what is lost.
                losses = collect(outcome.unobtainable)
                lost = {loss.address: loss for loss in losses}
                if not lost:
                    return outcome
                for loss in lost.values():
                    executor.lose(loss)


@contextlib.contextmanager
def workers_of(machine: Machine, *, leader: Leader | None = None) -> Iterator[Workers]:
    """Gives a block what work is done with; workers end with it.

    Args:
      machine: the options.
      leader: of hosts that train together, where this one is their chief.

    Raises:
      ValueError: an option is wrong.
      StoreError: the store cannot be used.
    """
    machine.validate()
    store = Store(machine.store)
    store.ensure_root()
    placement = placement_of(machine)
    made = pool_of(machine, placement, store, leader=leader)
    with made as pool, StopRequest(pool) as stop:
        yield Workers(store, pool, placement, stop)


def asking(pool: WorkerPool, stop: StopRequest) -> Callable[[str, Setting], Facts]:
    """Returns a function that asks a worker for facts of a network, each once.

    Before a worker of this machine starts, data that are not there are refused.
    """

    @functools.cache
    def facts_of(model: str, setting: Setting) -> Facts:
        if not pool.is_elsewhere:
            for name in filter(None, (setting.dataset, setting.shaped_like)):
                source.refuse_absent(name)
        return ask(pool, Inspect(model, setting), stop.is_set)

    return facts_of


def networks_of(studies: Sequence[Study]) -> dict[Network, Facts]:
    """Returns the facts of every network that takes part."""
    return {
        one.facts.network: one.facts
        for study in studies
        for one in (study, *study.related.values())
    }


def remarks(studies: Sequence[Study], placement: Placement) -> list[str]:
    """Returns what is to be known of what takes part and of where, each once."""
    parts = (one for study in studies for one in (study, *study.related.values()))
    said = (batch_sizes.remark(one.recipe.batch_size, one.facts) for one in parts)
    found = [text for text in said if text is not None]
    if placement != studies[0].placement:
        found.append(utilization.told_of_sharing(placement.num_devices))
    return list(dict.fromkeys(found))
