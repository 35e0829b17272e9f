"""What a job is done with, and how a job can end."""

import time
from collections.abc import Callable, Mapping
from multiprocessing import connection

from tflottery.store.store import Store
from tflottery.training.runtime import Runtime

# How a job can end: done; another process is at it; stopped on demand; not finite;
# there is no such artifact.
FINISHED, BUSY, STOPPED, DIVERGED = "finished", "busy", "stopped", "diverged"
ABSENT = "absent"


class Stopped(Exception):
    """The job ends here for now; what it did so far is kept."""


class JobContext:
    """What one job is done with, given by the process that does it.

    Attributes:
      store: where artifacts are read and put.
      runtime: the process's networks and data.
      chief: connection to the process that this one follows, if it does.
    """

    def __init__(
        self,
        *,
        store: Store,
        runtime: Runtime,
        checkpoint_seconds: float,
        report: Callable[[str, object], None],
        stopping: Callable[[], bool],
        chief: connection.Connection | None = None,
    ):
        """Args:
        store: where artifacts are read and put.
        runtime: the process's networks and data.
        checkpoint_seconds: how much work of the job may be lost to a kill.
        report: is given the kind and value of each `worker.Message` of the job.
        stopping: whether the job has to stop at the next good moment.
        chief: connection to the process that this one follows, if it does.
        """
        self.store = store
        self.runtime = runtime
        self.chief = chief
        self._checkpoint_seconds = checkpoint_seconds
        self._report = report
        self._stopping = stopping
        self._saved = time.monotonic()

    def made(self, address: str) -> None:
        """Reports that an artifact is in the store."""
        self._report("made", address)

    def measured(self, iteration: int, values: Mapping[str, float]) -> None:
        """Reports what is known of a training at an iteration, such as its loss."""
        self._report("measured", (iteration, dict(values)))

    def progressed(self, fraction: float, *, save: Callable[[], None]) -> None:
        """Reports how far the job is; has its work saved when that is due.

        To be called every few seconds, where the job can be interrupted.

        Args:
          fraction: of the job that is done, in [0, 1].
          save: keeps what was done, so that the job can go on from here later. Not
            called at the end, from where no job goes on: it would be left behind.

        Raises:
          Stopped: it was asked to stop, and has saved its work.
        """
        self._report("progress", fraction)
        if fraction == 1:
            return
        stop = self._stopping()
        if stop or time.monotonic() - self._saved > self._checkpoint_seconds:
            save()
            self._saved = time.monotonic()
            self._report("saved", fraction)
        if stop:
            raise Stopped
