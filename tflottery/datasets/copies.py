"""A dataset's copy on this machine: a folder of arrays, checked before it is used.

    train_images.npy, train_labels.npy, test_images.npy, test_labels.npy
                   of encoded images, where each is and its checksum: they are not
                   copied, and info.json says in which files they are
    info.json      what else a loop needs, the sha256 of each array's file, and a seal
    checked.json   size, times and inode of these files when their content was checked

The content is compared with info.json before it is used, unless the files are still as
checked.json says: nobody writes to a file without changing what stands there. What a
disk loses by itself, with nothing written, is noticed only where checked.json is gone;
delete it to have the content compared again.
"""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import time

import numpy as np

from tflottery.core.fingerprints import fingerprint
from tflottery.datasets import encoded
from tflottery.datasets.arrays import (
    RawSource,
    Source,
    Split,
    Stamp,
    moments,
    stamp_of,
)
from tflottery.datasets.encoded import EncodedImages

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_INFO, _CHECKED = "info.json", "checked.json"
# A file written twice within the resolution of its times would look untouched.
_SETTLED_SECONDS = 2.0
# Of what tells a file of records from what it was when its images were indexed: size
# and time.
_KEPT_STAMPS = 2


class DamagedCopy(RuntimeError):
    """A copy is not what was written; says what is wrong with it."""


def write(folder: pathlib.Path, name: str, raw: RawSource) -> str:
    """Writes the arrays of a source to an empty folder; returns their digest.

    The digest is that of the arrays, whatever numpy puts into the files beside them.
    """
    # The digest covers all that decides what a network is shown.
    description = [raw.version, raw.num_classes, raw.normalized]
    description += [raw.moments] if raw.moments else []
    digest = hashlib.sha256(json.dumps(description).encode())
    files = {}
    for key in _ARRAYS:
        array = getattr(raw, key)
        if isinstance(array, EncodedImages):
            array = array.table
        array = array.astype(np.int32) if key.endswith("labels") else array
        array = np.ascontiguousarray(array)
        digest.update(json.dumps(array.shape).encode())
        digest.update(array)
        path = folder / f"{key}.npy"
        with open(path, "wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        files[path.name] = _sha256(path)
    # By what images are normalized: of the training images, never of the others.
    mean, std = map(np.array, raw.moments or moments(raw.train_images))
    if not raw.normalized:
        mean, std = np.zeros_like(mean), np.ones_like(std)
    info = {
        "name": name,
        "version": raw.version,
        "num_classes": raw.num_classes,
        "mean": mean.tolist(),
        "std": std.tolist(),
        "files": files,
        "digest": digest.hexdigest()[:16],
    }
    if isinstance(raw.train_images, EncodedImages):
        splits = {"train": raw.train_images, "test": raw.test_images}
        info["record_format"] = raw.train_images.files.FORMAT
        info["records"] = {
            split: images.files.paths for split, images in splits.items()
        }
        info["indexed"] = {
            path: stamp_of(path)[:_KEPT_STAMPS]
            for paths in info["records"].values()
            for path in paths
        }
    write_json(folder / _INFO, info | {"seal": fingerprint(info)})
    return info["digest"]


def folder_name(name: str, digest: str, raw: RawSource) -> str:
    """Returns what the folder of a copy is called; it ends in the digest.

    Data that are not copied have a folder for each place where they are.
    """
    if not isinstance(raw.train_images, EncodedImages):
        return f"{name}-{digest}"
    place = fingerprint([raw.train_images.files.paths, raw.test_images.files.paths])
    return f"{name}-{place[:8]}-{digest}"


def read(folder: pathlib.Path) -> Source:
    """Returns the arrays of a folder, memory-mapped, once their content is checked.

    Content that this process found sound, or another one that left checked.json, is
    compared again only if a file changed.

    Raises:
      DamagedCopy: the folder does not hold what was written to it.

    Changes: writes checked.json after the content was compared.
    """
    names = (_INFO, *(f"{key}.npy" for key in _ARRAYS))
    try:
        stamps = tuple((name, stamp_of(folder / name)) for name in names)
        info = _unsealed(folder)
        _check_content(folder, stamps)
        # Mode 'c' because TensorFlow takes over writeable memory only; nothing writes.
        arrays = {key: np.load(folder / f"{key}.npy", mmap_mode="c") for key in _ARRAYS}
        read_later = {}
        for split, paths in info.get("records", {}).items():
            read_later |= {path: stamp_of(path) for path in paths}
            key = f"{split}_images"
            arrays[key] = encoded.in_files(
                paths, arrays[key], form=info["record_format"]
            )
        for path, stamp in info.get("indexed", {}).items():
            if list(read_later[path][:_KEPT_STAMPS]) != stamp:
                raise ValueError(f"{path} was written to since it was indexed")
        if any(stamp_of(folder / name) != stamp for name, stamp in stamps):
            raise ValueError("its files were changed while they were checked")
    except OSError as error:
        path = pathlib.Path(error.filename or folder)
        raise DamagedCopy(f"{path.name}: {error.strerror}") from error
    except ValueError as error:
        raise DamagedCopy(str(error)) from error
    return Source(
        name=info["name"],
        version=info["version"],
        digest=info["digest"],
        train=Split(arrays["train_images"], arrays["train_labels"]),
        test=Split(arrays["test_images"], arrays["test_labels"]),
        num_classes=info["num_classes"],
        mean=tuple(info["mean"]),
        std=tuple(info["std"]),
        stamps={str(folder / name): stamp for name, stamp in stamps} | read_later,
    )


def _unsealed(folder: pathlib.Path) -> dict[str, object]:
    """Returns what info.json says; raises ValueError if it is not what was written."""
    try:
        info = json.loads((folder / _INFO).read_bytes())
        seal = info.pop("seal")
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{_INFO} cannot be read ({error})") from error
    if seal != fingerprint(info):
        raise ValueError(f"{_INFO} is not as it was written")
    if not folder.name.endswith(f"-{info['digest']}"):
        raise ValueError(f"{_INFO} belongs to another copy, {info['digest']}")
    return info


@functools.lru_cache(maxsize=64)
def _check_content(folder: pathlib.Path, stamps: tuple[tuple[str, Stamp], ...]) -> None:
    """Raises ValueError unless every file has the content that was written.

    Args:
      folder: of the copy.
      stamps: of its files as they are, by name.
    """
    with contextlib.suppress(OSError, ValueError):
        known = json.loads((folder / _CHECKED).read_bytes())
        if known == [[name, list(stamp)] for name, stamp in stamps]:
            return
    for name, sha256 in _unsealed(folder)["files"].items():
        if _sha256(folder / name) != sha256:
            raise ValueError(f"{name} is not as it was written")
    last_change = max(stamp[2] for _, stamp in stamps) / 1e9
    if time.time() - last_change > _SETTLED_SECONDS:
        # Where that cannot be written each process checks for itself, and so it does
        # where another one reads half of it.
        with contextlib.suppress(OSError):
            (folder / _CHECKED).write_text(json.dumps(stamps) + "\n")


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: pathlib.Path, value: object) -> None:
    """Writes plain JSON so that a reader sees all of it or what was there before.

    The caller is the only one that writes there.
    """
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    temporary.replace(path)
