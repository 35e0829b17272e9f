"""Reads one dataset of tensorflow-datasets into files: a program of its own.

    python -m tflottery.datasets.tfds_reader NAME DATA_DIR WORKING_DIR [MIRRORS]

What is prepared in a bucket is copied into a folder of MIRRORS and read from there.
It ends when its standard input does: with whoever started it, killed or not. What is
wrong with a dataset is said in error.json.
"""

import contextlib
import errno
import json
import os
import pathlib
import re
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tflottery.datasets import network, tfds_builder, tfds_records, tfds_source
from tflottery.datasets.records import DamagedRecords
from tflottery.datasets.remote_folders import Mirror
from tflottery.datasets.tfds_builder import NotPrepared, Refusal

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_IMAGES_PER_READ = 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LONGEST_ERROR = 1000
# Stands for a folder of prepared datasets whose own name would be misread.
_LINK = "tflottery-data-dir"


def _write(
    name: str, data_dir: str, link: str, mirrors: str | os.PathLike | None
) -> None:
    """Writes a dataset's arrays, and info.json, to the current folder.

    Args:
      name: of the dataset.
      data_dir: folder of prepared datasets.
      link: what tensorflow-datasets is told in its place.
      mirrors: folder for copies of those in buckets.
    """
    if "://" in data_dir:
        _prepare_remotely(name, data_dir)
        edition = tfds_source.edition(name, data_dir=data_dir)
        builder = _mirrored(name, data_dir, pathlib.Path(mirrors))
    else:
        builder = tfds_builder.validated_builder(name, link)
        if not builder.is_prepared():
            os.makedirs(data_dir, exist_ok=True)
            builder.download_and_prepare()
            tfds_builder.validate_prepared(name, builder)
        edition = tfds_source.edition(name, data_dir=data_dir)
    info = {}
    try:
        if tfds_records.stay_in_files(builder):
            info = tfds_records.write(builder)
        else:
            for split in tfds_source.SPLITS:
                _write_split(builder, split)
    except DamagedRecords as fault:
        raise tfds_builder.prepared_in_part(name, fault, builder.data_path) from fault
    if tfds_source.edition(name, data_dir=data_dir) != edition:
        raise RuntimeError("its files were changed meanwhile; run the command again")
    info |= {
        "version": str(builder.version),
        "num_classes": builder.info.features["label"].num_classes,
        "edition": edition,
    }
    pathlib.Path("info.json").write_text(json.dumps(info))


def _prepare_remotely(name: str, data_dir: str) -> None:
    """Has a dataset prepared in a bucket, unless it is.

    Raises:
      Refusal: it cannot be used.
      NotPrepared: there is no network.
    """
    if data_dir.startswith("gs://"):
        tfds_builder.require_network(name, data_dir, address=network.download_address())
    there = tfds_source.remote_files(name, data_dir=data_dir)
    if not any(one.url.endswith(f"/{tfds_source.INFO_FILE}") for one in there):
        address = network.download_address()
        tfds_builder.require_network(name, data_dir, address=address)
        builder = tfds_builder.builder_of(name, data_dir)
        tfds_builder.validate_features(name, builder)
        tfds_builder.validate_obtainable(name, builder, data_dir)
        builder.download_and_prepare()


def _mirrored(
    name: str, data_dir: str, mirrors: pathlib.Path
) -> "tfds.core.DatasetBuilder":
    """Returns the builder of a dataset in a bucket, over a copy of what is read of it.

    Raises:
      Refusal: it cannot be used.
      NotPrepared: another version is prepared there.
    """
    there = tfds_source.remote_files(name, data_dir=data_dir)
    mirror = Mirror(data_dir, there, mirrors=mirrors, tell=_tell)
    mirror.fetch_descriptions()

    def fetch(builder: "tfds.core.DatasetBuilder") -> None:
        if not tfds_records.stay_in_files(builder):
            splits = builder.info.splits
            for split in set(tfds_source.SPLITS) & set(splits):
                mirror.fetch(map(os.fspath, splits[split].filepaths))
            return
        # Where there is nothing to measure, validation says so.
        with contextlib.suppress(ValueError):
            for files in tfds_records.needed_files(builder):
                mirror.fetch(files)

    builder = tfds_builder.validated_builder(
        name, os.fspath(mirror.folder), fetch=fetch
    )
    if not builder.is_prepared():
        raise NotPrepared(
            f"Dataset {name!r} is not prepared in {data_dir!r} in the version "
            f"{builder.version} that is asked for. Prepare that there, or name another "
            f"one as in {builder.name}:1.0.0."
        )
    return builder


def _tell(text: str) -> None:
    """Has the user told something while this goes on."""
    with open(tfds_source.NOTES_FILE, "a") as file:
        file.write(f"{text}\n")


def _write_split(builder: "tfds.core.DatasetBuilder", split: str) -> None:
    """Writes the images and labels of a split as .npy; starts TensorFlow.

    Raises:
      DamagedRecords: an example is not what was written.
    """
    count = builder.info.splits[split].num_examples
    shape = builder.info.features["image"].shape
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    labels = []
    # Written, not mapped: a full disk kills whoever writes to a map.
    with open(f"{split}_images.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for batch in _batches(builder, split):
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


def _batches(
    builder: "tfds.core.DatasetBuilder", split: str
) -> Iterator[dict[str, np.ndarray]]:
    """Yields images and labels of a split, in batches; starts TensorFlow.

    Raises:
      DamagedRecords: an example is not what was written.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    # One shard after the other, so that the order of the examples is their own.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    examples = builder.as_dataset(split=split, read_config=config)
    try:
        yield from tfds.as_numpy(examples.batch(_IMAGES_PER_READ))
    except tf.errors.DataLossError as fault:
        raise DamagedRecords(f"of split {split!r}, {_plain(fault)}") from fault


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


def main(name: str, data_dir: str, working_dir: str, mirrors: str | None = None) -> int:
    """Reads a dataset into a folder.

    Args:
      name: of the dataset.
      data_dir: folder of prepared datasets.
      working_dir: where the arrays are written to.
      mirrors: where copies of remote folders are kept.

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
        _write(name, data_dir, link, mirrors)
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
