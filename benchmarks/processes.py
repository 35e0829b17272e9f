"""How many iterations a second do several one-thread processes make in total?

Every process builds its work, warms up, and waits for the others at a barrier. From
there each times its own iterations, and goes on working untimed until the slowest has
finished: otherwise the last ones would be timed on a machine that is half empty.
"""

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Any

# Runs that many iterations and returns once they are done.
Advance = Callable[[int], None]

START_LIMIT_SECONDS = 600.0
# A process that used more processor time than this per second was not one thread.
MOST_THREADS = 1.2

# For processes of one thread, whichever library they use. glibc gives large blocks back
# to the system on every free by default, and each step would fault them in again; the
# library allocators that the frameworks recommend keep them as well.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
}


@dataclasses.dataclass(frozen=True)
class _Start:
    """What the processes share: the starting line and how many have finished."""

    barrier: Any
    num_finished: Any


def total_rate(
    build: Callable[..., Advance],
    *arguments: Any,
    processes: int,
    iterations: int,
    warmup: int,
    environment: Mapping[str, str] | None = None,
) -> float:
    """Returns iterations per second, summed over processes of one thread each.

    Args:
      build: called in each new process; a function of a module, since it is pickled
        by name. Its `advance` must return only when the work is done.
      *arguments: for `build`.
      processes: how many run at the same time, at least 1.
      iterations: timed iterations of each process, at least 1.
      warmup: iterations before the clock starts, at least 1.
      environment: variables for the new processes beside `ENVIRONMENT`.

    Returns:
      The sum of each process's own rate, in iterations per second.

    Raises:
      ValueError: a count is below 1.
      RuntimeError: a process failed, died, or used more than one thread.
    """
    counts = {"processes": processes, "iterations": iterations, "warmup": warmup}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count!r}, expected at least 1")
    context = multiprocessing.get_context("spawn")
    start = _Start(context.Barrier(processes), context.Value("i", 0))
    with contextlib.ExitStack() as stack:
        with _environment({**ENVIRONMENT, **(environment or {})}):
            work = (build, arguments, iterations, warmup, start)
            receivers = [
                stack.enter_context(_worker(context, work)) for _ in range(processes)
            ]
        return sum(_outcomes(receivers))


@contextlib.contextmanager
def _worker(context: SpawnContext, work: tuple[Any, ...]) -> Iterator[Connection]:
    """Starts a process that does the work, and ends it when the block is left.

    Yields:
      Where its outcome can be received.
    """
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(*work, sender), daemon=True)
    worker.start()
    # The child's copy is then the only one, so that its death is seen.
    sender.close()
    try:
        yield receiver
    finally:
        worker.terminate()
        worker.join()
        receiver.close()


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for the processes started inside.

    Changes: os.environ, put back at the end.
    """
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _outcomes(receivers: list[Connection]) -> Iterator[float]:
    """Yields each process's rate as it comes; raises RuntimeError at a failure."""
    pending = list(receivers)
    while pending:
        for receiver in multiprocessing.connection.wait(pending):
            pending.remove(receiver)
            try:
                outcome = receiver.recv()
            except EOFError as error:
                raise RuntimeError(
                    "a benchmark process died without a word (out of memory?)"
                ) from error
            if isinstance(outcome, str):
                raise RuntimeError(f"a benchmark process failed:\n{outcome}")
            yield outcome


def _work(
    build: Callable[..., Advance],
    arguments: tuple[Any, ...],
    iterations: int,
    warmup: int,
    start: _Start,
    sender: Connection,
) -> None:
    """Sends this process's iterations per second, or the text of its failure."""
    try:
        advance = build(*arguments)
        advance(warmup)
        start.barrier.wait(START_LIMIT_SECONDS)
        rate = _rate(advance, iterations)
        with start.num_finished.get_lock():
            start.num_finished.value += 1
        while start.num_finished.value < start.barrier.parties:
            advance(max(1, iterations // 20))
        sender.send(rate)
    except Exception:
        sender.send(traceback.format_exc())


def _rate(advance: Advance, iterations: int) -> float:
    """Returns iterations per second; raises RuntimeError if several threads worked."""
    processor_start, start = time.process_time(), time.perf_counter()
    advance(iterations)
    seconds = time.perf_counter() - start
    threads = (time.process_time() - processor_start) / seconds
    if threads > MOST_THREADS:
        raise RuntimeError(
            f"used {threads:.2f} processor seconds per second, expected one thread "
            f"(at most {MOST_THREADS})"
        )
    return iterations / seconds
