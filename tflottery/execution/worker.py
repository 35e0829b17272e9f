"""A worker process: does one job after another and reports."""

import ctypes
import dataclasses
import functools
import multiprocessing
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import connection

from tflottery.core import registry
from tflottery.core.environment import SetupError
from tflottery.core.stopping import leave_to_parent
from tflottery.datasets import encoded_batches
from tflottery.datasets.arrays import ChangedData
from tflottery.datasets.encoded import DamagedImage
from tflottery.datasets.records import DamagedRecords
from tflottery.execution import jobs, notes
from tflottery.execution.job_context import JobContext
from tflottery.execution.jobs import Follow, Inspect, Job
from tflottery.store.claims import Holder
from tflottery.store.delegated import DelegatedStore
from tflottery.store.errors import DamagedArtifact, MissingArtifact, StoreError
from tflottery.store.store import Store
from tflottery.training import distribution, process, runtime
from tflottery.training.distribution import NUM_LOGICAL_CPUS, Placement
from tflottery.training.orders import Orders

NAME = "tflottery-worker"
# Exit code of a worker whose program has no main guard.
IMPORTED_AGAIN = 77

_BEAT_SECONDS = 1.0

# Kinds of messages after which a worker waits for its next job.
ENDINGS = ("ended", "failed", "refused", "damaged", "missing", "unusable")
ENDINGS += ("died", "lost")


@dataclasses.dataclass(frozen=True)
class Message:
    """What a worker reports.

    Attributes:
      kind: "note" (a text for the user), "made" (an address), "progress" (fraction of
        the job done), "measured" (an iteration, and what is known of the training
        there), "saved" (the fraction that the next attempt goes on from), or how the
        job ended: "ended" (its result), "failed" (a traceback), "refused" (what is
        wrong with what the user asked for, or with the data), "damaged" or "missing"
        (the exception that names the artifact), "unusable" (what is wrong with the
        store), "died" (last words), or "lost" (how: the worker's node is gone or cut
        off, which may be no fault of the job). Or "unfit" (why no worker can work on
        this machine), which `Pool` raises as a SetupError.
      value: as above.
    """

    kind: str
    value: object


@dataclasses.dataclass(frozen=True)
class WorkerSettings:
    """What a worker process needs to start.

    Attributes:
      store: root of the store.
      data_dir: folder of prepared tensorflow-datasets, or None for the default.
      placement: where it trains.
      gpu: id of the GPU to use, "all", or None.
      num_sharing: workers on that GPU, this one among them.
      checkpoint_seconds: how much work of a job may be lost to a kill.
      plugins: modules to import, which register models and more.
      orders: of hosts that train together, connections to the processes that follow
        this one, or to the one that it follows.
      holder: whose claim and locks of the store it works under, as a worker on another
        host; None: those of its own host and its own.
    """

    store: str
    data_dir: str | None
    placement: Placement
    gpu: str | None
    checkpoint_seconds: float
    plugins: tuple[str, ...] = ()
    num_sharing: int = 1
    orders: tuple[connection.Connection, ...] = ()
    holder: Holder | None = None

    def opened_store(self) -> Store:
        """Returns the store, as the worker may use it."""
        if self.holder is None:
            return Store(self.store)
        return DelegatedStore(self.store, self.holder)


def main(
    pipe: connection.Connection,
    stop: ctypes.c_bool,
    pulse: ctypes.c_long,
    settings: WorkerSettings,
    log: int,
    set_up: Callable[..., Callable[[], JobContext]],
) -> None:
    """Does the jobs that arrive, until the pipe closes.

    Args:
      pipe: jobs come in, messages go out.
      stop: true, in shared memory, when jobs have to stop at the next good moment.
      pulse: in shared memory, changes every second from when jobs can be done.
      settings: of this worker.
      log: descriptor of a file for what libraries print; shown if the worker dies.
      set_up: readies this process, as `set_up` below.
    """
    leave_to_parent()
    _print_into(log)
    # The parent's filters came along: as errors, the warnings of libraries end this. As
    # texts they would be its last words where it dies.
    warnings.simplefilter("ignore")
    threading.Thread(target=_die_with_parent, daemon=True).start()
    notes.forward(lambda text: pipe.send(Message("note", text)))
    try:
        begin = set_up(settings, send=pipe.send, stopping=lambda: stop.value)
    except SetupError as error:
        pipe.send(Message("unfit", str(error)))
        return
    # Not before: libraries that are loaded may let no other thread run for long.
    threading.Thread(target=_beat, args=(pulse,), daemon=True).start()
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(respond(job, begin()))


def end_if_imported_again() -> None:
    """Ends a worker that is still starting: its program asks for workers of its own.

    A spawned process imports the program of its parent. Without a main guard the
    program then runs as a whole, down to here; the parent says so once.
    """
    starting = multiprocessing.current_process()
    if starting.name.startswith(NAME) and getattr(starting, "_inheriting", False):
        os._exit(IMPORTED_AGAIN)


def set_up(
    settings: WorkerSettings,
    *,
    send: Callable[[Message], None],
    stopping: Callable[[], bool],
) -> Callable[[], JobContext]:
    """Sets a process up for training. Returns what makes the context of its next job.

    Args:
      settings: of this worker.
      send: takes messages.
      stopping: whether jobs have to stop.

    Raises:
      SetupError: this process cannot train as the settings say.

    Changes:
      Process-wide settings of TensorFlow, as `training.process.configure`.
    """
    mirrored_cpus = (
        settings.placement.distribute == "mirrored"
        and settings.placement.device == "cpu"
    )
    process.configure(
        gpu=settings.gpu,
        threads=settings.placement.threads,
        logical_cpus=NUM_LOGICAL_CPUS if mirrored_cpus else 1,
        tpu=settings.placement.device == "tpu",
    )
    encoded_batches.share_devices(settings.num_sharing)
    if settings.orders:
        # Before anything computes. A plan alone takes no other hosts.
        distribution.strategy(settings.placement)
    distribution.validate(settings.placement)
    registry.load_plugins(settings.plugins, named_by="--plugins")
    return contexts(settings, send=send, stopping=stopping)


def contexts(
    settings: WorkerSettings,
    *,
    send: Callable[[Message], None],
    stopping: Callable[[], bool],
) -> Callable[[], JobContext]:
    """Returns what makes the context of the next job, in a process left as it is.

    Args: as of `set_up`.
    """
    hosts = settings.placement.hosts
    follows = bool(settings.orders) and not hosts.is_chief
    return functools.partial(
        JobContext,
        store=settings.opened_store(),
        runtime=runtime.Runtime(
            data_dir=settings.data_dir,
            placement=settings.placement,
            orders=Orders(() if follows else settings.orders),
        ),
        chief=settings.orders[0] if follows else None,
        checkpoint_seconds=settings.checkpoint_seconds,
        report=lambda kind, value: send(Message(kind, value)),
        stopping=stopping,
    )


def respond(job: Job | Inspect | Follow, context: JobContext) -> Message:
    """Does a job and returns the message that says how it ended."""
    try:
        return Message("ended", jobs.execute(job, context))
    except DamagedArtifact as damage:
        return Message("damaged", damage)
    except MissingArtifact as missing:
        return Message("missing", missing)
    except StoreError as error:
        return Message("unusable", str(error))
    except ChangedData as change:
        # Begun again, the job goes on from what was kept before, with a sound copy.
        context.runtime.forget()
        return Message("died", str(change))
    except (DamagedImage, DamagedRecords, runtime.UnusableData) as fault:
        return Message("refused", str(fault))
    except Exception as error:
        asked = isinstance(job, Inspect)
        if asked and isinstance(error, ValueError | OSError | RuntimeError):
            return Message("refused", str(error))
        return Message("failed", traceback.format_exc())


def _print_into(log: int) -> None:
    """Sends whatever this process prints, from C++ too, into a file."""
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())


def _beat(pulse: ctypes.c_long) -> None:
    """Shows for as long as this process lives that it does."""
    while True:
        pulse.value += 1
        time.sleep(_BEAT_SECONDS)


def _die_with_parent() -> None:
    """Ends this process when its parent is gone, even in the middle of a job."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
