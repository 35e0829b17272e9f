"""Where a process does its jobs, and how a job can end."""

import dataclasses
from collections.abc import Callable

from tflottery.store.store import Store
from tflottery.training.runtime import Runtime

# How a job can end: done; another process is at it; stopped on demand; not finite.
FINISHED, BUSY, STOPPED, DIVERGED = "finished", "busy", "stopped", "diverged"


@dataclasses.dataclass(frozen=True)
class Bench:
    """Where a process does its jobs.

    Attributes:
      store: where artifacts are read and put.
      runtime: the process's networks and data.
      checkpoint_seconds: how much work of a job may be lost to a kill.
      made: called with the address of each artifact put into the store.
      progressed: called with the share of the job done.
      stopping: whether the job has to stop at the next good moment.
    """

    store: Store
    runtime: Runtime
    checkpoint_seconds: float
    made: Callable[[str], None]
    progressed: Callable[[float], None]
    stopping: Callable[[], bool]
