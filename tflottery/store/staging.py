"""Drafts: the temporary folders in which artifacts are written.

Each process has a folder of its own, named after its host and told apart from those of
dead processes by a lock; what the dead left behind is swept by the next process of the
same host that writes. Of another host nobody knows here who is dead.
"""

import os
import shutil
import uuid
import weakref

from tflottery.store import locks


class Staging:
    """The temporary folders of this process under one local folder."""

    def __init__(self, root: str):
        self._root = root
        self._folder: str | None = None
        self._pid = 0
        self._swept = False

    def new(self) -> str:
        """Returns a new empty folder.

        Changes: makes it; the first call also sweeps what dead processes left.
        """
        if self._pid != os.getpid():
            self._begin()
        path = os.path.join(self._folder, uuid.uuid4().hex)
        os.makedirs(path)
        return path

    def sweep(self) -> int:
        """Removes the drafts of this host's dead processes. Returns how many's."""
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return 0
        removed = 0
        host = locks.host_in_paths()
        tokens = {name.removesuffix(".lock") for name in names}
        for token in (one for one in tokens if one.rpartition(".")[0] == host):
            lock = locks.acquire(self._lock_path(token))
            if lock is not None:
                with lock:
                    shutil.rmtree(os.path.join(self._root, token), ignore_errors=True)
                removed += 1
        return removed

    def _begin(self) -> None:
        """Makes this process's folder, locked."""
        if not self._swept:
            self.sweep()
            self._swept = True
        lock = None
        # A sweeping process may catch the file between its making and its locking.
        while lock is None:
            token = f"{locks.host_in_paths()}.{uuid.uuid4().hex[:16]}"
            lock = locks.acquire(self._lock_path(token))
        folder = os.path.join(self._root, token)
        os.makedirs(folder)
        weakref.finalize(self, _end, lock, folder, os.getpid())
        self._folder, self._pid = folder, os.getpid()

    def _lock_path(self, token: str) -> str:
        return os.path.join(self._root, token + ".lock")


def _end(lock: locks.Lock, folder: str, pid: int) -> None:
    """Removes a process's folder; a forked child leaves its parent's alone."""
    if pid == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
