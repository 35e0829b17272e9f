"""Signals that ask a program to stop, and the exit codes that say that it did."""

import contextlib
import os
import signal
from collections.abc import Callable, Mapping

# Ctrl-C; what schedulers and closing terminals send, and what some send ahead of time.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

# Exit code of a program stopped by Ctrl-C, as shells have it.
INTERRUPTED = 130
# Exit code of one stopped by any other of the signals: "temporary failure" (EX_TEMPFAIL
# of sysexits.h). The same command goes on, so that a scheduler may requeue on it.
TRY_AGAIN = os.EX_TEMPFAIL

Handler = Callable[[int, object], object]


def exit_code(number: int) -> int:
    """Returns the exit code of a program that a signal stopped."""
    return INTERRUPTED if number == signal.SIGINT else TRY_AGAIN


def handle(handler: Handler) -> dict[int, object]:
    """Has the signals handled by a function of the main thread.

    A hangup that is ignored, as under nohup, stays so.

    Returns:
      What handled them before, by number, for `restore`.
    """
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    numbers = [one for one in SIGNALS if not (ignored and one == signal.SIGHUP)]
    return {one: signal.signal(one, handler) for one in numbers}


def restore(before: Mapping[int, object]) -> None:
    """Has the signals handled as before, given what `handle` returned."""
    for number, handler in before.items():
        signal.signal(number, handler)


def exit_at_once(number: int, frame: object) -> None:
    """Handles a signal where nothing is under way yet: ends quietly.

    An exception would be told with the traceback of whatever is being imported.
    """
    del frame
    os._exit(exit_code(number))


def hold_back() -> None:
    """Has a process that is about to end ignore the signals.

    The interpreter puts other handlers back to what kills as it ends, and a second
    signal would then replace the exit code. To block them would not do: they would go
    to another thread, of a numerical library for example.
    """
    for one in SIGNALS:
        while signal.getsignal(one) != signal.SIG_IGN:
            # One that came right before is handled first.
            with contextlib.suppress(KeyboardInterrupt):
                signal.signal(one, signal.SIG_IGN)
    # An interrupt inside of `exec`, by which dataclasses are made, leaves a note that
    # ends the process by SIGINT though it was handled; the next one takes that away.
    exec("")


def interrupt(number: int, frame: object) -> None:
    """Handles a signal by a KeyboardInterrupt that knows its number."""
    del frame
    raise KeyboardInterrupt(number)


def leave_to_parent() -> None:
    """Lets a process that was started with the signals blocked ignore them.

    Its parent decides what they mean, also where the whole group gets them.
    """
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
