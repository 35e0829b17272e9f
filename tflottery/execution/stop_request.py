"""A request to stop, made by a signal to this process or to its whole group.

Workers leave the signals to their parent, which is where this is.
"""

import os
import sys
import threading
import time

from tflottery.core import stopping
from tflottery.execution.worker_pool import WorkerPool

# Signals so soon after the first are part of the same request: some senders signal both
# a process and its group, and a closing terminal sends two kinds.
_SAME_REQUEST_SECONDS = 0.5


class StopRequest:
    """What signals ask of a command: to stop after a checkpoint, or at once.

    A context manager. Inside, the first signal has busy workers stop at their next good
    moment; where none is busy (in planning, say) it interrupts what is done, of which
    nothing is lost. A second one interrupts whatever is done.
    """

    def __init__(self, pool: WorkerPool):
        """Args:
        pool: of the workers.
        """
        self._pool = pool
        self._number: int | None = None
        self._time = 0.0
        self._before: dict[int, object] = {}

    def is_set(self) -> bool:
        """Returns whether there is a request."""
        return self._number is not None

    @property
    def exit_code(self) -> int:
        """The exit code that says which kind of signal made the request.

        That of Ctrl-C where a worker has stopped without any.
        """
        if self._number is None:
            return stopping.INTERRUPTED
        return stopping.exit_code(self._number)

    def __enter__(self) -> "StopRequest":
        # Only there can signals be handled; a notebook may work in another thread.
        if threading.current_thread() is threading.main_thread():
            self._before = stopping.handle(self._receive)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        stopping.restore(self._before)
        if isinstance(error, KeyboardInterrupt) and self._number is not None:
            raise KeyboardInterrupt(self._number) from error

    def _receive(self, number: int, frame: object) -> None:
        """Handles a signal."""
        del frame
        now = time.monotonic()
        if self._number is None:
            self._number, self._time = number, now
            self._pool.stop()
            if not self._pool.is_busy:
                raise KeyboardInterrupt(number)
            say("\nStopping after a checkpoint; again to stop now.")
        elif now - self._time > _SAME_REQUEST_SECONDS:
            self._number = number
            raise KeyboardInterrupt(number)


def say(text: str) -> None:
    """Tells the user, if there still is one: a hangup takes the terminal along.

    Changes: where it does, standard output and error lead nowhere from now on.
    """
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
