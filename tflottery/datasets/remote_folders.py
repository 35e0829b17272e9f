"""Prepared data in a bucket: the files that are read are copied to this machine, once.

A copy is whole or not there. What was copied stays, so that an interrupted command goes
on with the files that are missing. A copy counts while it has the size, and the time,
of the file that it was made from; afterwards no network is needed to read it.

Everything goes through `etils.epath`: gs:// with TensorFlow or gcsfs, s3:// and others
with the file systems of fsspec.
"""

import concurrent.futures
import dataclasses
import errno
import fcntl
import os
import pathlib
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from etils import epath

from tflottery.core.files import readable_size
from tflottery.core.fingerprints import fingerprint

_THREADS = 16
_BYTES_PER_READ = 8 * 2**20
_SECONDS_BETWEEN_BARS = 20.0
_BAR_WIDTH = 20
# The files of images; the others describe them, and are small.
_SHARD = re.compile(r"-\d{5,}-of-\d{5,}$")


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file in a bucket.

    Attributes:
      url: where it is.
      num_bytes: its size.
      modified: when it was last written, in seconds; 0 where nobody tells.
    """

    url: str
    num_bytes: int
    modified: int


def files(url: str, *, depth: int, skipped: str) -> list[RemoteFile]:
    """Returns the files below an address, sorted; none if there is no such folder.

    Args:
      url: of the folder.
      depth: folders deeper than so many levels are not looked into.
      skipped: how the names of folders begin that are left out.

    Raises:
      Exception: of a kind that depends on the file system and on who serves it.
    """
    found, folders = [], [(epath.Path(url), depth)]
    # Each look is a request, which takes its time wherever it is answered.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        while folders:
            folder, levels = folders.pop()
            if folder == epath.Path(url) and not folder.exists():
                return []
            paths = list(folder.iterdir())
            for path, status in zip(
                paths, pool.map(lambda path: path.stat(), paths), strict=True
            ):
                if not status.is_directory:
                    modified = int(status.mtime or 0)
                    one = RemoteFile(os.fspath(path), status.length, modified)
                    found.append(one)
                elif levels > 1 and not path.name.startswith(skipped):
                    folders.append((path, levels - 1))
    return sorted(found, key=lambda one: one.url)


class Mirror:
    """The folder that stands for a remote one on this machine."""

    def __init__(
        self,
        url: str,
        there: Sequence[RemoteFile],
        *,
        mirrors: pathlib.Path,
        tell: Callable[[str], None],
    ):
        """Args:
        url: of the remote folder.
        there: its files, or those that matter.
        mirrors: the folder of all mirrors.
        tell: takes lines for the user.
        """
        self._url = url.rstrip("/")
        self._there = {one.url.removeprefix(f"{self._url}/"): one for one in there}
        self._tell = tell
        name = re.sub(r"[^A-Za-z0-9]+", "-", self._url)
        self.folder = mirrors / f"{name}-{fingerprint(self._url)[:8]}"

    def fetch_descriptions(self) -> None:
        """Copies all files but those of images.

        Raises:
          OSError: as `fetch`.
        """
        self._fetch([one for one in self._there if not _SHARD.search(one)])

    def fetch(self, paths: Iterable[str]) -> None:
        """Copies files that are not here yet, or are others there by now.

        Those that are not there stay as they are, for whoever reads them to tell.

        Args:
          paths: where they are to be, in `folder`.

        Raises:
          OSError: there is no room, or a file did not arrive whole. Others may arise
            from who serves it.

        Changes: `folder`.
        """
        root = os.path.realpath(self.folder)
        relative = [os.path.relpath(os.path.realpath(path), root) for path in paths]
        self._fetch([one for one in relative if one in self._there])

    def _fetch(self, relative: Sequence[str]) -> None:
        """Copies files by their paths below the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Another process may be copying the same; its lock dies with it.
        with open(self.folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            missing = [
                (self._there[one], self.folder / one)
                for one in relative
                if not _is_copy(self.folder / one, self._there[one])
            ]
            if missing:
                self._copy(missing, num_wanted=len(relative))

    def _copy(
        self, missing: Sequence[tuple[RemoteFile, pathlib.Path]], *, num_wanted: int
    ) -> None:
        """Copies files to their places, and tells how that goes on."""
        total = sum(one.num_bytes for one, _ in missing)
        self._tell(
            f"{len(missing):,} of {num_wanted:,} files, {readable_size(total)}, are "
            f"copied from {self._url} to {self.folder}, once."
        )
        free = shutil.disk_usage(self.folder).free
        if free < total:
            raise OSError(
                errno.ENOSPC,
                f"{readable_size(total)} are to be copied to {str(self.folder)!r}, "
                f"where {readable_size(free)} are free",
            )
        bar = _Bar(f"Copying from {self._url}", total=total, tell=self._tell)
        pool = concurrent.futures.ThreadPoolExecutor(_THREADS)
        try:
            for _ in pool.map(lambda pair: _copy(*pair, arrived=bar.add), missing):
                pass
        finally:
            # After one has failed no other is begun.
            pool.shutdown(cancel_futures=True)


class _Bar:
    """Tells now and then how much of something has arrived."""

    def __init__(self, what: str, *, total: int, tell: Callable[[str], None]):
        self._what, self._total, self._tell = what, total, tell
        self._lock = threading.Lock()
        self._done = 0
        self._started = self._told = time.monotonic()

    def add(self, count: int) -> None:
        """Adds bytes that have arrived."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._told < _SECONDS_BETWEEN_BARS and self._done < self._total:
                return
            self._told = now
            self._tell(self._line(now - self._started))

    def _line(self, seconds: float) -> str:
        fraction = min(1.0, self._done / max(self._total, 1))
        full = round(fraction * _BAR_WIDTH)
        left = seconds / max(fraction, 1e-9) - seconds
        return (
            f"{self._what} [{'#' * full}{'-' * (_BAR_WIDTH - full)}] {fraction:.0%}, "
            f"{readable_size(self._done)} of {readable_size(self._total)}, "
            f"{left / 60:.0f} minutes left"
        )


def _is_copy(path: pathlib.Path, of: RemoteFile) -> bool:
    """Returns whether a file here is what a remote one is."""
    try:
        found = path.stat()
    except OSError:
        return False
    same_time = not of.modified or int(found.st_mtime) == of.modified
    return found.st_size == of.num_bytes and same_time


def _copy(one: RemoteFile, path: pathlib.Path, *, arrived: Callable) -> None:
    """Copies a file; it has its name once it is whole, and the time of the original."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with epath.Path(one.url).open("rb") as source, open(part, "wb") as target:
        while content := source.read(_BYTES_PER_READ):
            target.write(content)
            arrived(len(content))
        target.flush()
        os.fsync(target.fileno())
        num_bytes = target.tell()
    if num_bytes != one.num_bytes:
        part.unlink()
        raise OSError(
            f"{one.url} has {one.num_bytes:,} bytes, and {num_bytes:,} arrived: it was "
            "changed meanwhile, or the connection broke. The same command copies it "
            "again"
        )
    if one.modified:
        os.utime(part, (one.modified, one.modified))
    part.replace(path)
