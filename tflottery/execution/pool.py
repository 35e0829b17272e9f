"""A pool of worker processes, one job each, kept alive between jobs.

TensorFlow starts and a graph is traced once per worker, not once per job. Workers die
with their parent; the death of a worker is a message like any other.
"""

import atexit
import ctypes
import dataclasses
import multiprocessing
import operator
import os
import signal
import sys
import tempfile
import time
import typing
from collections.abc import Callable, Sequence
from multiprocessing import connection, reduction, resource_tracker

from tflottery.core import environment, stopping
from tflottery.core.environment import SetupError
from tflottery.execution import worker
from tflottery.execution.job_context import JobContext
from tflottery.execution.worker import Message, WorkerSettings
from tflottery.store.store import Store
from tflottery.training import process


@dataclasses.dataclass
class _Worker:
    """A worker process and the connections to it.

    Attributes:
      process: itself.
      pipe: jobs go in, messages come out.
      log: what libraries print in it.
      pulse: as of `worker.main`.
      busy: whether it does a job.
      last_pulse: the pulse, when it was looked at last.
      moved: when that had changed, or the worker was started.
    """

    process: multiprocessing.process.BaseProcess
    pipe: connection.Connection
    log: typing.BinaryIO
    pulse: ctypes.c_long
    busy: bool = False
    last_pulse: int = 0
    moved: float = dataclasses.field(default_factory=time.monotonic)


class _OpenFile:
    """An open file that a process is given, as a descriptor, when it is started."""

    def __init__(self, file: typing.BinaryIO):
        self._file = file

    def __reduce__(self) -> tuple:
        # Called while the process is started, which calls `detach` for the descriptor.
        duplicate = reduction.DupFd(self._file.fileno())
        return operator.methodcaller("detach"), (duplicate,)


class Pool:
    """Worker processes that do jobs and report.

    A context manager: at its end no process is left.
    """

    is_elsewhere = False

    def __init__(
        self,
        settings: Sequence[WorkerSettings],
        *,
        set_up: Callable[..., Callable[[], JobContext]] = worker.set_up,
    ):
        """Args:
        settings: of each worker; workers start when they first get a job.
        set_up: readies a worker, as `worker.set_up`; sent to it.
        """
        worker.end_if_imported_again()
        self._settings = list(settings)
        self._set_up = set_up
        # Spawned, not forked: TensorFlow does not survive a fork.
        self._context = multiprocessing.get_context("spawn")
        # Not an Event, whose lock a worker may hold when it is killed.
        self._stop = self._context.RawValue(ctypes.c_bool, False)
        self._workers: dict[int, _Worker] = {}
        # Before multiprocessing asks workers to end, by a signal that they ignore, and
        # waits for them.
        atexit.register(self.close)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self._settings)

    @property
    def is_busy(self) -> bool:
        """Whether a worker does a job."""
        return any(found.busy for found in self._workers.values())

    def idle(self) -> list[int]:
        """Returns the workers that wait for a job, those already running first."""
        free = [
            number
            for number in range(self.size)
            if number not in self._workers or not self._workers[number].busy
        ]
        return sorted(free, key=lambda number: (number not in self._workers, number))

    def submit(self, number: int, job: object) -> None:
        """Gives an idle worker a job, starting the worker if need be."""
        if number not in self._workers:
            self._start(number)
        found = self._workers[number]
        found.busy = True
        try:
            found.pipe.send(job)
        except (BrokenPipeError, ConnectionResetError):
            # Its death is reported by the next `messages`.
            pass

    def messages(self, timeout: float) -> list[tuple[int, Message]]:
        """Returns what workers reported, waiting up to `timeout` seconds for it.

        Raises:
          SetupError: no worker can work on this machine, or with this program.
        """
        sources = {found.pipe: number for number, found in self._workers.items()}
        sources |= {
            found.process.sentinel: number for number, found in self._workers.items()
        }
        ready = connection.wait(list(sources), timeout)
        arrived: list[tuple[int, Message]] = []
        for number in sorted({sources[source] for source in ready}):
            arrived += [(number, message) for message in self._receive(number)]
        return arrived

    def silence(self, number: int) -> float:
        """Returns for how many seconds a running worker has given no sign of life."""
        found = self._workers[number]
        pulse = found.pulse.value
        if pulse != found.last_pulse:
            found.last_pulse, found.moved = pulse, time.monotonic()
        return time.monotonic() - found.moved

    def end_silent(self, number: int, *, seconds: float) -> None:
        """Kills a worker that gave signs of life and has given none for so long.

        Its death is a message like any other.
        """
        found = self._workers.get(number)
        if found is None:
            return
        if self.silence(number) > seconds and found.last_pulse:
            found.process.kill()

    def stop(self) -> None:
        """Asks every worker to stop its job at the next good moment."""
        self._stop.value = True

    def close(self) -> None:
        """Ends all workers, whatever they do, and removes what they left half done."""
        # One whose start was interrupted may never have begun.
        begun = [one for one in self._workers.values() if one.process.pid is not None]
        for found in begun:
            found.process.kill()
        for found in begun:
            found.process.join()
        for found in self._workers.values():
            found.pipe.close()
            found.log.close()
        self._workers = {}
        atexit.unregister(self.close)
        for root in {one.store for one in self._settings}:
            Store(root).sweep()

    def begin_anew(self, settings: Sequence[WorkerSettings]) -> None:
        """Ends all workers; others, with these settings, take their place."""
        self.close()
        self._settings = list(settings)
        atexit.register(self.close)

    def processes(self) -> list[int]:
        """Returns the process ids of the running workers."""
        return [found.process.pid for found in self._workers.values()]

    def _start(self, number: int) -> None:
        """Starts a worker."""
        ours, theirs = self._context.Pipe()
        log, pulse = _log(), self._context.RawValue(ctypes.c_long, 0)
        started = self._context.Process(
            target=worker.main,
            args=(
                theirs,
                self._stop,
                pulse,
                self._settings[number],
                _OpenFile(log),
                self._set_up,
            ),
            name=f"{worker.NAME}-{number}",
            daemon=True,
        )
        self._workers[number] = _Worker(started, ours, log, pulse)
        # Signals reach every process of a group, also one that is still starting: it
        # inherits that they are blocked until it ignores them. So does the tracker,
        # which comes first, since starting it lifts the mask of two of them.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, stopping.SIGNALS)
        try:
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, stopping.SIGNALS)
            with environment.fixed(process.variables(self._settings[number].gpu)):
                started.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()

    def _receive(self, number: int) -> list[Message]:
        """Returns the messages of one worker; its death is the last one."""
        found = self._workers[number]
        received: list[Message] = []
        try:
            while found.pipe.poll():
                message = found.pipe.recv()
                received.append(message)
                if message.kind == "unfit":
                    raise SetupError(message.value)
                if message.kind in worker.ENDINGS:
                    found.busy = False
        except (EOFError, OSError):
            pass
        else:
            if found.process.is_alive():
                return received
        # It is dead: what it printed last tells why.
        found.process.join()
        del self._workers[number]
        found.pipe.close()
        with found.log:
            found.log.seek(0)
            last_words = found.log.read().decode(errors="replace")[-2000:]
        code = found.process.exitcode
        if code == worker.IMPORTED_AGAIN:
            raise SetupError(_no_main_guard())
        if found.busy:
            received.append(Message("died", f"exit code {code}. {last_words}".strip()))
        return received


def _log() -> typing.BinaryIO:
    """Returns a nameless file for what a worker prints: it goes when both end."""
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError:
        # A log is never worth a result.
        return open(os.devnull, "r+b", buffering=0)


def _no_main_guard() -> str:
    """Returns what to say where a worker began this program a second time."""
    program = getattr(sys.modules["__main__"], "__file__", None) or "this program"
    return (
        f"Worker processes import {program} again when they start, for the models and "
        "data that it may register, and this time it began the whole work again. Put "
        "what it does, all but imports and definitions, under\n"
        '    if __name__ == "__main__":\n'
        'or have everything done in this process: executor="inline", or workers=1 of '
        "find_ticket."
    )
