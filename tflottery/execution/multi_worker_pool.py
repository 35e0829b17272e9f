"""A pool of the one worker of a host that trains together with others.

A worker that waits for one of another host waits without end, so that the command
watches: over its worker and, by what is connected to them, over the other hosts.
"""

import signal
import time
from typing import Protocol

from tflottery.execution.jobs import Advance, Follow
from tflottery.execution.leader import START_SECONDS, LostWorker
from tflottery.execution.pool import Pool
from tflottery.execution.worker import Message, WorkerSettings

# After how long without a sign of life a worker is lost, and after how long without a
# first one that is told.
SILENT_SECONDS, _SLOW_SECONDS = 15.0, 60.0
# For how long who is lost is waited for where a worker dies, as it may for want of
# others; and where training fails, by which TensorFlow tells of a frozen process before
# the silence of that is long enough.
_DEATH_SECONDS, _FAILURE_SECONDS = 2.0, 8.0
_POLL_SECONDS = 0.25
# What hosts do together.
_TRAINING = (Advance, Follow)


class Others(Protocol):
    """The other hosts, as the command of one sees them.

    Attributes:
      have_ended: whether they have said that this command is to end.
    """

    have_ended: bool

    def watch(self) -> int | None:
        """Raises an error where one is lost; returns a signal that asks to stop."""

    def dismiss(self) -> None:
        """Tells them that this host's worker ends."""


class MultiWorkerPool(Pool):
    """As `Pool`; what is lost ends everything, and is not begun again."""

    def __init__(self, settings: WorkerSettings, *, others: Others):
        """Args:
        settings: of the worker.
        others: the other hosts.
        """
        super().__init__([settings])
        self._others = others
        self._trains = self._has_told = False

    def submit(self, number: int, job: object) -> None:
        """As `Pool.submit`."""
        self._trains = isinstance(job, _TRAINING)
        super().submit(number, job)

    def messages(self, timeout: float) -> list[tuple[int, Message]]:
        """As `Pool.messages`.

        Raises:
          LostWorker: the worker is gone, or another host is, or training has failed:
            others may then wait for this one, in what it will not do.
          SetupError: the worker cannot work on this machine.
        """
        self._look_after_others()
        arrived = super().messages(timeout)
        arrived += self._refuse_silence()
        for _, message in arrived:
            if message.kind == "died":
                what = f"The worker of this host died: {message.value}"
                self._refuse_loss(what, seconds=_DEATH_SECONDS)
            elif message.kind == "failed" and self._trains:
                what = f"Training together failed: {_error(message.value)}"
                self._refuse_loss(what, seconds=_FAILURE_SECONDS)
        return arrived

    def _look_after_others(self) -> None:
        """Raises LostWorker if one is lost; stops if one was asked to."""
        asked = self._others.watch()
        if asked is not None and not self._stop.value:
            signal.raise_signal(asked)

    def _refuse_loss(self, what: str, *, seconds: float) -> None:
        """Raises LostWorker: of a host that is lost, or after a while as told.

        Not if the others have ended, for which they will have told the reason.
        """
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            # Who is lost, it says.
            self._look_after_others()
            if self._others.have_ended:
                return
            time.sleep(_POLL_SECONDS)
        raise LostWorker(what)

    def close(self) -> None:
        """As `Pool.close`; workers of other hosts end as well."""
        self._others.dismiss()
        super().close()

    def _refuse_silence(self) -> list[tuple[int, Message]]:
        """Raises LostWorker if the worker shows no sign of life.

        Returns:
          What to tell of one that has shown none yet, which waits for the others'.
        """
        if 0 not in self._workers:
            return []
        silence = self.silence(0)
        if self._workers[0].last_pulse > 0:
            if silence > SILENT_SECONDS:
                raise LostWorker(
                    "The worker of this host shows no sign of life for "
                    f"{SILENT_SECONDS:.0f} s."
                )
            return []
        if silence > START_SECONDS:
            raise LostWorker(self._told_of_start(START_SECONDS))
        if silence < _SLOW_SECONDS or self._has_told:
            return []
        self._has_told = True
        return [(0, Message("note", self._told_of_start(_SLOW_SECONDS)))]

    def _told_of_start(self, seconds: float) -> str:
        """Returns what to say where a worker has not begun for so long."""
        addresses = ", ".join(self._settings[0].placement.hosts.addresses)
        return (
            f"TensorFlow's processes have not found together within {seconds:.0f} s. "
            f"Each has to reach the others at {addresses}."
        )


def _error(traceback: str) -> str:
    """Returns what a traceback ends with, below the last line of code."""
    lines = traceback.rstrip().splitlines()
    code = [at for at, line in enumerate(lines) if line.startswith("  ")]
    return "\n".join(lines[code[-1] + 1 if code else 0 :])
