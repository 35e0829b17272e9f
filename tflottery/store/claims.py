"""Claims: of several hosts, one at a time writes a store.

The locks of one host do not reach another on many file systems that hosts share, and
never in a bucket. So whoever writes claims the store for its host: with a file
`.claims/00000007` that is made only where there is none, so that of two hosts which try
one succeeds. The highest number counts. The commands of the host that holds it share
the claim, as they share locks; each has a thread that writes another random word, the
heartbeat, into the file every few seconds, and the last one to end gives it back.

Another host watches the file. As soon as it changes its holder is alive, and the
command is refused. Where it stays the same for `SILENT_SECONDS` of the watcher's own
monotonic clock, the watcher makes the file of the next number. No clock is compared
with that of another host, and a half-written file is one that changes or stays the same
like others. Commands of the same host since the same boot need not wait, as whatever
process of theirs died: locks tell them of what is still alive.

A command that was frozen for longer finds the higher number before each lock it takes,
each artifact it publishes or removes, and each heartbeat, and gets no further. Between
that look and the publication it may be frozen again, and a listing may be seconds old:
then it publishes what the other host makes as well. That does no harm. Artifacts are
deterministic, written in a folder of one process, and moved into place whole, or take
effect with their manifest: what counts at an address is at any time one writer's or the
other's, of the same bits or, where one kept slots that the other did not want, of the
same weights. What a late one removes (a checkpoint that something newer replaced) is
missed and made again. So a lost claim costs work and never a result.
"""

import contextlib
import dataclasses
import datetime
import functools
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from tflottery.store import addresses, errors, locks
from tflottery.store.claim_files import LocalFiles, RemoteFiles
from tflottery.store.errors import CHOOSE, StoreError

# How often a holder shows that it lives, and after how long without that it has lost
# the claim. Folders on NFS may be seen as they were a minute ago.
BEAT_SECONDS, SILENT_SECONDS = 5.0, 120.0

_POLL_SECONDS = 0.25
# To be alone among the commands of this host, a fortieth of a second apart.
_NUM_TRIES = 200
# For a claim whose name is listed and that is not there, as far apart.
_NUM_LOOKS = 40
# A claim is written in place: all have one size, and a full disk has room for it.
_NUM_BYTES = 1024


class ClaimedStore(StoreError):
    """Another host writes the store."""


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who holds a claim.

    Attributes:
      host: its name.
      boot: what tells this start of the host from others; "" where nothing does.
      locks: the folder of its locks, where that is not the store's own.
    """

    host: str
    boot: str
    locks: str = ""


class Claims:
    """The claims of one store, as one process sees them."""

    def __init__(self, root: str, scratch: str):
        """Args:
        root: of the store, a folder or URL.
        scratch: the local folder of its locks; the root itself where that is local.
        """
        remote = "://" in root
        kind = RemoteFiles if remote else LocalFiles
        self._root = root
        self._files = kind(f"{root}/{addresses.CLAIMS}")
        self._scratch = scratch
        self._own_locks = scratch if remote else ""

    @contextlib.contextmanager
    def held(self, note: Callable[[str], None]) -> Iterator[None]:
        """Has this host hold the claim while a block runs, and shows that it lives.

        Args:
          note: tells the user that a claim of another host is being watched.

        Raises:
          ClaimedStore: another host holds it, and lives.
          StoreError: the claim cannot be written.
        """
        with self._explained():
            member = self._joined()
        ended = threading.Event()
        try:
            with self._explained():
                self._take(note)
            beating = threading.Thread(target=self._beat, args=(ended,), daemon=True)
            beating.start()
            try:
                yield
            finally:
                ended.set()
                beating.join()
        finally:
            member.release()
            # Whoever comes next waits for nothing.
            with contextlib.suppress(OSError, StoreError):
                self._give_back()

    def commands(self) -> list[locks.HeldLock]:
        """Returns the locks of this host's commands that hold the claim.

        Raises:
          OSError: they cannot be looked at.
        """
        with contextlib.suppress(FileNotFoundError):
            return locks.held_locks(self._members)
        return []

    @property
    def holder(self) -> Holder:
        """Who this process is to claims."""
        return Holder(locks.host(), _boot(), self._own_locks)

    def refuse_others(self) -> None:
        """Raises ClaimedStore if another host holds the claim."""
        _, data = self._latest()
        if self._is_ours(data) or not is_held(data):
            return
        # One that is only just being made is half written for an instant.
        time.sleep(0 if content_of(data) else _POLL_SECONDS)
        _, data = self._latest()
        if is_held(data) and not self._is_ours(data):
            raise self._claimed(data)

    def _take(self, note: Callable[[str], None]) -> None:
        """Takes the claim, or joins that of this host, or waits until one is silent."""
        watched, since = None, 0.0
        while True:
            number, data = found = self._latest()
            if self._is_held_here(data):
                # If not, it was given back since, or taken over.
                if self._joined_claim():
                    return
            elif not is_held(data):
                if self._made(number + 1):
                    return
            elif watched is None:
                watched, since = found, time.monotonic()
                note(
                    f"The store {self._root!r} is claimed by {_told(data)}. Looking "
                    f"for a sign of life: it is refused if there is one, and taken "
                    f"over after {SILENT_SECONDS:.0f} s without."
                )
            elif found != watched:
                raise self._claimed(data)
            elif time.monotonic() - since >= SILENT_SECONDS:
                if self._made(number + 1):
                    return
                # Somebody else was quicker.
                watched = None
            time.sleep(_POLL_SECONDS)

    def _joined_claim(self) -> bool:
        """Renews the claim that this host holds; returns whether it still did."""
        with self._alone_on_this_host():
            number, data = self._latest()
            return self._is_held_here(data) and self._renew(number, data)

    def _made(self, number: int) -> bool:
        """Makes the claim of a number; returns whether it is this process's and counts.

        Changes: removes those of lower numbers, which do not count any more.
        """
        content = {
            **dataclasses.asdict(self.holder),
            "since": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        if not self._files.create(_name(number), _sealed(content, free=False)):
            return False
        numbers = self._numbers()
        # Others may have gone on, and removed this number, since it was found free.
        if max(numbers, default=number) > number:
            return False
        for lower in numbers:
            if lower < number:
                self._files.remove(_name(lower))
        return True

    def _beat(self, ended: threading.Event) -> None:
        """Shows that this host lives, until the block ends.

        While another host has the claim this one waits for it to be given back: who is
        at a long training may not have noticed, and goes on.
        """
        while not ended.wait(BEAT_SECONDS):
            # A full disk or a network that is away may come back in time.
            with contextlib.suppress(OSError, StoreError):
                number, data = self._latest()
                if not is_held(data):
                    # Taken away by hand, or given back by a command that saw no other.
                    self._made(number + 1)
                elif self._is_ours(data):
                    self._renew(number, data)

    def _renew(self, number: int, data: bytes) -> bool:
        """Changes the claim of a number; returns whether it still was there."""
        content = content_of(data)
        return self._files.overwrite(_name(number), _sealed(content, free=False))

    def _give_back(self) -> None:
        """Frees the claim, if it is this host's and no other process here holds it."""
        with self._alone_on_this_host():
            number, data = self._latest()
            if not self._is_held_here(data):
                return
            # Those of commands that were killed are left by them.
            locks.sweep(self._members)
            if not locks.held_locks(self._members):
                self._files.overwrite(
                    _name(number), _sealed(content_of(data), free=True)
                )

    @contextlib.contextmanager
    def _alone_on_this_host(self) -> Iterator[None]:
        """Has commands of this host join the claim, or give it back, one at a time.

        Else one could join between another's look for others and its giving back. Who
        is suspended meanwhile is waited for no longer than seconds.
        """
        with contextlib.ExitStack() as stack:
            for _ in range(_NUM_TRIES):
                lock = locks.acquire(f"{self._members}.lock")
                if lock is not None:
                    stack.enter_context(lock)
                    break
                time.sleep(_POLL_SECONDS / 10)
            yield

    def _latest(self) -> tuple[int, bytes | None]:
        """Returns number and bytes of the claim that counts; (-1, None): there is none.

        It may be replaced by one of a higher number, and removed, meanwhile. One whose
        name stays though it is gone, as a folder on NFS may show it for a minute, is
        somebody's who cannot be read.
        """
        for _ in range(_NUM_LOOKS):
            number = max(self._numbers(), default=-1)
            if number < 0:
                return -1, None
            data = self._files.read(_name(number))
            if data is not None:
                return number, data
            time.sleep(_POLL_SECONDS / 10)
        return number, b""

    def _numbers(self) -> list[int]:
        return [int(name) for name in self._files.names() if name.isdigit()]

    def _is_ours(self, data: bytes | None) -> bool:
        """Returns whether a claim is of this host, since it was started."""
        content = content_of(data)
        here = dataclasses.asdict(self.holder)
        return content is not None and here.items() <= content.items()

    def _is_held_here(self, data: bytes | None) -> bool:
        """Returns whether a claim is of this host, and not given back."""
        return self._is_ours(data) and is_held(data)

    @property
    def _members(self) -> str:
        """The folder in which each command of this host that holds the claim has a
        lock."""
        return os.path.join(self._scratch, addresses.COMMANDS, locks.host_in_paths())

    def _joined(self) -> locks.Lock:
        """Returns a new lock, by which other commands of this host know of this one."""
        lock = None
        while lock is None:
            lock = locks.acquire(
                os.path.join(self._members, f"{uuid.uuid4().hex}.lock")
            )
        return lock

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return errors.explained("write a claim", self._root)

    def _claimed(self, data: bytes | None) -> ClaimedStore:
        return ClaimedStore(
            f"The store {self._root!r} is being written by {_told(data)}. Locks of one "
            "host do not reach another, so one host at a time writes a store. Wait for "
            f"its end, run this command there, or {CHOOSE}. If it has died, a command "
            f"takes over that has seen no sign of life for {SILENT_SECONDS:.0f} s."
        )


def _name(number: int) -> str:
    return f"{number:08d}"


def _sealed(content: dict[str, object], *, free: bool) -> bytes:
    """Returns a claim as the bytes of its file, with another heartbeat each time."""
    told = {
        **content,
        "process": os.getpid(),
        "state": "free" if free else "held",
        "heartbeat": uuid.uuid4().hex,
    }
    return json.dumps(told).encode().ljust(_NUM_BYTES - 1) + b"\n"


def content_of(data: bytes | None) -> dict[str, object] | None:
    """Returns what a claim says, None if it is half written or there is none."""
    try:
        content = json.loads(data or b"")
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def is_held(data: bytes | None) -> bool:
    """Returns whether somebody holds a claim: also who cannot be read."""
    if data is None:
        return False
    content = content_of(data)
    return content is None or content.get("state") != "free"


def _told(data: bytes | None) -> str:
    """Returns who holds a claim, for people."""
    content = content_of(data)
    if content is None:
        return "somebody whose claim cannot be read"
    return (
        f"process {content.get('process')} on host {content.get('host')!r} (since "
        f"{content.get('since')} by its clock)"
    )


@functools.cache
def _boot() -> str:
    """Returns what tells this start of this host from others, "" if nothing does."""
    with contextlib.suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    return ""
