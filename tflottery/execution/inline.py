"""A pool of no processes: jobs are done in this one, as they are given.

For notebooks, debuggers and tests. Process-wide settings are made at the first job,
unless another way of setting the process up is given.
"""

import time
from collections.abc import Callable

from tflottery.execution import worker
from tflottery.execution.job_context import JobContext
from tflottery.execution.worker import Message, WorkerSettings


class InlinePool:
    """Does each job at once; `messages` tells afterwards."""

    is_elsewhere = False

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        set_up: Callable[..., Callable[[], JobContext]] = worker.set_up,
    ):
        """Args:
        settings: as of a worker process.
        set_up: readies this process for the first job, as `worker.set_up`.
        """
        self._settings = settings
        self._set_up = set_up
        self._messages: list[tuple[int, Message]] = []
        self._stopping = False
        self.is_busy = False
        self._begin = None

    def __enter__(self) -> "InlinePool":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def close(self) -> None:
        """Ends all workers: there is none."""

    @property
    def size(self) -> int:
        """Number of workers."""
        return 1

    def idle(self) -> list[int]:
        """Returns the workers that wait for a job: none until all messages are read."""
        return [] if self._messages else [0]

    def submit(self, number: int, job: object) -> None:
        """Does a job."""
        self.is_busy = True
        try:
            self._do(number, job)
        finally:
            self.is_busy = False

    def _do(self, number: int, job: object) -> None:
        """Does a job and keeps what it reports."""
        if self._begin is None:
            self._begin = self._set_up(
                self._settings,
                send=lambda message: self._messages.append((number, message)),
                stopping=lambda: self._stopping,
            )
        self._messages.append((number, worker.respond(job, self._begin())))

    def messages(self, timeout: float) -> list[tuple[int, Message]]:
        """Returns what the last job reported; waits if there is nothing to tell."""
        if not self._messages:
            time.sleep(timeout)
        told, self._messages = self._messages, []
        return told

    def stop(self) -> None:
        """Makes the job being done stop at the next good moment."""
        self._stopping = True
