"""A bucket: objects under a URL, by fsspec, and what to do about what it refuses.

On gs:// that is gcsfs. Nothing that it read once is believed again: other processes
and hosts write here as well, so its memory of listings is switched off. Each request is
tried six times in half a minute and ends after `_SILENT_SECONDS` without a byte.
"""

import contextlib
import errno
import logging
import os
import re
from collections.abc import Iterator

import fsspec
from etils.epath import backend

from tflottery.store.errors import CHOOSE, BucketError, StoreError

_SILENT_SECONDS = 30.0
# What is larger goes to the disk piece by piece.
_MANY_BYTES = 32 * 2**20
# Names of the packages whose exceptions tell of a bucket.
_LIBRARIES = ("aiohttp", "fsspec", "gcsfs", "google", "requests")
_LATER = "What was finished is kept: the same command goes on when it is called again"


def file_system(url: str) -> fsspec.AbstractFileSystem:
    """Returns the file system of a URL, the one that epath would use.

    Changes: from then on it keeps no listings, and its requests end.

    Raises:
      StoreError: the package for it is not installed.
    """
    try:
        system = backend.fsspec_backend.fs(url)
    except ImportError as error:
        raise StoreError(
            f"A store in {url!r} takes a package that is not installed, also where it "
            f"is only read: {error}. For gs:// it is gcsfs (pip install "
            "'tflottery[gcs]'), which lists it as a whole and makes a file only where "
            "there is none."
        ) from error
    system.dircache.use_listings_cache = False
    if getattr(system, "requests_timeout", 0.0) is None:
        import aiohttp

        system.requests_timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_SILENT_SECONDS, sock_read=_SILENT_SECONDS
        )
        # What it logs before it raises would be told twice, with a traceback.
        logging.getLogger("gcsfs").addHandler(logging.NullHandler())
    return system


class Bucket:
    """The objects under a URL, by the part of their names behind it.

    Every method raises BucketError where the bucket does not do what it is asked.
    """

    def __init__(self, root: str):
        """Args:
        root: the URL.
        """
        self._root = root.rstrip("/")

    def ensure(self) -> None:
        """Raises BucketError unless there is a bucket that can be listed."""
        with self._asked("list") as system:
            if not hasattr(system, "call"):
                system.exists(self._root)
                return
            # An empty bucket lists nothing, and one that is not there neither.
            name = self._stripped(system).partition("/")[0]
            try:
                system.call("GET", "b/{}/o", name, maxResults=1)
            except FileNotFoundError as error:
                raise self._without_bucket() from error

    def read(self, name: str) -> bytes | None:
        """Returns the bytes of an object, None if there is none."""
        with self._asked("read") as system:
            try:
                return system.cat_file(self._path(name))
            except FileNotFoundError:
                return None

    def sizes(self, folder: str) -> dict[str, int]:
        """Returns how many bytes each object at or below a folder has, by its name."""
        with self._asked("list") as system:
            root = self._stripped(system)
            found = system.find(self._path(folder).rstrip("/"), detail=True)
            return {
                path.strip("/").removeprefix(f"{root}/"): told["size"]
                for path, told in found.items()
            }

    def create(self, name: str, data: bytes) -> bool:
        """Makes an object; returns whether there was none of that name."""
        with self._asked("write") as system:
            try:
                system.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                # By this call, if its answer was lost and it was tried again.
                return self.read(name) == data
            except FileNotFoundError as error:
                raise self._without_bucket() from error
        return True

    def write(self, name: str, data: bytes) -> None:
        """Writes an object anew."""
        with self._asked("write") as system:
            try:
                system.pipe_file(self._path(name), data)
            except FileNotFoundError as error:
                raise self._without_bucket() from error

    def upload(self, path: str, name: str) -> None:
        """Writes an object with the bytes of a local file."""
        with self._asked("write") as system:
            try:
                system.put_file(path, self._path(name))
            except FileNotFoundError as error:
                raise self._without_bucket() from error

    def download(self, name: str, path: str, *, num_bytes: int) -> None:
        """Writes the bytes of an object into a local file.

        Args:
          name: of the object.
          path: of the file.
          num_bytes: about how many they are.

        Raises:
          FileNotFoundError: there is no such object.
        """
        if num_bytes > _MANY_BYTES:
            with self._asked("read") as system:
                system.get_file(self._path(name), path)
            return
        # One request in place of three.
        data = self.read(name)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        with open(path, "wb") as file:
            file.write(data)

    def copy(self, name: str, new_name: str) -> None:
        """Copies an object within the bucket; nothing happens if it is gone."""
        with self._asked("write") as system, contextlib.suppress(FileNotFoundError):
            system.cp_file(self._path(name), self._path(new_name))

    def remove(self, name: str) -> None:
        """Removes an object, if it is there."""
        with self._asked("remove") as system, contextlib.suppress(FileNotFoundError):
            system.rm_file(self._path(name))

    def remove_below(self, folder: str) -> None:
        """Removes the objects below a folder."""
        for name in self.sizes(folder):
            self.remove(name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _stripped(self, system: fsspec.AbstractFileSystem) -> str:
        return system._strip_protocol(self._root).strip("/")

    def _without_bucket(self) -> BucketError:
        name = self._root.partition("://")[2].partition("/")[0]
        return BucketError(
            f"there is no bucket {name!r}. Make it first, mind how it is spelled, or "
            f"{CHOOSE}"
        )

    @contextlib.contextmanager
    def _asked(self, task: str) -> Iterator[fsspec.AbstractFileSystem]:
        """Gives the file system; says in words why it does not do what it is asked.

        Args:
          task: "read", "list", "write" or "remove".

        Raises:
          BucketError: so it was.
          FileNotFoundError, FileExistsError: for the caller to make something of.
        """
        try:
            yield file_system(self._root)
        except (FileNotFoundError, FileExistsError, BucketError):
            raise
        except Exception as error:
            if not _is_of_library(error) or getattr(error, "errno", None) is not None:
                raise
            raise BucketError(f"{_reason(error, task)}. {_LATER}") from error


def _is_of_library(error: Exception) -> bool:
    """Returns whether an exception was raised for what a bucket answered."""
    if isinstance(error, OSError):
        return True
    module = type(error).__module__.partition(".")[0]
    return module in _LIBRARIES or str(error).startswith("Bad Request")


def _reason(error: Exception, task: str) -> str:
    """Returns what is wrong, and what to do."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    code = getattr(error, "code", None) or getattr(error, "status", None)
    found = re.match(r"\d+", str(code or ""))
    code = int(found[0]) if found else None
    if code == 401 or type(error).__module__.startswith("google.auth"):
        return (
            f"the bucket does not know who asks ({said}): credentials are missing or "
            "have expired. Renew them, as by `gcloud auth application-default login`"
        )
    if code == 403 or str(error).startswith("Forbidden"):
        return (
            f"a permission to {task} objects is missing ({said}). A store takes "
            "storage.objects.get and .list to be read, and .create and .delete to be "
            "written (the role Storage Object User has all)"
        )
    if code is not None and (code in (408, 429) or code >= 500):
        return (
            f"the bucket was asked several times and did not {task} ({said}): its "
            "service is overloaded or away. Try again later"
        )
    if code is None and not isinstance(error, ValueError):
        return (
            f"the connection to the bucket broke off, several times ({said}). Check "
            "the network"
        )
    return f"the bucket did not {task} ({said})"
