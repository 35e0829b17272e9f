"""What a pool knows of one of its workers on a Ray cluster."""

import dataclasses

from tflottery.execution.ray_worker import Node


@dataclasses.dataclass
class Handle:
    """An actor, and what is known of it.

    Attributes:
      actor: of Ray.
      call: what it was asked, and has not answered.
      heard: when it answered last, or was asked for.
      asked_for_store: whether it was asked if the store can be worked on from there.
      node: where it is; None until it has said so.
      job: its job, pickled, until it was given it.
      busy: whether it has a job.
      lock: on that job.
    """

    actor: object
    call: object | None
    heard: float
    asked_for_store: bool
    node: Node | None = None
    job: bytes | None = None
    busy: bool = False
    lock: object | None = None

    def release(self) -> None:
        """Has the worker be without a job.

        Changes: the job's lock is free.
        """
        lock, self.lock, self.job, self.busy = self.lock, None, None, False
        if lock is not None:
            lock.release()


def kind_of_end(error: Exception) -> str:
    """Returns which message tells of an actor's end, as Ray has it.

    For want of memory it is a matter of the job: "died". Whatever else ends an actor,
    below which its worker process may die alone, is one of its node: "lost".
    """
    return "died" if type(error).__name__ == "OutOfMemoryError" else "lost"


def reason(error: Exception) -> str:
    """Returns in a line or two why an actor is gone, as Ray tells."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(dict.fromkeys(lines[:2] + lines[-1:]))[:500]
