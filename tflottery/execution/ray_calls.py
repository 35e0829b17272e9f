"""The end of a connection to a Ray cluster, also where its head does not answer.

Most of what a command asks goes to its workers directly. Which nodes there are, and the
end of an actor or of the connection, is for the head, for which Ray waits without end:
each of these is a `core.timed_calls.Call`.
"""

import os
import sys
from collections.abc import Callable

from tflottery.core.timed_calls import Call

# Whether Ray waits for a head even as this process ends.
_is_cut_off: list[bool] = []


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
