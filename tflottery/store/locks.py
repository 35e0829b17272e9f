"""Locks that die with their process.

A lock is an exclusive `flock` on a small file. The kernel frees it however the process
ends, so a killed run never blocks the next one. Processes on one machine exclude each
other; over NFS so do machines whose mount supports flock. Where it
does not, `claims` keeps them apart.
"""

import contextlib
import dataclasses
import errno
import fcntl
import functools
import hashlib
import json
import os
import socket
import urllib.parse

# Of the OSError that `acquire` raises on a file system without locks.
UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)

# What a machine is told from others by, the first that is there.
_MACHINE_IDS = ("/etc/machine-id", "/proc/sys/kernel/random/boot_id")

# Descriptors held by this process. A forked child closes its copies: otherwise a lock
# would live on in a child that has nothing to do with it.
_held: set[int] = set()
_fork_hook: list[bool] = []


@dataclasses.dataclass(frozen=True)
class HeldLock:
    """A lock that somebody holds.

    Attributes:
      file_name: of its file.
      holder: who, in words ("process 12 on host a").
      pid: of the process; None where its note cannot be read.
      since: when it was taken, in seconds since the epoch.
    """

    file_name: str
    holder: str
    pid: int | None
    since: float


class Lock:
    """A held lock: freed by `release`, at the end of a `with`, or with the process."""

    def __init__(self, path: str, descriptor: int):
        self.path = path
        self._descriptor = descriptor
        self._pid = os.getpid()

    def release(self) -> None:
        """Frees the lock; does nothing the second time, or in a forked child."""
        if self._descriptor < 0 or self._pid != os.getpid():
            return
        descriptor, self._descriptor = self._descriptor, -1
        # Unlinked while still held; `acquire` notices a file that lost its name. Where
        # somebody took it away, another's may be there by now.
        with contextlib.suppress(OSError):
            if _is_at(descriptor, self.path):
                os.unlink(self.path)
        _held.discard(descriptor)
        os.close(descriptor)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def acquire(path: str) -> Lock | None:
    """Returns the lock on `path`, or None if someone holds it. Never waits.

    Changes: makes the file and its folder.

    Raises:
      OSError: the file cannot be made, or its file system has no locks.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _locked(descriptor, path):
                os.close(descriptor)
                return None
            current = _is_at(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        if current:
            break
        os.close(descriptor)
    _close_in_children()
    _held.add(descriptor)
    # The note is for people only; the lock holds without it (on a full disk, say).
    with contextlib.suppress(OSError):
        note = json.dumps({"pid": os.getpid(), "host": host(), "machine": machine()})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note.encode(), 0)
    return Lock(path, descriptor)


def host() -> str:
    """Returns the name of this host, as notes, drafts and claims have it."""
    return socket.gethostname()


def host_in_paths() -> str:
    """Returns what names this host, and none of its name, in the name of a file."""
    return "-".join(filter(None, (urllib.parse.quote(host(), safe=""), machine())))


@functools.cache
def machine() -> str:
    """Returns what tells this machine from others of its name, "" if nothing does.

    The same after it is started again, but for a container without an id of its own.
    """
    for path in _MACHINE_IDS:
        with contextlib.suppress(OSError):
            with open(path, "rb") as file:
                found = file.read().strip()
            if found:
                return hashlib.sha256(found).hexdigest()[:8]
    return ""


def sweep(folder: str) -> None:
    """Removes the files of this host's locks that nobody holds any more.

    A process may die with them. Whether one of another host lives is not known here.

    Changes: the folder. Whoever tries a lock at that instant finds it held.

    Raises:
      OSError: there is no such folder.
    """
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        # One may be another user's.
        with contextlib.suppress(OSError):
            lock = acquire(path) if _is_of_this_host(path) else None
            if lock is not None:
                lock.release()


def is_held(path: str) -> bool:
    """Returns whether a living process holds the lock on a file; takes none itself.

    Whoever tries for the lock at that instant finds it held.

    Raises:
      OSError: there is no such file, or its file system has no locks.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def held_locks(folder: str) -> list[HeldLock]:
    """Returns the locks in a folder that somebody holds, oldest first; takes none.

    Raises:
      OSError: there is no such folder.
    """
    found = []
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        # It may be freed, and its file gone, at any moment.
        with contextlib.suppress(OSError):
            if is_held(path):
                note, since = _note(path), os.stat(path).st_mtime
                told = _told(note) or "somebody"
                found.append(HeldLock(name, told, note.get("pid"), since))
    return sorted(found, key=lambda one: one.since)


def path_of(folder: str, name: str) -> str:
    """Returns the path of the lock of a name, whatever characters it is made of."""
    return os.path.join(folder, urllib.parse.quote(name, safe="") + ".lock")


def held_names(folder: str) -> dict[str, HeldLock]:
    """Returns the locks in a folder that somebody holds, by the names they are of.

    Raises:
      OSError: the folder cannot be read.
    """
    with contextlib.suppress(FileNotFoundError):
        found = held_locks(folder)
        names = (one.file_name.removesuffix(".lock") for one in found)
        return dict(zip(map(urllib.parse.unquote, names), found, strict=True))
    return {}


def holder(path: str) -> str | None:
    """Returns who last took the lock ("process 12 on host a"), None if unknown."""
    return _told(_note(path))


def _told(note: dict[str, object]) -> str | None:
    """Returns who took a lock, by its note."""
    return f"process {note['pid']} on {note['host']}" if note else None


def _note(path: str) -> dict[str, object]:
    """Returns what a lock's file says of who took it last; {} if it does not."""
    with contextlib.suppress(OSError, ValueError):
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        if isinstance(found, dict) and {"pid", "host"} <= found.keys():
            return found
    return {}


def _is_of_this_host(path: str) -> bool:
    """Returns whether no other host's process is known to have taken a lock last."""
    # Of one whose note is missing nobody knows.
    note = {"host": host(), "machine": machine()} | _note(path)
    return (note["host"], note["machine"]) == (host(), machine())


def _locked(descriptor: int, path: str) -> bool:
    """Returns whether the descriptor now holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        raise OSError(
            error.errno,
            f"The file system of {path!r} has no locks ({error.strerror}), without "
            "which two processes could train the same run. Mount it with flock, or "
            "choose another store (--store, TFLOTTERY_STORE).",
        ) from error
    return True


def _is_at(descriptor: int, path: str) -> bool:
    """Returns whether the open file still is the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _close_in_children() -> None:
    """Makes forked children close their copies of held descriptors (once)."""
    if not _fork_hook:
        _fork_hook.append(True)
        os.register_at_fork(after_in_child=_close_held)


def _close_held() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()
