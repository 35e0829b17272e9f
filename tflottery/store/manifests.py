"""Manifests: what an artifact is, how it came about, and which bytes it consists of.

A manifest is JSON whose last entry is the sha256 of all text before it, so that a
manifest cut short or changed by one byte is never taken for a whole one.
"""

import concurrent.futures
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import stat
import subprocess
from collections.abc import Mapping

import tflottery
from tflottery.core import hardware
from tflottery.training import process

FILE_NAME = "manifest.json"

# What a caller may say that may be another each time the same artifact is made.
INCIDENTAL = ("seconds", "work", "num_devices")

_FORMAT = 1
_SEAL = b' "manifest_sha256": "'
_END = b'"\n}\n'
# What the store itself writes; callers may not use these names.
_RESERVED = ("format", "address", "folder", "written", "environment", "files")
_PACKAGES = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu", "keras", "numpy")
_PACKAGES += ("safetensors", "tensorflow-datasets", "scikit-learn")


def plain(manifest: Mapping[str, object]) -> dict[str, object]:
    """Returns the caller's part of a manifest as it will read back from JSON.

    Raises:
      ValueError: it holds what JSON cannot hold, or a name kept for the store.
    """
    taken = sorted(set(manifest) & {*_RESERVED, "manifest_sha256"})
    if taken:
        raise ValueError(
            f"A manifest may not contain {taken}: the store writes these itself. "
            "Rename them."
        )
    try:
        return json.loads(json.dumps(dict(manifest), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"A manifest must be plain JSON (text, finite numbers, lists, dicts): "
            f"{error}. Got {manifest!r}."
        ) from error


def body(
    address: str,
    manifest: Mapping[str, object],
    *,
    files: Mapping[str, Mapping[str, object]],
    seconds: float,
    folder: str = "",
) -> dict[str, object]:
    """Returns a whole manifest, unsealed.

    Args:
      address: the artifact's address.
      manifest: the caller's part; its own "seconds" win over `seconds`.
      files: {"bytes": size, "sha256": digest} by relative name.
      seconds: how long the artifact took.
      folder: where its files are, relative to the address.
    """
    written = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return {
        "format": _FORMAT,
        "address": address,
        **({"folder": folder} if folder else {}),
        "seconds": round(seconds, 3),
        **plain(manifest),
        "written": written,
        "environment": environment(),
        "files": dict(files),
    }


def sealed(manifest: Mapping[str, object]) -> bytes:
    """Returns the manifest as the bytes of its file."""
    head = json.dumps(manifest, indent=1).encode()[:-2] + b",\n"
    return head + _SEAL + _digest(head) + _END


class UnsoundManifest(Exception):
    """A manifest that does not count; says why."""


def unsealed(data: bytes, address: str) -> dict[str, object]:
    """Returns the manifest in the bytes of its file.

    Args:
      data: the bytes.
      address: where the file lies.

    Raises:
      UnsoundManifest: a byte is not its own, or it belongs elsewhere.
    """
    head, seal, tail = data.rpartition(_SEAL)
    if not seal or tail != _digest(head) + _END:
        raise UnsoundManifest(f"{FILE_NAME} is cut short or changed")
    manifest = json.loads(data)
    if manifest["format"] != _FORMAT:
        raise UnsoundManifest(
            f"{FILE_NAME} has format {manifest['format']!r}, {_FORMAT} was expected"
        )
    if manifest["address"] != address:
        raise UnsoundManifest(f"it is {manifest['address']!r} in the wrong place")
    return manifest


def is_of(
    data: bytes,
    address: str,
    manifest: Mapping[str, object],
    *,
    files: Mapping[str, Mapping[str, object]],
) -> bool:
    """Returns whether a sound manifest says the same as another, with these files.

    But for what is incidental.
    """
    present = unsealed(data, address)
    wanted = {**plain(manifest), "files": files}
    return all(
        present.get(name) == value
        for name, value in wanted.items()
        if name not in INCIDENTAL
    )


def synced_files(folder: str) -> dict[str, dict[str, object]]:
    """Returns size and sha256 of every file in a local folder, by relative name.

    Changes: every file is flushed to the disk before this returns.

    Raises:
      ValueError: there is something else than files and folders, or a manifest.
    """
    paths = _plain_files(folder)
    # The disk works while the processor hashes; both take about as long.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as disk:
        sizes = disk.map(_synced_size, paths.values())
        digests = [_file_digest(path) for path in paths.values()]
        return {
            name: {"bytes": size, "sha256": digest}
            for name, size, digest in zip(paths, sizes, digests, strict=True)
        }


def environment() -> dict[str, object]:
    """Returns what ran, and on what; what is not known is None.

    "onednn" is known to the processes that have started TensorFlow.
    """
    return {
        **_versions(),
        "processor": hardware.processor(),
        "instruction_set": hardware.instruction_set(),
        "onednn": process.uses_onednn(),
    }


@functools.cache
def _versions() -> dict[str, object]:
    """Returns the versions of the packages and the commit, None if unknown."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "tflottery": tflottery.__version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": versions,
    }


def _plain_files(folder: str) -> dict[str, str]:
    """Returns the paths of a folder's files by relative name, sorted."""
    paths = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            if relative == FILE_NAME or not stat.S_ISREG(os.lstat(path).st_mode):
                raise ValueError(
                    f"An artifact holds plain files beside the manifest that the store "
                    f"writes, but {relative!r} is not one. Write its contents into a "
                    "file of another name."
                )
            paths[relative] = path
    return paths


def _synced_size(path: str) -> int:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def _file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_commit() -> str | None:
    """Returns the commit of this package's checkout, "-dirty" appended if changed."""
    here = os.path.abspath(__file__)
    describe = "describe --always --dirty --abbrev=40 --exclude=*"
    try:
        # An installed copy may lie in the checkout of something else.
        _git(here, f"ls-files --error-unmatch {os.path.basename(here)}")
        return _git(here, describe).strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _git(file: str, command: str) -> str:
    return subprocess.run(
        ["git", "--no-optional-locks", *command.split()],
        cwd=os.path.dirname(file),
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    ).stdout


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
