"""Backends: how the folders of a store are kept, on a local disk or in an object store.

Local folders are moved into place whole. Object stores cannot rename, so there each
writing has a folder of its own inside the address and the manifest, written last, says
which one counts: two writers never touch each other's files.
"""

import collections
import contextlib
import errno
import os
import shutil
import urllib.parse
import uuid
from collections.abc import Container, Iterable, Iterator, Mapping

from etils import epath

from tflottery.store import addresses, buckets, local_copies, manifests

# What was replaced by another host is stale on NFS: there is another one by now.
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ESTALE)
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_ATTEMPTS = 100


class Local:
    """Folders under a folder of a file system that can rename.

    Attributes:
      may_lag: whether what others publish may not be seen at once; hosts may share it.
    """

    may_lag = True

    def __init__(self, root: str):
        self.root = os.path.abspath(os.path.expanduser(root))
        self.scratch = self.root

    def manifest(self, address: str) -> bytes | None:
        """Returns the bytes of the manifest at an address, None if there is none."""
        path = f"{self.root}/{address}/{manifests.FILE_NAME}"
        with unless_gone(), open(path, "rb") as file:
            return file.read()
        return None

    def stamps(
        self, address: str, folder: str, names: Iterable[str]
    ) -> list[tuple[int, ...] | None]:
        """Returns (bytes, ...) that change when a file does, of each; None: no file."""
        return [_stamp(f"{self.root}/{address}/{name}") for name in names]

    def look_anew(self, address: str) -> None:
        """Has the names on the way to an artifact seen as they are by now."""
        path = self.root
        for part in ("", *address.split("/")):
            path = os.path.join(path, part)
            open_anew(path)

    def readable(
        self, address: str, manifest: Mapping[str, object]
    ) -> tuple[epath.Path, bool]:
        """Returns a local folder with an artifact's files, and whether it is new.

        Never, here, where it is the artifact itself.
        """
        return epath.Path(self.root, address), False

    def forget_copy(self, address: str) -> bool:
        """Removes local copies; returns whether there can be any."""
        return False

    def new_folder(self) -> str:
        """Returns what the manifest says of where the files are: nothing, here."""
        return ""

    def publish(
        self, draft: str, address: str, *, folder: str, names: Iterable[str]
    ) -> None:
        """Moves a finished draft, manifest included, to its address.

        What was there is moved away first; the place is empty for an instant.
        """
        target = os.path.join(self.root, address)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        for _ in range(_ATTEMPTS):
            try:
                os.rename(draft, target)
                return
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            # Another writer may have come first, or moved the old one away already.
            self._take_away(target, f"{draft}-old-{uuid.uuid4().hex[:8]}")
        raise OSError(
            errno.EBUSY,
            f"{target!r} was taken by another process {_ATTEMPTS} times in a row",
        )

    def remove(self, address: str, draft: str) -> None:
        """Removes an artifact; `draft` is a free path to move it to first."""
        self._take_away(os.path.join(self.root, address), f"{draft}-removed")

    def move(self, address: str, new_address: str) -> None:
        """Moves an artifact, whole or not. Nothing happens if it is gone."""
        source = os.path.join(self.root, address)
        target = os.path.join(self.root, new_address)
        for _ in range(_ATTEMPTS):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                os.rename(source, target)
                return
            except FileNotFoundError:
                # Or else somebody took the empty folder away that it is to lie in.
                if not os.path.lexists(source):
                    return

    def listing(self, prefix: str) -> dict[str, frozenset[str]]:
        """Returns the names of the files of every artifact at or below a prefix.

        By address. One walk, that opens no file.
        """
        found = self._walked(prefix)
        if not found and prefix:
            # The name of the folder may only just have been made elsewhere.
            self.look_anew(prefix)
            found = self._walked(prefix)
        return found

    def _walked(self, prefix: str) -> dict[str, frozenset[str]]:
        """Returns as `listing`, by what names are known here."""
        found: dict[str, frozenset[str]] = {}
        # Most artifacts of a kind have the same names.
        kinds: dict[frozenset[str], frozenset[str]] = {}
        folders = [prefix]
        while folders:
            address = folders.pop()
            files, below = _content(f"{self.root}/{address}")
            if manifests.FILE_NAME in files:
                for name in below:
                    files += _files_below(f"{self.root}/{address}", name)
                names = frozenset(files) - {manifests.FILE_NAME}
                found[address] = kinds.setdefault(names, names)
            elif address:
                folders += [f"{address}/{name}" for name in below]
            else:
                folders += [name for name in below if name != addresses.DAMAGED]
        return found

    def _take_away(self, path: str, aside: str) -> None:
        """Removes a folder so that no reader sees half of it."""
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return
        shutil.rmtree(aside, ignore_errors=True)


class Remote:
    """Folders under a URL, such as gs://bucket/store, written by copying.

    Attributes:
      may_lag: whether what others publish may not be seen at once.
    """

    may_lag = False

    def __init__(self, root: str, scratch: str):
        """Args:
        root: the URL.
        scratch: a local folder for drafts, locks and copies.
        """
        self.root = root.rstrip("/")
        self.scratch = scratch
        self._bucket = buckets.Bucket(self.root)
        self._copies = local_copies.LocalCopies(f"{scratch}/{addresses.COPIES}")

    def manifest(self, address: str) -> bytes | None:
        """Returns the bytes of the manifest at an address, None if there is none."""
        return self._bucket.read(f"{address}/{manifests.FILE_NAME}")

    def stamps(
        self, address: str, folder: str, names: Iterable[str]
    ) -> list[tuple[int, ...] | None]:
        """Returns (bytes,) of each file, None if there is none. By one request."""
        names = [f"{address}/{folder}/{name}" for name in names]
        sizes = self._bucket.sizes(f"{address}/{folder}") if names else {}
        return [(sizes[name],) if name in sizes else None for name in names]

    def look_anew(self, address: str) -> None:
        """Does nothing: a bucket tells what is there."""

    def readable(
        self, address: str, manifest: Mapping[str, object]
    ) -> tuple[epath.Path, bool]:
        """Returns a local copy of an artifact, and whether it was only just made.

        It is for the caller to compare with the manifest.

        Raises:
          FileNotFoundError: a file is missing.
        """
        writing = manifest["folder"]
        found = self._copies.find(address, writing)
        if found is not None:
            return epath.Path(found), False

        def download(target: str) -> None:
            for name, promised in manifest["files"].items():
                path = os.path.join(target, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self._bucket.download(
                    f"{address}/{writing}/{name}", path, num_bytes=promised["bytes"]
                )

        return epath.Path(self._copies.add(address, writing, download)), True

    def forget_copy(self, address: str) -> bool:
        """Removes local copies; returns whether there can be any."""
        self._copies.remove(address)
        return True

    def new_folder(self) -> str:
        """Returns a name for a writing's own folder."""
        return uuid.uuid4().hex[:16]

    def publish(
        self, draft: str, address: str, *, folder: str, names: Iterable[str]
    ) -> None:
        """Copies a finished draft to its address, the manifest last."""
        old = self._unsealed(address)
        for name in names:
            self._bucket.upload(os.path.join(draft, name), f"{address}/{folder}/{name}")
        manifest = os.path.join(draft, manifests.FILE_NAME)
        self._bucket.upload(manifest, f"{address}/{manifests.FILE_NAME}")
        self._copies.remove(address)
        # Whoever reads it here, as the next job does, need not download it.
        with contextlib.suppress(OSError):
            self._copies.adopt(address, folder, draft)
        # What is left of the old one is in nobody's way.
        with contextlib.suppress(OSError):
            if old:
                self._bucket.remove_below(f"{address}/{old['folder']}")

    def remove(self, address: str, draft: str) -> None:
        """Removes an artifact, its manifest first."""
        self._copies.remove(address)
        self._bucket.remove(f"{address}/{manifests.FILE_NAME}")
        self._bucket.remove_below(address)

    def move(self, address: str, new_address: str) -> None:
        """Moves an artifact, whole or not, by copying."""
        for name in self._bucket.sizes(address):
            self._bucket.copy(name, new_address + name.removeprefix(address))
        self.remove(address, "")

    def listing(self, prefix: str) -> dict[str, frozenset[str]]:
        """Returns the names of the files of every artifact at or below a prefix.

        By address. One listing of all files, a request for each thousand, that opens
        none: but where something was written in vain beside an artifact's own files
        its manifest tells which those are.
        """
        paths = list(self._bucket.sizes(prefix))
        ending = f"/{manifests.FILE_NAME}"
        # By address, the names of files in each of its writings' folders.
        written: dict[str, dict[str, list[str]]] = {
            address: collections.defaultdict(list)
            for address in (
                one.removesuffix(ending) for one in paths if one.endswith(ending)
            )
            if addresses.is_address(address)
        }
        for path in paths:
            address = _above(path, written)
            if address is not None and path != address + ending:
                folder, _, name = path.removeprefix(f"{address}/").partition("/")
                written[address][folder].append(name)
        # Most artifacts of a kind have the same names.
        kinds: dict[frozenset[str], frozenset[str]] = {}
        found = {}
        for address, folders in written.items():
            if len(folders) > 1:
                names = frozenset((self._unsealed(address) or {"files": ()})["files"])
            else:
                names = frozenset(*folders.values())
            found[address] = kinds.setdefault(names, names)
        return found

    def _unsealed(self, address: str) -> dict[str, object] | None:
        """Returns the manifest at an address, None if there is no sound one."""
        try:
            return manifests.unsealed(self.manifest(address) or b"", address)
        except manifests.UnsoundManifest:
            return None


def backend_of(root: str) -> Local | Remote:
    """Returns the backend of a store, given its folder or URL."""
    if "://" not in root:
        return Local(root)
    name = urllib.parse.quote(root, safe="")
    return Remote(root, cache(f"remote/{name}"))


def open_anew(folder: str) -> None:
    """Opens a folder, if it is there: Linux then asks the server of an NFS for it.

    Names that others have made in it are seen from then on.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))


@contextlib.contextmanager
def unless_gone() -> Iterator[None]:
    """Ends a block where there is no such file or folder, or none any more."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise


def cache(name: str) -> str:
    """Returns a folder of this user's cache."""
    return os.path.join(os.path.expanduser("~/.cache/tflottery"), name)


def _stamp(path: str) -> tuple[int, ...] | None:
    """Returns (bytes, ...) that change when a file does, None if there is none."""
    with unless_gone():
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    return None


def _above(path: str, known: Container[str]) -> str | None:
    """Returns which of the known addresses a file lies at or below, None if at none."""
    return next((one for one in addresses.above(path) if one in known), None)


def _content(path: str) -> tuple[list[str], list[str]]:
    """Returns the names of a local folder's files, and of folders in an address."""
    files, folders = [], []
    with unless_gone(), os.scandir(path) as entries:
        for entry in entries:
            if not _is_folder(entry):
                files.append(entry.name)
            elif addresses.is_part(entry.name):
                folders.append(entry.name)
        return files, folders
    # Moved away meanwhile.
    return [], []


def _is_folder(entry: os.DirEntry) -> bool:
    """Returns whether an entry is a folder or leads to one."""
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself.
        return False


def _files_below(path: str, folder: str) -> list[str]:
    """Returns the names of the files below a folder of a local artifact."""
    files, below = _content(f"{path}/{folder}")
    names = [f"{folder}/{name}" for name in files]
    for name in below:
        names += _files_below(path, f"{folder}/{name}")
    return names
