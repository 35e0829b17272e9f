"""Reads one dataset of tensorflow-datasets into files: a program of its own.

    python -m tflottery.datasets.tfds_reader NAME DATA_DIR WORKING_DIR

It ends when its standard input does: with whoever started it, killed or not. What is
wrong with a dataset is found out before TensorFlow starts, as far as its description
and the lengths of its records tell it, and said in error.json.
"""

import errno
import json
import math
import mmap
import os
import pathlib
import re
import struct
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core.registry import DATASETS
from tflottery.datasets import network, tfds_records, tfds_source
from tflottery.datasets.records import DamagedRecords

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

MAXIMUM_BYTES = 4 * 2**30
_IMAGES_PER_READ = 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LONGEST_ERROR = 1000
# Of a record: its length and a checksum of that before, a checksum of the data behind.
_LENGTH, _BEFORE, _BEHIND = struct.Struct("<Q"), 12, 4
# Stands for a folder of prepared datasets whose own name would be misread.
_LINK = "tflottery-data-dir"


class Refusal(ValueError):
    """What was asked for cannot be used; says what and why."""


class NotPrepared(FileNotFoundError):
    """The data are not there, and cannot be downloaded."""


def validated_builder(name: str, data_dir: str) -> "tfds.core.DatasetBuilder":
    """Returns the builder of a dataset once all that can be told of it is right.

    Raises:
      Refusal: there is no such dataset, it is prepared in part, or is no uint8 images
        with labels, in splits train and test: of one shape, and at most 4 GiB, or of
        many sizes in files that are read at random.
      NotPrepared: it is not prepared, or far away, and there is no network.
    """
    if data_dir.startswith("gs://"):
        require_network(name, data_dir, address=network.download_address())
    _validate_descriptions(name, data_dir)
    builder = _builder(name, data_dir)
    _validate_features(name, builder)
    if builder.is_prepared():
        validate_prepared(name, builder)
    elif builder.data_path.exists():
        raise Refusal(
            f"Dataset {name!r} is prepared only in part: {str(builder.data_path)!r} "
            f"holds no {tfds_source.INFO_FILE}. {_remedy(builder.data_path)}"
        )
    else:
        require_network(name, data_dir, address=network.download_address())
    return builder


def require_network(
    name: str,
    data_dir: str,
    *,
    address: tuple[str, int],
    timeout_seconds: float = network.TIMEOUT_SECONDS,
) -> None:
    """Raises NotPrepared unless a host that data come from answers."""
    if not network.connected(address, timeout_seconds=timeout_seconds):
        raise NotPrepared(
            f"Dataset {name!r} is not prepared in {data_dir!r}, or that is far away, "
            f"and there is no network to fetch it ({address[0]}:{address[1]} did not "
            f"answer). Point --data_dir at a folder that holds {name!r} prepared by "
            "tensorflow-datasets, or run once where there is a network."
        )


def validate_prepared(name: str, builder: "tfds.core.DatasetBuilder") -> None:
    """Raises Refusal unless train and test are there whole, and fit in memory.

    Images of many sizes need not fit; their records are walked later, by who indexes
    them.
    """
    if tfds_records.has_many_sizes(builder):
        try:
            tfds_records.validate_files(builder)
        except DamagedRecords as fault:
            raise _prepared_in_part(name, fault, builder.data_path) from fault
        except ValueError as error:
            raise Refusal(f"Dataset {name!r} cannot be used: {error}") from error
        return
    splits = builder.info.splits
    if not set(tfds_source.SPLITS) <= set(splits):
        raise _refusal(name, f"its splits are {sorted(splits)}, not train and test")
    num_examples = sum(splits[split].num_examples for split in tfds_source.SPLITS)
    size = num_examples * math.prod(builder.info.features["image"].shape)
    if size > MAXIMUM_BYTES:
        raise _refusal(
            name,
            f"its {num_examples:,} images take {size / 2**30:.1f} GiB, more than the "
            f"{MAXIMUM_BYTES / 2**30:.0f} GiB held in memory",
        )
    for split in tfds_source.SPLITS:
        info = splits[split]
        for path, expected in zip(info.filepaths, info.shard_lengths, strict=True):
            found = os.fspath(path)
            if "://" in found or ".tfrecord" not in path.name:
                continue
            _validate_records(name, found, expected)


def num_records(path: str | os.PathLike[str]) -> int:
    """Returns how many records a TFRecord file holds.

    Raises:
      ValueError: it ends in the middle of one.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            position = count = 0
            while position + _BEFORE <= size:
                (length,) = _LENGTH.unpack_from(content, position)
                position += _BEFORE + length + _BEHIND
                count += 1
    if position != size:
        raise ValueError("it ends in the middle of an example")
    return count


def _validate_descriptions(name: str, data_dir: str) -> None:
    """Raises Refusal if a description of what is prepared under a name is no JSON."""
    if "://" in data_dir:
        return
    for path in tfds_source.descriptions(name, data_dir=data_dir):
        try:
            json.loads(pathlib.Path(path).read_bytes())
        except ValueError as error:
            raise Refusal(
                f"Dataset {name!r} is prepared only in part: {path!r} is no JSON "
                f"({error}). {_remedy(os.path.dirname(path))}"
            ) from error


def _validate_records(name: str, path: str, expected: int) -> None:
    """Raises Refusal unless a file of records holds as many as its description says."""
    try:
        found = num_records(path)
        fault = "" if found == expected else f"it holds {found} examples"
    except FileNotFoundError:
        fault = "it is not there"
    except ValueError as error:
        fault = str(error)
    if fault:
        told = f"{path!r} should hold {expected} examples, but {fault}"
        raise _prepared_in_part(name, told, os.path.dirname(path))


def _prepared_in_part(
    name: str, fault: object, folder: str | os.PathLike[str]
) -> Refusal:
    return Refusal(
        f"Dataset {name!r} is prepared only in part, or its files are damaged: "
        f"{fault}. {_remedy(folder)}"
    )


def _remedy(path: str | os.PathLike[str]) -> str:
    return (
        f"Copy it again from where it is whole, or delete {os.fspath(path)!r} and run "
        "once where there is a network."
    )


def _builder(name: str, data_dir: str) -> "tfds.core.DatasetBuilder":
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise Refusal(
            f"There is no dataset {name!r}. Known: {', '.join(DATASETS.names())}, and "
            "the image classification names of tensorflow-datasets, such as "
            "'fashion_mnist' or 'cifar100', and what is prepared in --data_dir."
        ) from error
    except (AssertionError, ValueError) as error:
        # A version or configuration that tensorflow-datasets does not have.
        raise Refusal(f"Dataset {name!r} cannot be opened: {error}") from error


def _validate_features(name: str, builder: "tfds.core.DatasetBuilder") -> None:
    """Raises Refusal unless examples are a uint8 image of one shape and a label."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    names = sorted(features) if isinstance(features, tfds.features.FeaturesDict) else []
    if not {"image", "label"} <= set(names):
        raise _refusal(name, f"its examples have {names}, not an image and a label")
    image, label = features["image"], features["label"]
    if not isinstance(label, tfds.features.ClassLabel) or not label.num_classes:
        raise _refusal(name, f"its label is {label!r}, not one of so many classes")
    if not isinstance(image, tfds.features.Image) and None in (image.shape or [None]):
        raise _refusal(
            name, f"its images have the shape {image.shape}, not a fixed one"
        )
    if len(image.shape) != 3:
        raise _refusal(name, f"its images have the shape {image.shape}")
    if np.dtype(image.np_dtype) != np.uint8:
        raise _refusal(name, f"its images are {np.dtype(image.np_dtype)}, not uint8")


def _refusal(name: str, reason: str) -> Refusal:
    return Refusal(
        f"Dataset {name!r} cannot be used: {reason}. Expected image classification: "
        "uint8 images, labels, and the splits train and test."
    )


def _write(name: str, data_dir: str, link: str) -> None:
    """Writes a dataset's arrays, and info.json, to the current folder.

    Args:
      name: of the dataset.
      data_dir: folder of prepared datasets.
      link: what tensorflow-datasets is told in its place.
    """
    builder = validated_builder(name, link)
    if not builder.is_prepared():
        if "://" not in data_dir:
            os.makedirs(data_dir, exist_ok=True)
        builder.download_and_prepare()
        validate_prepared(name, builder)
    edition = tfds_source.edition(name, data_dir=data_dir)
    info = {}
    if tfds_records.has_many_sizes(builder):
        try:
            info = tfds_records.write(builder)
        except DamagedRecords as fault:
            raise _prepared_in_part(name, fault, builder.data_path) from fault
    else:
        for split in tfds_source.SPLITS:
            _write_split(builder, split)
    if tfds_source.edition(name, data_dir=data_dir) != edition:
        raise RuntimeError("its files were changed meanwhile; run the command again")
    info |= {
        "version": str(builder.version),
        "num_classes": builder.info.features["label"].num_classes,
        "edition": edition,
    }
    pathlib.Path("info.json").write_text(json.dumps(info))


def _write_split(builder: "tfds.core.DatasetBuilder", split: str) -> None:
    """Writes the images and labels of a split as .npy; starts TensorFlow."""
    import tensorflow_datasets as tfds

    # One shard after the other, so that the order of the examples is their own.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    count = builder.info.splits[split].num_examples
    shape = builder.info.features["image"].shape
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    labels = []
    # Written, not mapped: a full disk kills whoever writes to a map.
    with open(f"{split}_images.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        examples = builder.as_dataset(split=split, read_config=config)
        for batch in tfds.as_numpy(examples.batch(_IMAGES_PER_READ)):
            if batch["image"].shape[1:] != shape:
                raise ValueError(
                    f"split {split!r} has images of {batch['image'].shape[1:]}, not "
                    f"{shape}"
                )
            file.write(np.ascontiguousarray(batch["image"], np.uint8))
            labels.append(batch["label"])
    labels = np.concatenate(labels).astype(np.int32) if labels else np.empty(0)
    if len(labels) != count:
        raise ValueError(f"split {split!r} has {len(labels)} examples, not {count}")
    np.save(f"{split}_labels.npy", labels)


def _die_with_parent() -> None:
    """Ends this process when its standard input ends, whatever it is doing."""
    # Not through `sys.stdin`, whose lock Python wants when it ends by itself.
    while os.read(0, 1):
        pass
    os._exit(1)


def _plain(error: Exception) -> str:
    """Returns an error's text without what TensorFlow adds on where it arose."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error), flags=re.DOTALL)
    return f"{type(error).__name__}: {' '.join(text.split())}"[:_LONGEST_ERROR]


def main(name: str, data_dir: str, working_dir: str) -> int:
    """Reads a dataset into a folder.

    Returns:
      The exit code: 0, or 1 where error.json says what went wrong.

    Changes: the current folder becomes `working_dir`.
    """
    os.chdir(working_dir)
    # tensorflow-datasets takes brackets and stars in a path for patterns.
    link = data_dir
    if "://" not in data_dir and re.search(r"[*?\[\]]", data_dir):
        link = _LINK
        os.symlink(data_dir, link)
    try:
        _write(name, data_dir, link)
    except Exception as error:
        # What reaches the user is one sentence; the calling process raises it.
        told = {"kind": "RuntimeError", "text": _plain(error)}
        if isinstance(error, Refusal | NotPrepared):
            told = {"kind": type(error).__base__.__name__, "text": str(error)}
        else:
            told["text"] = (
                f"Dataset {name!r} could not be read from {data_dir!r}: {told['text']}"
            )
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            told["text"] += (
                f". There is no room for its images in {working_dir!r}: set "
                "TFLOTTERY_CACHE to a folder that has it."
            )
        # On a full disk the message needs their room.
        for path in pathlib.Path().glob("*.npy"):
            path.unlink()
        if link != data_dir:
            for path in (os.path.abspath(link), link):
                told["text"] = told["text"].replace(path, data_dir)
        pathlib.Path("error.json").write_text(json.dumps(told))
        return 1
    return 0


if __name__ == "__main__":
    threading.Thread(target=_die_with_parent, daemon=True).start()
    sys.exit(main(*sys.argv[1:]))
