"""Places: how the folders of a store are kept, on a local disk or in an object store.

Local folders are moved into place whole. Object stores cannot rename, so there each
writing has a folder of its own inside the address and the manifest, written last, says
which one counts: two writers never touch each other's files.
"""

import collections
import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Container, Iterable, Mapping

from etils import epath

from tflottery.store import addresses, buckets, local_copies, manifests

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_ATTEMPTS = 100


class Local:
    """Folders under a folder of a file system that can rename."""

    def __init__(self, root: str):
        self.root = os.path.abspath(os.path.expanduser(root))
        self.scratch = self.root

    def manifest(self, address: str) -> bytes | None:
        """Returns the bytes of the manifest at an address, None if there is none."""
        try:
            with open(f"{self.root}/{address}/{manifests.FILE_NAME}", "rb") as file:
                return file.read()
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            return None

    def stamp(self, address: str, folder: str, name: str) -> tuple[int, ...] | None:
        """Returns (bytes, ...) that change when a file does, None if there is none."""
        try:
            found = os.stat(f"{self.root}/{address}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino

    def folder(self, address: str, folder: str) -> epath.Path:
        """Returns the folder with an artifact's files."""
        return epath.Path(self.root, address)

    def readable(
        self, address: str, manifest: Mapping[str, object]
    ) -> tuple[epath.Path, bool]:
        """Returns a local folder with an artifact's files, and whether it is new.

        Never, here, where it is the artifact itself.
        """
        return self.folder(address, ""), False

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
        target = os.path.join(self.root, new_address)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            os.rename(os.path.join(self.root, address), target)
        except FileNotFoundError:
            return

    def listing(self, prefix: str) -> dict[str, frozenset[str]]:
        """Returns the names of the files of every artifact at or below a prefix.

        By address. One walk, that opens no file.
        """
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
    """Folders under a URL, such as gs://bucket/store, written by copying."""

    def __init__(self, root: str, scratch: str):
        """Args:
        root: the URL.
        scratch: a local folder for drafts, locks and copies.
        """
        self.root = root.rstrip("/")
        self.scratch = scratch
        self._copies = local_copies.LocalCopies(f"{scratch}/{addresses.COPIES}")

    def manifest(self, address: str) -> bytes | None:
        """Returns the bytes of the manifest at an address, None if there is none."""
        try:
            with self._manifest_path(address).open("rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def stamp(self, address: str, folder: str, name: str) -> tuple[int, ...] | None:
        """Returns (bytes,) of a file, None if there is none."""
        try:
            return (self.folder(address, folder).joinpath(name).stat().length,)
        except FileNotFoundError:
            return None

    def folder(self, address: str, folder: str) -> epath.Path:
        """Returns the folder with an artifact's files."""
        return epath.Path(f"{self.root}/{address}/{folder}")

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
            for name in manifest["files"]:
                path = epath.Path(target, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                (self.folder(address, writing) / name).copy(path, overwrite=True)

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
        target = self.folder(address, folder)
        for name in names:
            destination = target / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            epath.Path(draft, name).copy(destination, overwrite=True)
        manifest = self._manifest_path(address)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        epath.Path(draft, manifests.FILE_NAME).copy(manifest, overwrite=True)
        self._copies.remove(address)
        # Whoever reads it here, as the next job does, need not download it.
        with contextlib.suppress(OSError):
            self._copies.adopt(address, folder, draft)
        if old:
            self.folder(address, old["folder"]).rmtree(missing_ok=True)

    def remove(self, address: str, draft: str) -> None:
        """Removes an artifact, its manifest first."""
        self._copies.remove(address)
        self._manifest_path(address).unlink(missing_ok=True)
        epath.Path(f"{self.root}/{address}").rmtree(missing_ok=True)

    def move(self, address: str, new_address: str) -> None:
        """Moves an artifact, whole or not, by copying."""
        source = f"{self.root}/{address}"
        for path in list(_files(epath.Path(source))):
            name = str(path).removeprefix(source).lstrip("/")
            target = epath.Path(f"{self.root}/{new_address}/{name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            path.copy(target, overwrite=True)
        self.remove(address, "")

    def listing(self, prefix: str) -> dict[str, frozenset[str]]:
        """Returns the names of the files of every artifact at or below a prefix.

        By address. One listing of all files, a request for each thousand, that opens
        none: but where something was written in vain beside an artifact's own files
        its manifest tells which those are.
        """
        system = buckets.file_system(self.root)
        system.invalidate_cache()
        root = system._strip_protocol(self.root).strip("/")
        paths = [
            path.strip("/").removeprefix(f"{root}/")
            for path in system.find(f"{self.root}/{prefix}".rstrip("/"))
        ]
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

    def _manifest_path(self, address: str) -> epath.Path:
        return epath.Path(f"{self.root}/{address}/{manifests.FILE_NAME}")


def _above(path: str, known: Container[str]) -> str | None:
    """Returns which of the known addresses a file lies at or below, None if at none."""
    parts = path.split("/")
    beginnings = ("/".join(parts[:length]) for length in range(1, len(parts)))
    return next((one for one in beginnings if one in known), None)


def _content(path: str) -> tuple[list[str], list[str]]:
    """Returns the names of a local folder's files, and of folders in an address."""
    files, folders = [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not _is_folder(entry):
                    files.append(entry.name)
                elif addresses.is_part(entry.name):
                    folders.append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        # Moved away meanwhile.
        return [], []
    return files, folders


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


def _files(folder: epath.Path) -> Iterable[epath.Path]:
    """Yields every file below a folder of an object store."""
    # Not by `walk`, whose paths lack the gs:// when fsspec answers.
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files(path)
        else:
            yield path
