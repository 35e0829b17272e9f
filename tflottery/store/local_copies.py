"""Local copies of what lies in a bucket, so that nothing is downloaded twice.

A copy is a folder named after an artifact's address and that of its one writing, so
that what is written anew is another copy. It is put into place whole; whoever reads it
compares it with the manifest. What was not used for longest makes room for what comes.
"""

import contextlib
import errno
import os
import shutil
import time
import urllib.parse
import uuid
from collections.abc import Callable

from tflottery.store.errors import StoreError

MOST_BYTES = 10 * 2**30
# What was opened not long ago may still be read.
_RECENT_SECONDS = 3600.0
# How often sizes are looked at: whenever that part of all is new.
_PART = 20


class LocalCopies:
    """The copies of one bucket on this machine, which its processes share."""

    def __init__(self, folder: str):
        """Args:
        folder: a local one, of their own.
        """
        self._folder = folder
        self._num_new_bytes: float = MOST_BYTES

    def find(self, address: str, writing: str) -> str | None:
        """Returns the folder of a copy, None if there is none."""
        path = self._path(address, writing)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def add(self, address: str, writing: str, fill: Callable[[str], None]) -> str:
        """Makes a copy by filling a folder; returns where it is.

        Raises:
          StoreError: there is no room for it.
          OSError: what is to be copied cannot be read.
        """
        draft = os.path.join(self._folder, f"{uuid.uuid4().hex}.part")
        os.makedirs(draft)
        try:
            fill(draft)
            self.adopt(address, writing, draft)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreError(
                f"No room for a copy of {address!r} in {self._folder!r} "
                f"({error.strerror}). Free some."
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return self._path(address, writing)

    def adopt(self, address: str, writing: str, folder: str) -> None:
        """Makes a local folder the copy, unless another process was quicker.

        Changes: the folder is moved. Others may be removed, to make room.
        """
        self._num_new_bytes += _num_bytes(folder)
        os.makedirs(self._folder, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            try:
                os.rename(folder, self._path(address, writing))
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
        if self._num_new_bytes * _PART >= MOST_BYTES:
            self._num_new_bytes = 0
            self._make_room()

    def remove(self, address: str) -> None:
        """Removes all copies of what lies or lay at an address."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                if name.startswith(_quoted(f"{address}/")):
                    path = os.path.join(self._folder, name)
                    shutil.rmtree(path, ignore_errors=True)

    def _make_room(self) -> None:
        """Removes what was not used for longest, as far as there is too much."""
        paths = [entry.path for entry in os.scandir(self._folder)]
        used: dict[str, float] = {}
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                used[path] = os.stat(path).st_mtime
        sizes = {path: _num_bytes(path) for path in used}
        total = sum(sizes.values())
        for path in sorted(used, key=used.get):
            if total <= MOST_BYTES or time.time() - used[path] < _RECENT_SECONDS:
                return
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes[path]

    def _path(self, address: str, writing: str) -> str:
        return os.path.join(self._folder, _quoted(f"{address}/{writing}"))


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _num_bytes(folder: str) -> int:
    """Returns what the files below a local folder take."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(parent, name)).st_size
    return total
