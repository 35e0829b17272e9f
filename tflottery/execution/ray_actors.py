"""What Ray is asked to do with workers: to start one, to carry a call, to end one."""

import contextlib
from collections.abc import Mapping, Sequence

from tflottery.core.timed_calls import Call
from tflottery.execution import ray_cluster, ray_worker
from tflottery.execution.ray_cluster import Demand
from tflottery.execution.ray_handle import Handle
from tflottery.execution.worker import WorkerSettings

# For how long those that answer may remove what they leave half done.
_CLOSE_SECONDS = 2.0
# The end of an actor is its head's to bring about, which may not answer.
_HEAD_SECONDS = 1.0


class RayActors:
    """Workers as actors of Ray, all of one kind."""

    def __init__(self, settings: WorkerSettings, demand: Demand):
        """Args:
        settings: of each worker.
        demand: what each takes of a node.
        """
        self._settings = settings
        self._ray = ray_cluster.library()
        self._kind = self._ray.remote(
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            **demand.options(),
        )(ray_worker.RayWorker)

    def start(
        self, now: float, *, working: bool, options: Mapping[str, object]
    ) -> Handle:
        """Asks Ray for a worker, and the worker where it is.

        Args:
          now: the time.
          working: whether it has to see the store.
          options: that keep it from nodes.
        """
        kind = self._kind.options(**options)
        actor = kind.remote(self._settings, ray_worker.this_program())
        return Handle(actor, actor.node.remote(working=working), now, working)

    def ask(self, one: Handle, *, stopping: bool, seconds: float) -> None:
        """Asks a worker that has answered what there is to tell, giving it its job.

        Args:
          one: the worker.
          stopping: whether it has to stop.
          seconds: how long it may wait for something to tell.
        """
        if one.call is not None:
            return
        job, one.job = one.job, None
        one.call = one.actor.exchange.remote(job, stopping=stopping, seconds=seconds)

    def close(self, workers: Sequence[Handle]) -> None:
        """Ends workers; those that are there remove what they leave half done."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            ends = [one.actor.close.remote() for one in workers if one.node is not None]
            if ends:
                self._ray.wait(ends, num_returns=len(ends), timeout=_CLOSE_SECONDS)
        self.end(workers)

    def end(self, workers: Sequence[Handle]) -> None:
        """Ends workers that are still there, or leaves that to the head."""

        def kill() -> None:
            for one in workers:
                with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
                    self._ray.kill(one.actor, no_restart=True)

        with contextlib.suppress(TimeoutError):
            Call(kill).answer(_HEAD_SECONDS)
