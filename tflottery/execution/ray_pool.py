"""A pool of workers on the nodes of a Ray cluster.

Ray places actors and carries calls; who is alive is for this pool to say. A worker is
asked all the time, and one that answers nothing for `SILENT_SECONDS` of this process's
own clock counts as dead, whatever Ray believes: its job goes to another. Should it wake
up, what it publishes is what the other makes as well. Jobs are locked by this process,
on the host that holds the store's claim, and no lock has to reach another host.
"""

import collections
import contextlib
import dataclasses
import math
import pickle
import time

from tflottery.core.environment import SetupError
from tflottery.execution import ray_cluster, ray_nodes, ray_worker, worker
from tflottery.execution.job_context import BUSY
from tflottery.execution.jobs import Inspect
from tflottery.execution.ray_cluster import Demand
from tflottery.execution.ray_nodes import NodeWatch
from tflottery.execution.ray_worker import Node
from tflottery.execution.worker import ENDINGS, Message, WorkerSettings
from tflottery.store import delegated
from tflottery.store.store import Store

# How long a call waits for something to tell, and how often idle workers are asked.
_BEAT_SECONDS = 1.0
SILENT_SECONDS = 30.0
# Until a worker that Ray was asked for has to be there, or is asked for anew.
_START_SECONDS = 120.0
# A worker that fails before it is there is asked for anew after that.
_PAUSE_SECONDS = 10.0
_LOOK_SECONDS = 3.0
_CLOSE_SECONDS = 3.0
# After that it is said that one is waited for.
_PATIENCE_SECONDS = 15.0
# Who has not listened for so long can call nobody silent.
_AWAY_SECONDS = 5.0
# What Ray says of an actor that raised an exception as it began.
_NEVER_BEGUN = "creation task"


@dataclasses.dataclass
class _Worker:
    """An actor, and what is known of it.

    Attributes:
      actor: of Ray.
      call: what it was asked, and has not answered.
      heard: when it answered last, or was asked for.
      node: where it is; None until it has said so.
      job: its job, pickled, until it was given it.
      busy: whether it has a job.
      lock: on that job.
    """

    actor: object
    call: object | None
    heard: float
    node: Node | None = None
    job: bytes | None = None
    busy: bool = False
    lock: object | None = None


class RayPool:
    """Workers on nodes of a cluster, as `worker_pool.WorkerPool` says."""

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
        holder = delegated.holder_of(self._store)
        self._settings = dataclasses.replace(settings, holder=holder)
        self._demand = demand
        self._most_started = 1 if is_only_asked else math.inf
        self._wanted = num_workers
        self._ray = ray_cluster.library()
        self._kind = self._ray.remote(
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            **demand.options(),
        )(ray_worker.RayWorker)
        self._workers: dict[int, _Worker] = {}
        self._rests: dict[int, float] = {}
        self._told: list[tuple[int, Message]] = []
        self._watch = NodeWatch(demand)
        self._stopping = self._working = self._waits = False
        self._looked = self._listened = -math.inf
        self._look_around(time.monotonic())
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
            lock = self._store.lock(job.name)
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
            for call in ready:
                self._hear(calls[call])
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
        # Those that answer remove what they leave half done.
        with contextlib.suppress(self._ray.exceptions.RayError):
            ends = [one.actor.close.remote() for one in workers if one.node is not None]
            if ends:
                self._ray.wait(ends, num_returns=len(ends), timeout=_CLOSE_SECONDS)
        for one in workers:
            self._end(one.actor)
            _release(one)
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
        limit = delegated.SIGHT_SECONDS + SILENT_SECONDS
        told, _ = self._ray.wait(asked, num_returns=len(asked), timeout=limit)
        faults = []
        for call in told:
            # Who died meanwhile is noticed as always.
            with contextlib.suppress(self._ray.exceptions.RayError):
                node = self._ray.get(call)
                if node.fault:
                    faults.append(f"{node.host!r} ({node.fault})")
        if faults:
            raise SetupError(
                f"The store {self._store.root!r} cannot be worked on from "
                f"{'these nodes' if len(faults) > 1 else 'this node'} of the Ray "
                f"cluster: {'; '.join(faults)}. It has to be a folder that all nodes "
                "share under the same path, or a bucket (--store)."
            )
        self._working = True
        self._tell_of_workers()

    def _nodes(self) -> list[Node]:
        """Returns where each worker is that is there by now."""
        nodes = (one.node for one in self._workers.values())
        return [node for node in nodes if node is not None]

    def _tell_of_workers(self) -> None:
        """Notes how many workers there are by now, and on which hosts."""
        nodes = self._nodes()
        hosts = {one.identity: one.host for one in nodes}
        counts = collections.Counter(one.identity for one in nodes)
        where = (f"{hosts[one]} ({count})" for one, count in counts.items())
        self._note(f"{len(nodes)} workers of Ray are ready: {', '.join(where)}.")
        if remark := ray_nodes.kinds(nodes):
            self._note(remark)

    def _look_around(self, now: float) -> None:
        """Sees which nodes there are, and asks for the workers that are missing."""
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            for text in self._watch.look():
                self._note(text)
        for number in range(min(self.size, self._most_started)):
            if number not in self._workers and self._rests.get(number, 0.0) <= now:
                self._start(number, now)

    def _start(self, number: int, now: float) -> None:
        """Asks Ray for a worker, and the worker where it is."""
        actor = self._kind.remote(self._settings, ray_worker.this_program())
        call = actor.node.remote(working=self._working)
        self._workers[number] = _Worker(actor, call, now)

    def _ask(self, one: _Worker) -> None:
        """Asks a worker that has answered what there is to tell, giving it its job."""
        if one.call is not None:
            return
        job, one.job = one.job, None
        one.call = one.actor.exchange.remote(
            job,
            stopping=self._stopping,
            seconds=_BEAT_SECONDS if one.busy else 0.0,
        )

    def _look_after(self, number: int, now: float) -> None:
        """Asks a worker that has answered; ends one that has not for too long."""
        one = self._workers[number]
        if one.call is None:
            if one.busy or now - one.heard > _BEAT_SECONDS:
                self._ask(one)
            return
        if one.node is None:
            if now - one.heard > _PATIENCE_SECONDS and not self._nodes():
                self._wait()
            if now - one.heard > _START_SECONDS and number < self.size:
                self._lose(number, "it did not start", now)
        elif now - one.heard > SILENT_SECONDS:
            self._note(
                f"Worker {number} on host {one.node.host!r} has given no sign of life "
                f"for {SILENT_SECONDS:.0f} s. Its job goes to another."
            )
            self._lose(number, f"no sign of life for {SILENT_SECONDS:.0f} s", now)

    def _wait(self) -> None:
        """Notes once that Ray has started no worker yet."""
        if not self._waits:
            self._waits = True
            self._note(
                f"Waiting for Ray to start a worker, which takes {self._demand}; free "
                f"are {self._demand.told_of(self._ray.available_resources())}."
            )

    def _hear(self, number: int) -> None:
        """Takes what a worker has answered."""
        one, now = self._workers[number], time.monotonic()
        call, one.call = one.call, None
        try:
            answer = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            reason = _reason(error)
            if _NEVER_BEGUN in reason and not self._working:
                raise SetupError(
                    f"A worker could not begin on the Ray cluster: {reason} Each node "
                    "needs what this machine has installed."
                ) from error
            self._lose(number, reason, now)
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
                raise SetupError(message.value)
            if message.kind in ENDINGS:
                _release(one)
            self._told.append((number, message))

    def _welcome(self, number: int, node: Node, now: float) -> None:
        """Takes a worker in, unless its node is not fit to work with the others.

        Raises:
          SetupError: so it is, and nothing has been done yet.
        """
        one = self._workers[number]
        fault = node.fault or ray_nodes.difference(
            node, self._nodes(), is_late=self._working
        )
        if fault is None:
            one.node = node
            return
        told = f"Node {node.host!r} of the Ray cluster cannot be used: {fault}."
        if not self._working:
            raise SetupError(told)
        self._note(told)
        self._lose(number, fault, now)

    def _lose(self, number: int, reason: str, now: float) -> None:
        """Counts a worker as dead; another will be asked for."""
        one = self._workers.pop(number)
        if one.node is None:
            self._rests[number] = now + _PAUSE_SECONDS
        self._end(one.actor)
        busy = one.busy
        _release(one)
        if busy:
            where = f" on host {one.node.host!r}" if one.node else ""
            self._told.append((number, Message("died", f"{reason}{where}.")))

    def _end(self, actor: object) -> None:
        """Ends an actor, if it is still there."""
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(actor, no_restart=True)

    def _note(self, text: str) -> None:
        self._told.append((0, Message("note", text)))


def _release(one: _Worker) -> None:
    """Has a worker be without a job.

    Changes: the worker; the job's lock is free.
    """
    lock, one.lock, one.job, one.busy = one.lock, None, None, False
    if lock is not None:
        lock.release()


def _reason(error: Exception) -> str:
    """Returns in a line or two why an actor is gone, as Ray tells."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(dict.fromkeys(lines[:2] + lines[-1:]))[:500]
