"""A pool of the one worker of a host that trains together with others.

A worker that waits for one of another host waits without end, so that the command
watches: over its worker and, by what is connected to them, over the other hosts.
"""

import signal
import time
from typing import Protocol

from tflottery.execution.leader import GO_ON, START_SECONDS, LostWorker
from tflottery.execution.pool import Pool
from tflottery.execution.worker import Message, WorkerSettings

# After how long without a sign of life a worker is lost.
SILENT_SECONDS = 20.0
# Where a worker fails since another host is gone, that is known after so long.
_GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.25


class Others(Protocol):
    """The other hosts, as the command of one sees them."""

    def watch(self) -> int | None:
        """Raises an error where one is lost; returns a signal that asks to stop."""

    def dismiss(self) -> None:
        """Tells them that this host's worker ends."""


class ClusterPool(Pool):
    """As `Pool`; what is lost ends everything, and is not begun again."""

    def __init__(self, settings: WorkerSettings, *, others: Others):
        """Args:
        settings: of the worker.
        others: the other hosts.
        """
        super().__init__([settings])
        self._others = others
        self._pulse, self._moved = 0, time.monotonic()

    def _start(self, number: int) -> None:
        self._pulse, self._moved = 0, time.monotonic()
        super()._start(number)

    def messages(self, timeout: float) -> list[tuple[int, Message]]:
        """As `Pool.messages`.

        Raises:
          LostWorker: the worker is gone, or another host is.
          SetupError: the worker cannot work on this machine.
        """
        asked = self._others.watch()
        if asked is not None and not self._stop.value:
            signal.raise_signal(asked)
        arrived = super().messages(timeout)
        self._refuse_silence()
        for _, message in arrived:
            if message.kind not in ("failed", "died"):
                continue
            last = time.monotonic() + _GRACE_SECONDS
            while time.monotonic() < last:
                self._others.watch()
                time.sleep(_POLL_SECONDS)
            if message.kind == "died":
                raise LostWorker(
                    f"The worker of this host died: {message.value} {GO_ON}"
                )
        return arrived

    def close(self) -> None:
        """As `Pool.close`; workers of other hosts end as well."""
        self._others.dismiss()
        super().close()

    def _refuse_silence(self) -> None:
        """Raises LostWorker if the worker shows no sign of life."""
        if 0 not in self._workers:
            return
        pulse = self._workers[0].pulse.value
        if pulse != self._pulse:
            self._pulse, self._moved = pulse, time.monotonic()
        seconds = SILENT_SECONDS if pulse else START_SECONDS
        if time.monotonic() - self._moved > seconds:
            raise LostWorker(
                f"The worker of this host shows no sign of life for {seconds:.0f} s. "
                f"{GO_ON}"
            )
