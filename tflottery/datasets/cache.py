"""One copy of each dataset per machine, memory-mapped by all processes.

    <cache>/requests/<fingerprint>.json   the copy a request ended in, and the edition
                                          of the data that it was made from
    <cache>/<name>-<digest>/              the copy (`copies`)
    <cache>/making-<name>/                a copy that is being made

A copy counts while its source holds the edition that it was made from, and its content
is what was written; otherwise it is made again, and why is logged. One process at a
time makes a dataset; the lock dies with its process, and what a killed one left goes
with the next that finds it.
"""

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator

from tflottery.core import paths
from tflottery.core.fingerprints import fingerprint
from tflottery.datasets import copies
from tflottery.datasets.arrays import RawSource, Source
from tflottery.datasets.copies import DamagedCopy

_FORMAT = 2
_LOG = logging.getLogger(__name__)


class _Unusable(Exception):
    """What a request ended in before does not count any more; says why."""


def load(
    name: str,
    request: dict[str, object],
    *,
    edition: Callable[[], str | None],
    make: Callable[[pathlib.Path], RawSource],
    cache_dir: str | None = None,
) -> Source:
    """Returns the arrays a request stands for, making them if the cache lacks them.

    Args:
      name: the dataset's name.
      request: what else was asked for; enters the fingerprint.
      edition: returns a text that changes whenever the source's data do, None where the
        source is not to be found: a copy made before counts then.
      make: called under a lock if there is no copy that counts, with an empty folder
        for files on the way, removed in the end.
      cache_dir: folder of the cache, or None for `default_folder()`.

    Raises:
      ValueError: no home folder is known, so there is no `default_folder()`.
      OSError: the folder cannot be written; whatever `make` or `edition` raises.

    Changes: writes to the cache folder.
    """
    root = default_folder() if cache_dir is None else _folder(cache_dir)
    request = _complete(name, request)
    with contextlib.suppress(_Unusable):
        source = _found(root, request, edition=edition())
        if source is not None:
            _sweep(root)
            return source
    with _lock(root, name):
        _sweep(root)
        # Another process may have made it while this one waited for the lock.
        now = edition()
        try:
            source = _found(root, request, edition=now)
        except _Unusable as reason:
            _LOG.warning("%s", reason)
            source = None
        return source or _made(root, request, make, edition=now)


def is_known(name: str, request: dict[str, object]) -> bool:
    """Returns whether a dataset was asked for in the same way before.

    Args: as of `load`, from `default_folder()`.
    """
    return _pointer(default_folder(), _complete(name, request)).exists()


def default_folder() -> pathlib.Path:
    """Returns TFLOTTERY_CACHE, or a folder in the user's cache if that is not set."""
    chosen = os.environ.get("TFLOTTERY_CACHE")
    return _folder(chosen or "~/.cache/tflottery/datasets")


def _folder(path: str) -> pathlib.Path:
    # Absolute: a program may move to another folder while it runs.
    return pathlib.Path(
        paths.expanded(path, otherwise="set TFLOTTERY_CACHE")
    ).absolute()


def _found(
    root: pathlib.Path, request: dict[str, object], *, edition: str | None
) -> Source | None:
    """Returns the copy a request ended in; None if it is asked for the first time.

    Raises:
      _Unusable: the copy is damaged, or made from another edition.
    """
    # The pointer says which copy a request ended in, and from which edition.
    pointer = _pointer(root, request)
    name = request["name"]
    try:
        known = json.loads(pointer.read_bytes())
        if known.pop("seal") != fingerprint(known):
            raise ValueError("it is not as it was written")
        if known["request"] != request:
            raise ValueError("it is that of another request")
        folder = root / known["folder"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _Unusable(
            f"{pointer}, which says where the copy of dataset {name!r} is, cannot be "
            f"read ({error}). The copy is made again."
        ) from error
    # A copy of what was there before is no copy of what is there now.
    if edition not in (None, known["edition"]):
        raise _Unusable(
            f"Dataset {name!r} was prepared anew, or changed, since its copy in "
            f"{folder} was made. It is read again."
        )
    # Its content is compared with what was written.
    try:
        source = copies.read(folder)
    except DamagedCopy as damage:
        raise _Unusable(
            f"The copy of dataset {name!r} in {folder} is damaged: {damage}. It is "
            "made again."
        ) from damage
    if edition is None:
        _LOG.warning(
            "Dataset %r is no longer where it was read from. Its copy in %s is used.",
            name,
            folder,
        )
    return source


def _made(
    root: pathlib.Path,
    request: dict[str, object],
    make: Callable[[pathlib.Path], RawSource],
    *,
    edition: str | None,
) -> Source:
    """Returns the arrays of a request, made now; the caller holds the lock.

    Args:
      root: folder of the cache.
      request: what was asked for.
      make: gives the arrays.
      edition: of the source before they were made, which stands where `make` does not
        say which one it read.
    """
    making = root / f"making-{_safe(request['name'])}"
    try:
        with _writable(root):
            shutil.rmtree(making, ignore_errors=True)
            (making / "source").mkdir(parents=True)
            (making / "copy").mkdir()
        raw = make(making / "source")
        with _writable(root):
            digest = copies.write(making / "copy", request["name"], raw)
            folder = root / copies.folder_name(_safe(request["name"]), digest, raw)
            _put(making / "copy", folder)
            known = {"folder": folder.name, "request": request}
            known["edition"] = edition if raw.edition is None else raw.edition
            known["seal"] = fingerprint(known)
            copies.write_json(_pointer(root, request), known)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return copies.read(folder)


def _put(copy: pathlib.Path, folder: pathlib.Path) -> None:
    """Moves a finished copy to its place, unless the same is there and sound."""
    try:
        copies.read(folder)
    except DamagedCopy:
        # Processes that have the old files mapped keep them until they end.
        shutil.rmtree(folder, ignore_errors=True)
        copy.rename(folder)


def _complete(name: str, request: dict[str, object]) -> dict[str, object]:
    return {"format": _FORMAT, "name": name, **request}


def _pointer(root: pathlib.Path, request: dict[str, object]) -> pathlib.Path:
    return root / "requests" / f"{fingerprint(request)}.json"


def _sweep(root: pathlib.Path) -> None:
    """Removes what killed processes left that were making a copy."""
    for making in root.glob("making-*"):
        lock = root / f"{making.name.removeprefix('making-')}.lock"
        with contextlib.suppress(OSError), open(lock, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(making, ignore_errors=True)


@contextlib.contextmanager
def _lock(root: pathlib.Path, name: str) -> Iterator[None]:
    """Holds the lock of a dataset; waits while another process has it."""
    with _writable(root):
        (root / "requests").mkdir(parents=True, exist_ok=True)
        file = open(root / f"{_safe(name)}.lock", "w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _writable(root: pathlib.Path) -> Iterator[None]:
    """Says of what cannot be written inside which folder it is, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"The dataset cache {str(root)!r} cannot be written ({error}). Set the "
            "environment variable TFLOTTERY_CACHE to a folder that can, with room for "
            "the data."
        ) from error


def _safe(name: str) -> str:
    """Returns a name that can be part of a file's: `a/b:1.0` has slash and colon."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
