"""Data sets of tensorflow-datasets whose images stay in their files, where they lie.

Nothing is copied but where each image is. `train` is trained on. `test` is measured, or
`validation` where there is no test split, or its labels are kept secret (ImageNet's and
Places365's are -1).
"""

import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core import seeds
from tflottery.core.registry import DATASETS
from tflottery.datasets import arrays, encoded
from tflottery.datasets.encoded import FORMATS, IMAGE_SHAPE, EncodedImages
from tflottery.datasets.records import DamagedRecords, RecordFiles

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# Training images of which moments are taken, and to how many digits: they are scales,
# and no decoder's last bit should make other data of the same.
_SAMPLED_IMAGES = 2048
_DIGITS = 3
# What is measured where it tells its labels.
_MEASURED = "test"


def stay_in_files(builder: "tfds.core.DatasetBuilder") -> bool:
    """Returns whether a data set's images are no array: they have no one shape, or are
    declared to be too many."""
    if None in builder.info.features["image"].shape:
        return True
    return builder.name in DATASETS and DATASETS[builder.name]["stays_in_files"]


def validate_files(builder: "tfds.core.DatasetBuilder") -> None:
    """Tells in milliseconds what can be told of files without walking through them.

    Raises:
      DamagedRecords: a file is not there, or all of a split's are too small.
      ValueError: they are of a format that is not read at random, or there is nothing
        to train on or to measure.
    """
    form = _form(builder)
    folder = os.fspath(builder.data_path)
    if form not in FORMATS:
        raise ValueError(
            "its images stay in their files and are read at random, which is done in "
            f"files of the formats {', '.join(FORMATS)}; {folder!r} has {form!r}. "
            "Prepare it in one of them (file_format= of tfds.load)"
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
        # Files of the other format are compressed.
        if form == RecordFiles.FORMAT and found < info.num_bytes:
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
        found = FORMATS[_form(builder)].index(
            paths, builder.info.splits[split].shard_lengths
        )
        _save(f"{name}_images.npy", found.table)
        _save(f"{name}_labels.npy", found.labels)
    paths = {name: _paths(builder, split) for name, split in splits.items()}
    images = encoded.in_files(
        paths["train"], np.load("train_images.npy"), form=_form(builder)
    )
    return {
        "record_format": _form(builder),
        "records": paths,
        "moments": _moments(images),
    }


def needed_files(builder: "tfds.core.DatasetBuilder") -> Iterator[list[str]]:
    """Yields the files that are read, first those that tell which others are."""
    if _MEASURED in builder.info.splits:
        yield [path for path, _ in _filled(builder, _MEASURED)[:1]]
    yield [one for split in _splits(builder).values() for one in _paths(builder, split)]


def _form(builder: "tfds.core.DatasetBuilder") -> str:
    """Returns the format of a data set's files."""
    return builder.info.file_format.value


def _splits(builder: "tfds.core.DatasetBuilder") -> dict[str, str]:
    """Returns the names of the splits that are trained on and measured."""
    known = builder.info.splits
    measured = _MEASURED
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
    files = [one for one in _filled(builder, split) if os.path.isfile(one[0])]
    return bool(files) and FORMATS[_form(builder)].first_label(*files[0]) >= 0


def _filled(builder: "tfds.core.DatasetBuilder", split: str) -> list[tuple[str, int]]:
    """Returns the files of a split that hold examples, and how many."""
    counts = builder.info.splits[split].shard_lengths
    pairs = zip(_paths(builder, split), counts, strict=True)
    return [(path, count) for path, count in pairs if count]


def _paths(builder: "tfds.core.DatasetBuilder", split: str) -> list[str]:
    """Returns the files of a split, by paths that are good for ever and everywhere."""
    return list(map(os.path.realpath, builder.info.splits[split].filepaths))


def _save(path: str, array: np.ndarray) -> None:
    """Writes an array as np.save does, which gives no reason where it cannot write."""
    with open(path, "wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(np.ascontiguousarray(array))


def _moments(images: EncodedImages) -> tuple[list[float], list[float]]:
    """Returns mean and standard deviation per channel of images in [0, 1].

    Of a fixed sample, each image of which counts alike, whatever its size.
    """
    from PIL import Image, ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = True
    order = seeds.permutation(seeds.seed("moments"), 0, len(images))
    sums, count = np.zeros((2, IMAGE_SHAPE[-1])), 0
    for index in order[:_SAMPLED_IMAGES]:
        (content,), _ = images.read([index])
        try:
            image = Image.open(io.BytesIO(content))
            if image.mode.startswith("I;16"):
                # A network is shown the upper eight bits.
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            pixels = np.asarray(image.convert("RGB"))
        except Exception:
            # What is left of it is too little for this decoder, which says so in many
            # ways; whether it can be shown is told when it is.
            continue
        mean, std = arrays.moments(pixels[None])
        std = np.where(pixels.max(axis=(0, 1)) == pixels.min(axis=(0, 1)), 0, std)
        sums += [mean, std**2 + mean**2]
        count += 1
    mean, square = sums / max(count, 1)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    std = np.where(std < 10**-_DIGITS, 1.0, std)
    return np.round(mean, _DIGITS).tolist(), np.round(std, _DIGITS).tolist()
