"""One copy of each dataset per machine, memory-mapped by all processes.

    <cache>/requests/<fingerprint>.json   which arrays a request ended in
    <cache>/<name>-<digest>/              arrays as .npy, and info.json

A folder is written under another name and renamed whole; one whose files are not as
info.json says counts as absent and is made again. One process at a time makes a
dataset; the lock dies with its process.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator

import numpy as np

from tflottery.core.fingerprints import fingerprint
from tflottery.datasets.arrays import RawSource, Source, Split

_FORMAT = 1
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_IMAGES_PER_READ = 4096
# What a folder that is missing or damaged raises while it is read.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError)


def load(
    name: str,
    request: dict[str, object],
    *,
    make: Callable[[], RawSource],
    cache_dir: str | None = None,
) -> Source:
    """Returns the arrays a request stands for, making them if the cache lacks them.

    Args:
      name: the dataset's name.
      request: what else decides the arrays; enters the fingerprint.
      make: called once, under a lock, if no process made the arrays before.
      cache_dir: folder of the cache, or None for `default_folder()`.

    Raises:
      OSError: the folder cannot be written; whatever `make` raises.

    Changes: writes to the cache folder.
    """
    root = pathlib.Path(cache_dir).expanduser() if cache_dir else default_folder()
    request = {"format": _FORMAT, "name": name, **request}
    pointer = root / "requests" / f"{fingerprint(request)}.json"
    source = _cached(root, pointer)
    if source is not None:
        return source
    with _lock(root, name):
        # Another process may have made it while this one waited for the lock.
        source = _cached(root, pointer)
        if source is None:
            folder = _written(root, name, make())
            _write_json(pointer, {"folder": folder.name, "request": request})
            source = _read(folder)
    return source


def default_folder() -> pathlib.Path:
    """Returns TFLOTTERY_CACHE, or a folder in the user's cache if that is not set."""
    chosen = os.environ.get("TFLOTTERY_CACHE") or "~/.cache/tflottery/datasets"
    return pathlib.Path(chosen).expanduser()


def _cached(root: pathlib.Path, pointer: pathlib.Path) -> Source | None:
    """Returns the arrays a pointer leads to, None if any of it is not whole."""
    try:
        return _read(root / json.loads(pointer.read_text())["folder"])
    except _UNREADABLE:
        return None


def _read(folder: pathlib.Path) -> Source:
    """Returns the arrays of a folder, memory-mapped; raises if it is not whole."""
    info = json.loads((folder / "info.json").read_text())
    for name, size in info["sizes"].items():
        found = (folder / f"{name}.npy").stat().st_size
        if found != size:
            raise ValueError(f"{folder / name}.npy has {found} bytes, not {size}.")
    # Mode 'c' because TensorFlow takes over writeable memory only; nothing writes.
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in _ARRAYS}
    return Source(
        name=info["name"],
        version=info["version"],
        digest=info["digest"],
        train=Split(arrays["train_images"], arrays["train_labels"]),
        test=Split(arrays["test_images"], arrays["test_labels"]),
        num_classes=info["num_classes"],
        mean=tuple(info["mean"]),
        std=tuple(info["std"]),
    )


def _written(root: pathlib.Path, name: str, raw: RawSource) -> pathlib.Path:
    """Returns the folder that now holds the arrays; the caller holds the lock."""
    making = root / f"making-{_safe(name)}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    try:
        info = _write_arrays(making, raw)
        info |= {"name": name, "version": raw.version, "num_classes": raw.num_classes}
        mean, std = _moments(raw.train_images)
        if not raw.normalized:
            mean, std = np.zeros_like(mean), np.ones_like(std)
        info |= {"mean": mean.tolist(), "std": std.tolist()}
        _write_json(making / "info.json", info)
        folder = root / f"{_safe(name)}-{info['digest']}"
        # Processes that have the old files mapped keep them until they end.
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def _write_arrays(folder: pathlib.Path, raw: RawSource) -> dict[str, object]:
    """Writes the arrays; returns their sizes in bytes and their digest."""
    description = [raw.version, raw.num_classes, raw.normalized]
    digest = hashlib.sha256(json.dumps(description).encode())
    sizes = {}
    for name in _ARRAYS:
        array = getattr(raw, name)
        array = array.astype(np.int32) if name.endswith("labels") else array
        array = np.ascontiguousarray(array)
        digest.update(json.dumps(array.shape).encode())
        digest.update(array)
        with open(folder / f"{name}.npy", "wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        sizes[name] = (folder / f"{name}.npy").stat().st_size
    return {"sizes": sizes, "digest": digest.hexdigest()[:16]}


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation per channel of images in [0, 1], float64.

    From counts of the 256 values, so that no sum is rounded. A channel of one value has
    standard deviation 1: nothing is to be scaled.
    """
    channels = images.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(images), _IMAGES_PER_READ):
        some = images[start : start + _IMAGES_PER_READ]
        for channel in range(channels):
            values = some[..., channel].reshape(-1)
            counts[channel] += np.bincount(values, minlength=256)
    values = np.arange(256) / 255
    total = counts.sum(axis=1)
    mean = counts @ values / total
    deviations = (values - mean[:, None]) ** 2
    std = np.sqrt((counts * deviations).sum(axis=1) / total)
    constant = (counts > 0).sum(axis=1) == 1
    return mean, np.where(constant, 1.0, std)


@contextlib.contextmanager
def _lock(root: pathlib.Path, name: str) -> Iterator[None]:
    """Holds the lock of a dataset; waits while another process has it."""
    try:
        (root / "requests").mkdir(parents=True, exist_ok=True)
        file = open(root / f"{_safe(name)}.lock", "w")
    except OSError as error:
        raise OSError(
            f"The dataset cache {str(root)!r} cannot be written ({error}). Set the "
            "environment variable TFLOTTERY_CACHE to a folder that can."
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_json(path: pathlib.Path, value: dict[str, object]) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    temporary.replace(path)


def _safe(name: str) -> str:
    """Returns a name that can be part of a file's: `a/b:1.0` has slash and colon."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
