"""What is prepared of a dataset, once all that can be told of it is right.

What is wrong is found out before TensorFlow starts, as far as the description of a
dataset and the lengths of its records tell it.
"""

import json
import math
import mmap
import os
import pathlib
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core import suggestions
from tflottery.core.registry import DATASETS
from tflottery.datasets import network, tfds_folders, tfds_records, tfds_source
from tflottery.datasets.records import DamagedRecords

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

MAXIMUM_BYTES = 4 * 2**30
# Of a record: its length and a checksum of that before, a checksum of the data behind.
_LENGTH, _BEFORE, _BEHIND = struct.Struct("<Q"), 12, 4


class Refusal(ValueError):
    """What was asked for cannot be used; says what and why."""


class NotPrepared(FileNotFoundError):
    """The data are not there, and cannot be downloaded."""


def validated_builder(
    name: str,
    data_dir: str,
    *,
    fetch: Callable[["tfds.core.DatasetBuilder"], None] = lambda builder: None,
) -> "tfds.core.DatasetBuilder":
    """Returns the builder of a dataset once all that can be told of it is right.

    Where no version is named and that of this tensorflow-datasets is not prepared, the
    newest one that is stands for it.

    Args:
      name: of the dataset.
      data_dir: folder of prepared datasets, on this machine.
      fetch: called once the descriptions are read, to bring what they describe.

    Raises:
      Refusal: there is no such dataset, it is prepared in part, or is no uint8 images
        with labels, in splits train and test: of one shape, and at most 4 GiB, or of
        many sizes in files that are read at random.
      NotPrepared: it is not prepared, and there is no network.
    """
    _validate_descriptions(name, data_dir)
    builder = builder_of(name, data_dir)
    validate_features(name, builder)
    if builder.is_prepared():
        fetch(builder)
        validate_prepared(name, builder)
    elif builder.data_path.exists():
        raise Refusal(
            f"Dataset {name!r} is prepared only in part: {str(builder.data_path)!r} "
            f"holds no {tfds_source.INFO_FILE}. {_remedy(builder.data_path)}"
        )
    else:
        validate_obtainable(name, builder, data_dir)
        require_network(name, data_dir, address=network.download_address())
    return builder


def validate_obtainable(
    name: str, builder: "tfds.core.DatasetBuilder", data_dir: str
) -> None:
    """Raises NotPrepared where something else is to be done than to download a dataset.

    Args:
      name: of the dataset, which is not prepared.
      builder: of it.
      data_dir: folder that it was looked for in, or its address.
    """
    told = f"Dataset {name!r} is not prepared in {data_dir!r}"
    found = None if "://" in data_dir else tfds_folders.elsewhere(name, data_dir)
    if found is not None:
        raise NotPrepared(f"{told}, but in {found!r}: give --data_dir={found}.")
    by_hand = tfds_folders.missing_by_hand(builder, data_dir)
    if by_hand is not None:
        begun = tfds_folders.unfinished(builder)
        if begun is not None:
            told += f"; {begun!r} is of a preparation that goes on or was broken off"
        raise NotPrepared(
            f"{told}. Point --data_dir at the folder that holds {name!r} prepared by "
            f"tensorflow-datasets. To prepare it: {by_hand}"
        )


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
    if tfds_records.stay_in_files(builder):
        try:
            tfds_records.validate_files(builder)
        except DamagedRecords as fault:
            raise prepared_in_part(name, fault, builder.data_path) from fault
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
            if ".tfrecord" not in path.name:
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
        raise prepared_in_part(name, told, os.path.dirname(path))


def prepared_in_part(
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


def builder_of(name: str, data_dir: str) -> "tfds.core.DatasetBuilder":
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        there = None
        if ":" not in name and not builder.data_path.exists():
            there = tfds_folders.prepared_version(builder)
        return tfds.builder(f"{name}:{there}", data_dir=data_dir) if there else builder
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        asked = tfds_source.top_folder(name)
        meant = suggestions.meant(asked, [*DATASETS.names(), *known])
        raise Refusal(
            f"There is no dataset {name!r}. Known: {', '.join(DATASETS.names())}, and "
            "the image classification names of tensorflow-datasets, such as "
            f"'fashion_mnist' or 'cifar100', and what is prepared in --data_dir.{meant}"
        ) from error
    except (AssertionError, ValueError) as error:
        # A version or configuration that tensorflow-datasets does not have.
        raise Refusal(f"Dataset {name!r} cannot be opened: {error}") from error


def validate_features(name: str, builder: "tfds.core.DatasetBuilder") -> None:
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
