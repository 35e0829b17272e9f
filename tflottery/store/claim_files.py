"""The small files of claims: made only where there is none, on a disk or in a bucket.

Nothing here renames or deletes to decide who was first: making a file of a name that is
free is what file systems of many hosts and object stores do as one step: NFS since
version 3 leaves it to the server, whatever names the client remembers.
"""

import contextlib
import os

from tflottery.store import backends, buckets


class LocalFiles:
    """Small files in a folder of a file system."""

    def __init__(self, folder: str):
        self._folder = folder

    def names(self) -> list[str]:
        """Returns the names of all files."""
        with backends.unless_gone():
            return os.listdir(self._folder)
        # Only just made elsewhere, it may not be seen unless those above are opened.
        root = os.path.dirname(self._folder)
        for folder in (os.path.dirname(root), root):
            backends.open_anew(folder)
        with backends.unless_gone():
            return os.listdir(self._folder)
        return []

    def read(self, name: str) -> bytes | None:
        """Returns the bytes of a file, None if there is none."""
        with backends.unless_gone(), open(self._path(name), "rb") as file:
            return file.read()
        return None

    def create(self, name: str, data: bytes) -> bool:
        """Makes a file; returns whether there was none of that name."""
        os.makedirs(self._folder, exist_ok=True)
        try:
            descriptor = os.open(
                self._path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666
            )
        except FileExistsError:
            return False
        try:
            _write(descriptor, data)
        except OSError:
            # An empty file would have everybody wait for who made it.
            self.remove(name)
            raise
        finally:
            os.close(descriptor)
        return True

    def overwrite(self, name: str, data: bytes) -> bool:
        """Writes a file in place, if it is there; returns whether it was.

        As many bytes as before need no room on a disk.
        """
        with backends.unless_gone():
            descriptor = os.open(self._path(name), os.O_WRONLY)
            try:
                _write(descriptor, data)
            finally:
                os.close(descriptor)
            return True
        return False

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)


class RemoteFiles:
    """Small objects under a URL.

    On gs:// to make one asks for generation 0 of the object.
    """

    def __init__(self, folder: str):
        self._bucket = buckets.Bucket(folder)

    def names(self) -> list[str]:
        """Returns the names of all files."""
        return list(self._bucket.sizes(""))

    def read(self, name: str) -> bytes | None:
        """Returns the bytes of a file, None if there is none."""
        return self._bucket.read(name)

    def create(self, name: str, data: bytes) -> bool:
        """Makes a file; returns whether there was none of that name."""
        return self._bucket.create(name, data)

    def overwrite(self, name: str, data: bytes) -> bool:
        """Writes a file anew, or a new one, which does not count if others went on."""
        self._bucket.write(name, data)
        return True

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        self._bucket.remove(name)


def _write(descriptor: int, data: bytes) -> None:
    """Writes all of a file and has it on the disk, or on the server."""
    os.pwrite(descriptor, data, 0)
    os.ftruncate(descriptor, len(data))
    os.fsync(descriptor)
