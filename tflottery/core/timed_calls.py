"""Calls that are given up after some seconds, though they may never return.

Looking up a host's name and the libraries of buckets and clusters wait as long as they
like, some so deep that not even Ctrl-C gets through. So each call has a thread of its
own, which may stay behind.
"""

import queue
import threading
import typing
from collections.abc import Callable

_Answer = typing.TypeVar("_Answer")


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
