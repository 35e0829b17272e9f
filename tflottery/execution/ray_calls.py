"""Calls that the head of a Ray cluster has to answer, and what is done if it does not.

Most of what a command asks goes to its workers directly. Which nodes there are, and the
end of an actor or of the connection, is for the head, for which Ray waits without end,
so deep that not even Ctrl-C gets through. So each such call has a thread of its own.
"""

import os
import queue
import sys
import threading
import typing
from collections.abc import Callable

_Answer = typing.TypeVar("_Answer")

# Whether Ray waits for a head even as this process ends.
_is_cut_off: list[bool] = []


class Call(typing.Generic[_Answer]):
    """A call that is under way, and may never return."""

    def __init__(self, function: Callable[[], _Answer]):
        """Args:
        function: what is called, at once.
        """
        self._ends: queue.SimpleQueue[tuple[_Answer | None, Exception | None]]
        self._ends = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(function,), daemon=True).start()

    def answer(self, seconds: float) -> _Answer:
        """Returns what came of it, once; what it raised is raised.

        Args:
          seconds: how long to wait for it.

        Raises:
          TimeoutError: it has not returned by then.
        """
        try:
            value, error = self._ends.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return value

    def _run(self, function: Callable[[], _Answer]) -> None:
        try:
            self._ends.put((function(), None))
        except Exception as error:
            self._ends.put((None, error))


def disconnect(shutdown: Callable[[], None], *, seconds: float) -> None:
    """Ends the connection to a head, or gives it up after so many seconds."""
    try:
        Call(shutdown).answer(seconds)
    except TimeoutError:
        _is_cut_off.append(True)


def end_if_cut_off(code: object) -> None:
    """Ends this process where its ordinary end would wait for the head, or crash.

    Args:
      code: as of SystemExit.
    """
    if not _is_cut_off:
        return
    if isinstance(code, str):
        print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
