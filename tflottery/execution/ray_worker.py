"""A worker on a node of a Ray cluster: an actor, and below it the ordinary worker.

The actor starts no TensorFlow, so that it answers whatever its worker process does. It
hands jobs down and messages up; artifacts go through the store alone.
"""

import contextlib
import dataclasses
import functools
import importlib.machinery
import math
import os
import pickle
import sys
import threading
import time
import types
from collections.abc import Iterator

import tflottery
from tflottery.core import installed_code
from tflottery.core.environment import SetupError
from tflottery.execution.pool import Pool
from tflottery.execution.worker import Message, WorkerSettings
from tflottery.store import claims, locks, manifests
from tflottery.store.errors import StoreError

# A worker at a job that nobody asks for this long belongs to no command any more: by
# then another one may have taken the store over.
FORGOTTEN_SECONDS = claims.SILENT_SECONDS
# After that a frozen worker process counts as dead, though its actor answers.
SILENT_SECONDS = 60.0
_LOOK_SECONDS = 5.0
# What is said of where something happened that a node may be at fault for.
_LOCATED = ("refused", "unusable", "died", "unfit")


@dataclasses.dataclass(frozen=True)
class Program:
    """What a command runs, for workers to import as those of one machine do.

    Attributes:
      name: of its main module; None where that is a file.
      path: of that file; None where there is none, as in a notebook.
      folder: in which it runs.
    """

    name: str | None
    path: str | None
    folder: str


@dataclasses.dataclass(frozen=True)
class Node:
    """Where a worker is.

    Attributes:
      identity: Ray's name of the node.
      host: its host name.
      boot: what tells this start of the host from others; "" where nothing does.
      environment: versions, and the kind of processor, as manifests have it.
      code: a digest of the package's files.
      fault: why it cannot work on the store; None: it can, or was not asked.
      drafts: by what its drafts in the store are told from those of other hosts.
    """

    identity: str
    host: str
    boot: str
    environment: dict[str, object]
    code: str
    fault: str | None = None
    drafts: str = ""


def this_program() -> Program:
    """Returns what this process runs."""
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    path = None if name else getattr(main, "__file__", None)
    return Program(name, path and os.path.abspath(path), os.getcwd())


class RayWorker:
    """One worker, as an actor of Ray."""

    def __init__(self, settings: WorkerSettings, program: Program):
        """Args:
        settings: of the worker; where it has a GPU that Ray chooses, `gpu` is "ray".
        program: what the command runs.
        """
        with contextlib.suppress(OSError):
            os.chdir(program.folder)
        if settings.gpu == "ray":
            gpu = os.environ["CUDA_VISIBLE_DEVICES"]
            settings = dataclasses.replace(settings, gpu=gpu)
        self._settings, self._program = settings, program
        self._pool = Pool([settings])
        self._last_asked = time.monotonic()
        threading.Thread(target=self._end_if_forgotten, daemon=True).start()

    def node(self, *, working: bool) -> Node:
        """Returns where this is.

        Args:
          working: whether to see if the store can be worked on from here.
        """
        import ray

        identity = ray.get_runtime_context().get_node_id()
        here = claims.Claims(self._settings.store, "").holder
        fault = self._fault() if working else None
        drafts = locks.host_in_paths()
        code = installed_code.digest(tflottery.__name__)
        return Node(identity, here.host, here.boot, environment(), code, fault, drafts)

    def exchange(
        self, job: bytes | None, *, stopping: bool, seconds: float
    ) -> list[Message]:
        """Takes a job, if there is one; returns what the worker reports.

        Args:
          job: pickled, for the worker process alone.
          stopping: whether it has to stop at the next good moment.
          seconds: how long to wait for something to report.
        """
        self._last_asked = math.inf
        try:
            if stopping:
                self._pool.stop()
            if job is not None:
                with _as_main(self._program):
                    self._pool.submit(0, _Pickled(job))
            told = self._pool.messages(seconds)
            self._pool.end_silent(0, seconds=SILENT_SECONDS)
            return [_located(one) for _, one in told]
        except SetupError as error:
            return [_located(Message("unfit", str(error)))]
        finally:
            self._last_asked = time.monotonic()

    def close(self) -> None:
        """Ends the worker process, and removes what it left half done."""
        self._pool.close()

    def _fault(self) -> str | None:
        """Returns why the store cannot be worked on from here; None: it can."""
        try:
            if self._settings.opened_store().sees_claim():
                return None
        except (StoreError, OSError) as error:
            return str(error)
        return "it does not see what the command has written there"

    def _end_if_forgotten(self) -> None:
        """Ends this process when the command has not asked for long, though it works.

        With it the worker process ends.
        """
        while True:
            time.sleep(_LOOK_SECONDS)
            silent = time.monotonic() - self._last_asked
            # In this order: while it is asked, what is looked at here changes.
            if silent > FORGOTTEN_SECONDS and self._pool.is_busy:
                os._exit(1)


class _Pickled:
    """A job that only the worker process unpickles, which has imported the program."""

    def __init__(self, data: bytes):
        self._data = data

    def __reduce__(self) -> tuple:
        return pickle.loads, (self._data,)


@contextlib.contextmanager
def _as_main(program: Program) -> Iterator[None]:
    """Has processes that are started inside import a program as their main module.

    Changes: what is called `__main__`, put back at the end.
    """
    before, stand_in = sys.modules["__main__"], types.ModuleType("__main__")
    if program.name:
        stand_in.__spec__ = importlib.machinery.ModuleSpec(program.name, None)
    if program.path:
        stand_in.__file__ = program.path
    sys.modules["__main__"] = stand_in
    try:
        yield
    finally:
        sys.modules["__main__"] = before


def _located(message: Message) -> Message:
    """Returns a message that says on which host, where that may be the cause."""
    if message.kind not in _LOCATED:
        return message
    host = locks.host()
    return Message(message.kind, f"{message.value} (on host {host!r})")


@functools.cache
def environment() -> dict[str, object]:
    """Returns what manifests written here say, but for what only TensorFlow tells."""
    told = manifests.environment()
    return {name: value for name, value in told.items() if name != "onednn"}
