"""Images and labels of the user's own: registered in a line, or in a file or folders.

    tflottery.datasets.register("mine", train=(x, y), test=(x_test, y_test))
    --dataset=npz:mine.npz      x_train, y_train, x_test and y_test of `np.savez`
    --dataset=folder:photos     photos/train/CLASS/*.png, photos/test/CLASS/* (or val)
    --dataset=folder:photos@64  the same, each cropped to a square and made 64 x 64

A path is part of the data set's name, and so of the keys of what is trained on it;
what it held when it was read is told by its digest, as of all data.
"""

import dataclasses
import hashlib
import os
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from tflottery.core import fingerprints, numpy_files, paths
from tflottery.core.recipes import Recipe
from tflottery.core.registry import DATASETS
from tflottery.datasets import cache, image_folders
from tflottery.datasets.arrays import RawSource, Source

_NPZ, _FOLDER = "npz:", "folder:"
_NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
# Raised whenever the same files come to other arrays.
_VERSION = "1"
_MOST_BYTES = 4 * 2**30
# How PIL calls pixels of 16 and 32 bits.
_DEEP_MODES = ("I", "F")
_IN_FILES = (
    "To train on images of any sizes and number, as on ImageNet's, that stay in files: "
    "python -m tflottery.datasets.prepare_folder --folder=FOLDER --name=NAME"
)

Examples = tuple[np.ndarray, np.ndarray]


def register(
    name: str, *, train: Examples, test: Examples, normalized: bool = True
) -> None:
    """Registers images and labels as a data set, for commands that import the caller.

    Args:
      name: what it is called, as in --dataset=NAME.
      train: images, [examples, height, width] or with channels, uint8; and labels,
        [examples], whole numbers from 0.
      test: images of the same shape, and labels.
      normalized: as of `arrays.RawSource`.

    Changes: the registry of data sets.

    Raises:
      ValueError: the name is taken, or the arrays are no such images and labels.
    """
    raw = _raw_source(train, test, normalized=normalized)
    digest = hashlib.sha256(f"normalized={normalized}".encode())
    for array in map(np.asarray, (*train, *test)):
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    # As long as the arrays are these, they are read from the cache.
    raw = dataclasses.replace(raw, version=digest.hexdigest()[:16])

    def function(**unused: object) -> RawSource:
        del unused
        return raw

    # Errors and `tflottery.check` go by the module that registered a name.
    function.__module__ = sys._getframe(1).f_globals.get("__name__", __name__)
    DATASETS.register(name, adapt_recipe=_as_it_is, version=raw.version)(function)


def names_files(name: str) -> bool:
    """Returns whether a data set's name says in which file or folder it is."""
    return name.startswith((_NPZ, _FOLDER))


def short_name(name: str) -> str:
    """Returns a data set's name for folders: of a path only the last part."""
    return name.rpartition("/")[2] if names_files(name) else name


def refuse_absent(name: str) -> None:
    """Raises ValueError if a data set's name says where it is, and it never was there.

    What was read once stays in the cache.
    """
    if names_files(name):
        path, _ = _place(name)
        _refuse_other_kind(name, path)
        if not path.exists() and not cache.is_known(name, {}):
            raise ValueError(_absent(name, path))


def cached(name: str, *, cache_dir: str | None = None) -> Source:
    """Returns the images and labels of a file or folder, from the cache or made there.

    Raises:
      ValueError: they are not as a data set has to be; says what is expected.
      FileNotFoundError: there is no such file or folder, and there never was.

    Changes: the first time, writes the arrays to the cache folder.
    """
    return cache.load(
        name,
        {},
        edition=lambda: _edition(name),
        make=lambda working_dir: _read(name),
        cache_dir=cache_dir,
    )


def _edition(name: str) -> str | None:
    """Returns what tells what is in a file or folder from any other; None: not there.

    It changes whenever a file is added, removed or written to.
    """
    path, _ = _place(name)
    if not path.exists():
        return None
    files = [path] if path.is_file() else sorted(path.glob("*/*/*"))
    stats = [(os.fspath(one.relative_to(path)), one.stat()) for one in files]
    return fingerprints.fingerprint(
        [(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats]
    )


def _read(name: str) -> RawSource:
    """Returns the images and labels of a file or folder."""
    path, size = _place(name)
    if not path.exists():
        raise FileNotFoundError(_absent(name, path))
    _refuse_other_kind(name, path)
    if name.startswith(_NPZ):
        return _raw_source(*_npz(path))
    return _raw_source(*_folders(path, size))


def _as_it_is(recipe: Recipe) -> Recipe:
    return recipe


def _place(name: str) -> tuple[pathlib.Path, int | None]:
    """Returns the path in a name, and how large images are made; None: as they are."""
    text, size = name.partition(":")[2], None
    if name.startswith(_FOLDER) and text.rpartition("@")[2].isdecimal():
        text, _, digits = text.rpartition("@")
        size = int(digits)
    if not text or size == 0:
        raise ValueError(
            f"--dataset={name!r} names no place. Write npz:FILE, folder:FOLDER or "
            "folder:FOLDER@64 for images made 64 x 64."
        )
    return pathlib.Path(paths.expanded(text)).absolute(), size


def _absent(name: str, path: pathlib.Path) -> str:
    return (
        f"There is no {path}, which data set {name!r} is to be read from. Mind how it "
        "is spelled, and the folder that the command runs in."
    )


def _refuse_other_kind(name: str, path: pathlib.Path) -> None:
    """Raises ValueError for a folder in place of a file, or a file of a folder."""
    if path.is_dir() and name.startswith(_NPZ):
        raise ValueError(f"{path} is a folder. Write {_FOLDER}{path}, or name a file.")
    if path.is_file() and name.startswith(_FOLDER):
        raise ValueError(f"{path} is a file. Write {_NPZ}{path}, or name a folder.")


def _npz(path: pathlib.Path) -> tuple[Examples, Examples]:
    """Returns the training and test examples of a file of `np.savez`."""
    try:
        found = numpy_files.read(path)
        if isinstance(found, np.ndarray):
            raise ValueError("it holds a single array, as numpy.save writes it")
    except ValueError as error:
        raise ValueError(
            f"{path} is no file of numpy.savez with arrays of numbers: {error}"
        ) from error
    lacking = [name for name in _NPZ_NAMES if name not in found]
    if lacking:
        raise ValueError(
            f"{path} lacks {lacking}; it has {sorted(found)}. Write it by "
            "numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)."
        )
    x_train, y_train, x_test, y_test = (found[name] for name in _NPZ_NAMES)
    return (x_train, y_train), (x_test, y_test)


def _folders(path: pathlib.Path, size: int | None) -> tuple[Examples, Examples]:
    """Returns the training and test examples of folders by split and class."""
    folders, classes = image_folders.splits(path)
    train, test = (
        _examples(folders[split], classes, size=size) for split in image_folders.SPLITS
    )
    return train, test


def _examples(
    folder: pathlib.Path, classes: Sequence[str], *, size: int | None
) -> Examples:
    """Returns the images of folders, in the order of their names, and their labels."""
    files = image_folders.files(folder, classes, suffixes=_SUFFIXES)
    images = []
    for file, _ in files:
        images.append(_image(file, size=size))
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"{file} is {images[-1].shape}, and {files[0][0]} is "
                f"{images[0].shape}: expected images of one shape. "
                f"--dataset=folder:FOLDER@64 makes all of them 64 x 64. {_IN_FILES}"
            )
        if len(files) * images[0].nbytes > _MOST_BYTES:
            raise ValueError(
                f"The {len(files):,} images of {folder} take more than 4 GiB. Make "
                f"them smaller (folder:FOLDER@64). {_IN_FILES}"
            )
    return np.stack(images), np.array([label for _, label in files], np.int32)


def _image(file: pathlib.Path, *, size: int | None) -> np.ndarray:
    """Returns an image: [height, width, 3] uint8, of `size` if one is given."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file) as opened:
            if opened.mode.startswith(_DEEP_MODES):
                raise ValueError(
                    f"{file} has pixels of more than 8 bits (mode {opened.mode!r} of "
                    "PIL), of which those above 255 would all be white. Bring them to "
                    "0 to 255, as uint8."
                )
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{file} cannot be decoded as an image: {error}") from error
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _raw_source(
    train: Examples, test: Examples, *, normalized: bool = True
) -> RawSource:
    """Returns the user's arrays as a data set; refuses what is none."""
    (x_train, y_train), (x_test, y_test) = (
        (_images(images), _labels(labels)) for images, labels in (train, test)
    )
    raw = RawSource(
        version=_VERSION,
        train_images=x_train,
        train_labels=y_train,
        test_images=x_test,
        test_labels=y_test,
        num_classes=int(max(y_train.max(initial=0), y_test.max(initial=0))) + 1,
        normalized=normalized,
    )
    if unseen := np.setdiff1d(y_test, y_train).tolist():
        raise ValueError(
            f"Test images have the labels {unseen[:5]}, which no training image has: "
            f"those are from {y_train.min()} to {y_train.max()}. Number the classes "
            "alike, or leave such images out."
        )
    if raw.num_classes > len(y_train):
        raise ValueError(
            f"The largest label is {raw.num_classes - 1}, and there are {len(y_train)} "
            "training images: expected labels that number the classes from 0, without "
            "gaps."
        )
    return raw


def _images(images: np.ndarray) -> np.ndarray:
    """Returns images with an axis of channels; refuses what is no uint8."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"Images came as {images.dtype} of shape {images.shape}: expected uint8 of "
            "[examples, height, width] or [examples, height, width, channels]. Of "
            "numbers in [0, 1] make np.rint(255 * x).astype(np.uint8); other data than "
            "images are for tflottery.find_ticket."
        )
    return images[..., None] if images.ndim == 3 else images


def _labels(labels: np.ndarray) -> np.ndarray:
    """Returns labels as int32 of one axis; refuses what are no whole numbers."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Labels came as {labels.dtype} of shape {labels.shape}: expected a whole "
            "number from 0 for each image (of one-hot labels, labels.argmax(axis=1))."
        )
    return labels.astype(np.int32)
