"""Where images lie in TFRecord files: the index against what TensorFlow wrote."""

import errno
import os
import struct

import numpy as np
import pytest
import tensorflow as tf

from tflottery.datasets import records
from tflottery.datasets.records import DamagedRecords

_LABELS = (3, -1, 999, 0)


def example(image, label, **others):
    values = {"image": image, "label": label} | others
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        if isinstance(value, int)
        else tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in values.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def written(path, examples):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one in examples:
            writer.write(one.SerializeToString(deterministic=True))
    return str(path)


def images(count):
    """Returns contents of lengths whose encodings take one, two and three bytes."""
    generator = np.random.default_rng(count)
    lengths = (5, 300, 20_000, 127)[:count]
    return [b"\xff\xd8" + generator.bytes(length - 2) for length in lengths]


@pytest.fixture
def files(tmp_path):
    """Two files of four and three examples."""
    first = [
        example(image, label, file_name=b"n0.JPEG", area=7)
        for image, label in zip(images(4), _LABELS, strict=True)
    ]
    return [
        written(tmp_path / "a", first),
        written(tmp_path / "b", [example(image, 1) for image in images(3)]),
    ]


def test_images_and_labels_are_those_written(files):
    found = records.index(files, [4, 3])
    assert found.labels.tolist() == [*_LABELS, 1, 1, 1]
    assert found.labels.dtype == np.int32
    assert found.table[:, records.FILE].tolist() == [0] * 4 + [1] * 3
    reader = records.RecordFiles(files)
    read = [reader.read(*map(int, row[:3])) for row in found.table]
    assert read == images(4) + images(3)


def test_checksums_tell_contents_apart(files, tmp_path):
    first = records.index(files, [4, 3]).table
    assert (first == records.index(files, [4, 3]).table).all()
    other = [example(image[:2] + image[:1:-1], 1) for image in images(3)]
    files[1] = written(tmp_path / "c", other)
    changed = (first != records.index(files, [4, 3]).table).any(axis=0)
    assert changed.tolist() == [False, False, False, True]


def test_the_checksum_is_that_of_the_format():
    # RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 8a9136aa.
    crc = 0x8A9136AA
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert records.masked_crc32c(bytes(32)) == masked


def test_no_files_are_no_images():
    found = records.index([], [])
    assert found.table.shape == (0, 4) and not len(found.labels)


def _replaced(content, position, new):
    return content[:position] + new + content[position + len(new) :]


_ANYTHING = b"\x0a" + bytes([200])
DAMAGES = {
    "cut": (lambda content: content[:-1], "in the middle of an example .3"),
    "cut in a head": (
        lambda content: content + b"\1" * 7,
        "in the middle of an example .4",
    ),
    "emptied": (lambda content: b"", "it holds 0 examples"),
    "twice": (lambda content: content * 2, "it holds 8 examples"),
    "a length": (
        lambda content: _replaced(content, 0, struct.pack("<Q", 40)),
        "the length of an example is damaged .0",
    ),
    "other content": (
        lambda content: _replaced(content, 12, _ANYTHING),
        "something that is no example .0",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_what_it_holds(files, damage):
    change, fault = DAMAGES[damage]
    with open(files[0], "rb") as file:
        content = file.read()
    with open(files[0], "wb") as file:
        file.write(change(content))
    expected = f"'{files[0]}' should hold 4 examples, but .*{fault}"
    with pytest.raises(DamagedRecords, match=expected):
        records.index(files, [4, 3])


def test_a_file_that_is_missing_is_told_before_any_is_read(files, monkeypatch):
    monkeypatch.setattr(records, "_records", None)
    with pytest.raises(DamagedRecords, match="no_file' should hold 3.*not there"):
        records.index([files[0], "no_file"], [4, 3])


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        (tf.train.Example(), "no image or no label"),
        (example(b"", 1), "neither JPEG nor PNG: it begins with b''"),
        (example(b"GIF89a" + bytes(40), 1), "neither JPEG nor PNG.*GIF89a"),
        (example(b"\x89PNX", 1), "neither JPEG nor PNG"),
    ],
)
def test_examples_have_an_image_and_a_label(tmp_path, one, fault):
    path = written(tmp_path / "records", [one])
    with pytest.raises(DamagedRecords, match=fault):
        records.index([path], [1])


def test_more_files_are_read_than_may_be_open(files, monkeypatch):
    monkeypatch.setattr(records, "_most_open_files", lambda: 1)
    table = records.index(files, [4, 3]).table
    reader = records.RecordFiles(files)
    for row in table[[0, 4, 1, 5]]:
        assert len(reader.read(*map(int, row[:3]))) == row[records.LENGTH]


def test_files_are_closed_where_a_program_ends_and_modules_are_gone(files, monkeypatch):
    file = records._OpenFile(files[0])
    monkeypatch.setattr(records, "os", None)
    file.__del__()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file.descriptor)
    file.descriptor = -1


def test_a_file_that_cannot_be_read_any_more_is_named(files, monkeypatch):
    def failing(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(records.os, "pread", failing)
    expected = f"'{files[1]}' cannot be read any more .*Input/output error"
    with pytest.raises(DamagedRecords, match=expected):
        records.RecordFiles(files).read(1, 10, 5)


def test_a_file_that_became_shorter_is_named(files):
    reader = records.RecordFiles(files)
    with pytest.raises(DamagedRecords, match=f"'{files[0]}' has become shorter"):
        reader.read(0, 10, 10**6)
