"""A pool of workers on the nodes of a Ray cluster.

Ray places actors and carries calls; who is alive is for this pool to say. A worker is
asked all the time, and one that answers nothing for `SILENT_SECONDS` of this process's
own clock counts as dead, whatever Ray believes: its job goes to another. Should it wake
up, what it publishes is what the other makes as well. Jobs are locked by this process,
on the host that holds the store's claim, and no lock has to reach another host.
"""

import contextlib
import dataclasses
import itertools
import math
import pickle
import time

from tflottery.core.environment import SetupError
from tflottery.core.timed_calls import Call
from tflottery.execution import ray_cluster, ray_handle, ray_nodes, worker
from tflottery.execution.job_context import BUSY
from tflottery.execution.jobs import Inspect
from tflottery.execution.ray_actors import RayActors
from tflottery.execution.ray_cluster import Demand
from tflottery.execution.ray_handle import Handle
from tflottery.execution.ray_nodes import NodeWatch
from tflottery.execution.ray_worker import Node
from tflottery.execution.worker import ENDINGS, Message, WorkerSettings
from tflottery.store import sight
from tflottery.store.errors import StoreError
from tflottery.store.store import Store

# How long a call waits for something to tell, and how often idle workers are asked.
_BEAT_SECONDS = 1.0
SILENT_SECONDS = 30.0
# Until a worker that Ray was asked for has to be there and see the store, or is asked
# for anew.
_START_SECONDS = 120.0 + sight.SIGHT_SECONDS
# A worker that fails before it is there is asked for anew after that.
_PAUSE_SECONDS = 10.0
_LOOK_SECONDS = 3.0
_MOST_STARTING = 100
# What the head has to answer is waited for so long, where work goes on without it.
_HEAD_SECONDS = 1.0
# After that it is said that one is waited for.
_PATIENCE_SECONDS = 15.0
# Who has not listened for so long can call nobody silent.
_AWAY_SECONDS = 5.0
# What Ray says of an actor that raised an exception as it began.
_NEVER_BEGUN = "creation task"


class RayPool:
    """Workers on nodes of a cluster, as `worker_pool.WorkerPool` says."""

    is_elsewhere = True

    def __init__(
        self,
        settings: WorkerSettings,
        demand: Demand,
        *,
        num_workers: int | None = None,
        is_only_asked: bool = False,
    ):
        """Args:
        settings: of each worker.
        demand: what each takes of a node.
        num_workers: how many; None: as many as the cluster has room for.
        is_only_asked: whether questions are all that is to come: one worker starts.

        Raises:
          SetupError: no node has room for a worker.
        """
        worker.end_if_imported_again()
        self._store = Store(settings.store)
        settings = dataclasses.replace(settings, holder=self._store.claims.holder)
        self._demand = demand
        self._most_started = 1 if is_only_asked else math.inf
        self._wanted = num_workers
        self._ray = ray_cluster.library()
        self._actors = RayActors(settings, demand)
        self._workers: dict[int, Handle] = {}
        self._rests: dict[int, float] = {}
        self._told: list[tuple[int, Message]] = []
        self._watch = NodeWatch(demand)
        self._stopping = self._working = False
        self._looked = self._listened = -math.inf
        # Since when no worker is there; infinite where that was told.
        self._alone = time.monotonic()
        self._look_around(self._alone)
        if self.size == 0:
            self.close()
            raise SetupError(
                "No node of the Ray cluster has room for a worker, which takes "
                f"{demand}."
            )

    def __enter__(self) -> "RayPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Number of workers, those included that Ray has no room for yet."""
        return self._wanted or self._watch.num_workers

    @property
    def is_busy(self) -> bool:
        """Whether a worker has a job."""
        return any(one.busy for one in self._workers.values())

    def idle(self) -> list[int]:
        """Returns the workers that are there and wait for a job."""
        return [
            number
            for number, one in sorted(self._workers.items())
            if one.node is not None and not one.busy
        ]

    def submit(self, number: int, job: object) -> None:
        """Gives a worker a job, once it is there.

        Raises:
          SetupError: a node of the cluster does not see the store.
        """
        lock = None
        if not isinstance(job, Inspect):
            if not self._working:
                self._begin_work()
            try:
                lock = self._store.lock(job.name)
            except StoreError as error:
                self._told.append((number, Message("unusable", str(error))))
                return
            if lock is None:
                self._told.append((number, Message("ended", BUSY)))
                return
        if number not in self._workers:
            self._start(number, time.monotonic())
        found = self._workers[number]
        found.job, found.busy, found.lock = pickle.dumps(job), True, lock
        self._ask(found)

    def messages(self, timeout: float) -> list[tuple[int, Message]]:
        """Returns what workers reported, waiting up to `timeout` seconds for it.

        Raises:
          SetupError: no worker can work as it has to.
        """
        now = time.monotonic()
        if now - self._listened > _AWAY_SECONDS:
            for one in self._workers.values():
                one.heard = now
        self._look_around(now)
        for number in list(self._workers):
            self._look_after(number, now)
        calls = {
            one.call: number
            for number, one in self._workers.items()
            if one.call is not None
        }
        if self._told:
            timeout = 0.0
        if calls:
            ready, _ = self._ray.wait(list(calls), timeout=timeout)
            # Whoever else has answered by now.
            if ready:
                ready, _ = self._ray.wait(
                    list(calls), num_returns=len(calls), timeout=0
                )
            for number in map(calls.get, ready):
                # What one says may end others.
                if number in self._workers:
                    self._hear(number)
        else:
            time.sleep(timeout)
        self._listened = time.monotonic()
        told, self._told = self._told, []
        return told

    def stop(self) -> None:
        """Asks every worker to stop its job at the next good moment."""
        self._stopping = True

    def close(self) -> None:
        """Ends all workers, whatever they do, and the connection to the cluster."""
        workers, self._workers = list(self._workers.values()), {}
        self._actors.close(workers)
        for one in workers:
            one.release()
        ray_cluster.disconnect()
        self._store.sweep()

    def _begin_work(self) -> None:
        """Makes sure that every node sees the store, before the first work on it.

        Raises:
          SetupError: one does not; says which.
        """
        here = [one for one in self._workers.values() if one.node is not None]
        first = {one.node.identity: one for one in here}
        asked = [one.actor.node.remote(working=True) for one in first.values()]
        limit = sight.SIGHT_SECONDS + SILENT_SECONDS
        answered, _ = self._ray.wait(asked, num_returns=len(asked), timeout=limit)
        nodes = []
        for call in answered:
            # Who died meanwhile is noticed as always.
            with contextlib.suppress(self._ray.exceptions.RayError):
                nodes.append(self._ray.get(call))
        if refusal := ray_nodes.refusal(nodes, self._store.root):
            raise SetupError(refusal)
        self._working = True
        # Who has not answered is given no job, and asked anew.
        sighted, now = {node.identity for node in nodes}, time.monotonic()
        for number, one in list(self._workers.items()):
            if one.node is not None and one.node.identity not in sighted:
                self._lose(number, "it did not tell whether it sees the store", now)
        told = ray_nodes.workers_on(self._nodes()), ray_nodes.kinds(self._nodes())
        for text in filter(None, told):
            self._note(text)

    def _nodes(self) -> list[Node]:
        """Returns where each worker is that is there by now."""
        nodes = (one.node for one in self._workers.values())
        return [node for node in nodes if node is not None]

    def _look_around(self, now: float) -> None:
        """Sees which nodes there are, and asks for the workers that are missing."""
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            for text in self._watch.look(now):
                self._note(text)
        self._rests = {one: end for one, end in self._rests.items() if end > now}
        taken = self._workers.keys() | self._rests.keys()
        num_missing = min(self.size, self._most_started) - len(taken)
        # A large cluster is not asked for all at once.
        num_starting = len(self._workers) - len(self._nodes())
        num_missing = max(0, min(num_missing, _MOST_STARTING - num_starting))
        free = (number for number in itertools.count() if number not in taken)
        for number in itertools.islice(free, num_missing):
            self._start(number, now)
        if self._nodes():
            self._alone = now
        elif now - self._alone > _PATIENCE_SECONDS:
            self._tell_that_nobody_is_there()

    def _start(self, number: int, now: float) -> None:
        """Asks Ray for a worker."""
        self._workers[number] = self._actors.start(
            now, working=self._working, options=self._watch.options
        )

    def _ask(self, one: Handle) -> None:
        """Asks a worker that has answered what there is to tell."""
        seconds = _BEAT_SECONDS if one.busy else 0.0
        self._actors.ask(one, stopping=self._stopping, seconds=seconds)

    def _look_after(self, number: int, now: float) -> None:
        """Asks a worker that has answered; ends one that has not for too long."""
        one = self._workers[number]
        if one.call is None:
            if one.busy or now - one.heard > _BEAT_SECONDS:
                self._ask(one)
            return
        if one.node is None:
            if now - one.heard > _START_SECONDS and number < self.size:
                self._lose(number, "it did not start", now)
        elif now - one.heard > SILENT_SECONDS:
            self._note(
                f"Worker {number} on host {one.node.host!r} has given no sign of life "
                f"for {SILENT_SECONDS:.0f} s. Its job goes to another."
            )
            self._lose(number, f"no sign of life for {SILENT_SECONDS:.0f} s", now)

    def _tell_that_nobody_is_there(self) -> None:
        """Notes, once until one comes, that Ray has started no worker."""
        self._alone = math.inf
        free = "what is free its head does not tell"
        with contextlib.suppress(TimeoutError):
            asked = Call(self._ray.available_resources)
            free = f"free are {self._demand.told_of(asked.answer(_HEAD_SECONDS))}"
        self._note(
            f"Waiting for Ray to start a worker, which takes {self._demand}; {free}."
        )

    def _hear(self, number: int) -> None:
        """Takes what a worker has answered."""
        one, now = self._workers[number], time.monotonic()
        call, one.call = one.call, None
        try:
            answer = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            reason = ray_handle.reason(error)
            if _NEVER_BEGUN in reason and not self._working:
                raise SetupError(
                    f"A worker could not begin on the Ray cluster: {reason} Each node "
                    "needs what this machine has installed."
                ) from error
            # Ray ends workers for want of memory, which is a matter of their jobs.
            self._lose(number, reason, now, kind=ray_handle.kind_of_end(error))
            return
        one.heard = now
        if isinstance(answer, Node):
            self._welcome(number, answer, now)
        else:
            self._take(number, answer)
        if number in self._workers and one.busy:
            self._ask(one)

    def _take(self, number: int, answer: list[Message]) -> None:
        """Takes the messages of a worker."""
        one = self._workers[number]
        for message in answer:
            if message.kind == "unfit":
                self._leave_out(number, message.value)
                return
            if message.kind in ENDINGS:
                one.release()
            self._told.append((number, message))

    def _leave_out(self, number: int, fault: str) -> None:
        """Gives no more work to the node of a worker that cannot train there.

        Raises:
          SetupError: it is the only one, or nothing has been done yet.
        """
        node, now = self._workers[number].node, time.monotonic()
        self._watch.refuse(node.identity, fault, now, for_good=True)
        fits = any(self._watch.fault(one.identity) is None for one in self._nodes())
        if not self._working or not fits:
            raise SetupError(fault)
        self._note(f"Node {node.host!r} is given no more work: {fault}")
        for other, one in list(self._workers.items()):
            # What others there have begun they may well end.
            is_there = one.node is not None and one.node.identity == node.identity
            if other == number or (is_there and not one.busy):
                self._lose(other, "it cannot train", now)

    def _welcome(self, number: int, node: Node, now: float) -> None:
        """Takes a worker in, unless its node is not fit to work with the others.

        Raises:
          SetupError: so it is, and nothing has been done yet.
        """
        one = self._workers[number]
        if self._working and not one.asked_for_store:
            # It was on its way when the first work began.
            one.call, one.asked_for_store = one.actor.node.remote(working=True), True
            return
        fault = node.fault or self._watch.fault(node.identity)
        fault = fault or ray_nodes.difference(node, self._nodes())
        if fault is None:
            one.node = node
            return
        told = f"Node {node.host!r} of the Ray cluster cannot be used: {fault}."
        if not self._working:
            raise SetupError(told)
        self._note(told)
        self._watch.refuse(node.identity, fault, now)
        self._lose(number, fault, now)

    def _lose(
        self, number: int, reason: str, now: float, *, kind: str = "lost"
    ) -> None:
        """Counts a worker as dead; another will be asked for."""
        one = self._workers.pop(number)
        if one.node is None:
            self._rests[number] = now + _PAUSE_SECONDS
        self._actors.end([one])
        busy = one.busy
        one.release()
        if busy:
            where = f" on host {one.node.host!r}" if one.node else ""
            self._told.append((number, Message(kind, f"{reason}{where}.")))

    def _note(self, text: str) -> None:
        self._told.append((0, Message("note", text)))
