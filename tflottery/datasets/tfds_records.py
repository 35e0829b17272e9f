"""Data sets of tensorflow-datasets whose images have many sizes, where they lie.

Nothing is copied but where each image is. `train` is trained on. `test` is measured, or
`validation` where there is no test split, or its labels are kept secret (ImageNet's and
Places365's are -1).
"""

import io
import os
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core import seeds
from tflottery.datasets import arrays, records
from tflottery.datasets.encoded import IMAGE_SHAPE, EncodedImages, RecordFiles
from tflottery.datasets.records import DamagedRecords

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_TFRECORD = "tfrecord"
# Training images of which moments are taken, and to how many digits: they are scales,
# and no decoder's last bit should make other data of the same.
_SAMPLED_IMAGES = 2048
_DIGITS = 3


def has_many_sizes(builder: "tfds.core.DatasetBuilder") -> bool:
    """Returns whether a data set's images have no one shape."""
    return None in builder.info.features["image"].shape


def validate_files(builder: "tfds.core.DatasetBuilder") -> None:
    """Tells in milliseconds what can be told of files without walking through them.

    Raises:
      DamagedRecords: a file is not there, or all of a split's are too small.
      ValueError: they are of a format, or in a place, where they are not read at
        random, or there is nothing to train on or to measure.
    """
    file_format = builder.info.file_format.value
    folder = os.fspath(builder.data_path)
    if "://" in folder:
        raise ValueError(
            f"its images have many sizes and are read at random, from a local folder. "
            f"Copy {folder!r} to one, with the folders it lies in, and point "
            "--data_dir there"
        )
    if file_format != _TFRECORD:
        raise ValueError(
            "its images have many sizes and are read at random, which is done in "
            f"files of the format {_TFRECORD!r}; {folder!r} has {file_format!r}. "
            "Prepare it as tfrecord, which is what tensorflow-datasets does if it is "
            "not told otherwise"
        )
    for split in _splits(builder).values():
        info = builder.info.splits[split]
        missing = [path for path in _paths(builder, split) if not os.path.isfile(path)]
        if missing:
            raise DamagedRecords(
                f"{len(missing)} of {len(info.filepaths)} files of split {split!r} are "
                f"not there, such as {missing[0]!r}"
            )
        found = sum(map(os.path.getsize, _paths(builder, split)))
        if found < info.num_bytes:
            raise DamagedRecords(
                f"the files of split {split!r} have {found:,} bytes together, and its "
                f"examples {info.num_bytes:,}"
            )


def write(builder: "tfds.core.DatasetBuilder") -> dict[str, object]:
    """Writes labels, and where images are, to the current folder.

    Returns:
      What of a `RawSource` is no array, and the paths of the files by split.

    Raises:
      DamagedRecords: a file does not hold what it should; names it.
    """
    splits = _splits(builder)
    for name, split in splits.items():
        paths = _paths(builder, split)
        found = records.index(paths, builder.info.splits[split].shard_lengths)
        np.save(f"{name}_images.npy", found.table)
        np.save(f"{name}_labels.npy", found.labels)
    table = np.load("train_images.npy")
    paths = {name: _paths(builder, split) for name, split in splits.items()}
    return {"records": paths, "moments": _moments(table, paths["train"])}


def _splits(builder: "tfds.core.DatasetBuilder") -> dict[str, str]:
    """Returns the names of the splits that are trained on and measured."""
    known = builder.info.splits
    measured = "test"
    if measured not in known or not _has_labels(builder, measured):
        measured = "validation"
    if not {"train", measured} <= set(known):
        raise ValueError(
            f"its splits are {sorted(known)}, not train, and test or validation with "
            "labels"
        )
    return {"train": "train", "test": measured}


def _has_labels(builder: "tfds.core.DatasetBuilder", split: str) -> bool:
    """Returns whether a split tells its labels; one that is not there does not."""
    paths = [path for path in _paths(builder, split) if os.path.isfile(path)]
    return bool(paths) and records.first_label(paths[0]) >= 0


def _paths(builder: "tfds.core.DatasetBuilder", split: str) -> list[str]:
    """Returns the files of a split, by paths that are good for ever and everywhere."""
    return list(map(os.path.realpath, builder.info.splits[split].filepaths))


def _moments(table: np.ndarray, paths: list[str]) -> tuple[list[float], list[float]]:
    """Returns mean and standard deviation per channel of images in [0, 1].

    Of a fixed sample, each image of which counts alike, whatever its size.
    """
    from PIL import Image, ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = True
    images = EncodedImages(RecordFiles(paths), table, IMAGE_SHAPE)
    order = seeds.permutation(seeds.seed("moments"), 0, len(images))
    sums, count = np.zeros((2, IMAGE_SHAPE[-1])), 0
    for index in order[:_SAMPLED_IMAGES]:
        (content,), _ = images.read([index])
        try:
            pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        except OSError:
            # What is left of it is too little for this decoder.
            continue
        mean, std = arrays.moments(pixels[None])
        std = np.where(pixels.max(axis=(0, 1)) == pixels.min(axis=(0, 1)), 0, std)
        sums += [mean, std**2 + mean**2]
        count += 1
    mean, square = sums / max(count, 1)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    std = np.where(std < 10**-_DIGITS, 1.0, std)
    return np.round(mean, _DIGITS).tolist(), np.round(std, _DIGITS).tolist()
