"""A prepared folder of images of many sizes: what is read of it, what is refused."""

import io
import json
import os
import shutil
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tflottery.core.registry import DATASETS
from tflottery.datasets import (
    array_records,
    arrays,
    decoding,
    encoded,
    pipeline,
    records,
    source,
    tfds_builder,
    tfds_reader,
    tfds_records,
)
from tflottery.datasets.tfds_builder import Refusal


@pytest.fixture
def folder(imagenet_dir, tmp_path):
    """A copy of the small ImageNet to damage: the folder of its only version."""
    shutil.copytree(imagenet_dir / "imagenet2012", tmp_path / "imagenet2012")
    return tmp_path / "imagenet2012" / "5.1.0"


def refused(folder, reason):
    with pytest.raises(Refusal, match=reason):
        tfds_builder.validated_builder("imagenet2012", str(folder.parents[1]))


def described(folder, **changes):
    """Writes other facts into the description."""
    path = folder / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_validation_images_are_measured_where_test_labels_are_secret(imagenet):
    assert imagenet.train.images.shape == (96, 32, 32, 3)
    assert imagenet.test.images.shape == (40, 32, 32, 3)
    assert imagenet.test.labels.min() == 0 and imagenet.num_classes == 1000
    assert sorted(imagenet.test.labels) == sorted(list(range(10)) * 4)
    assert all("validation" in path for path in imagenet.test.images.files.paths)
    assert imagenet.is_encoded


def test_moments_are_those_of_pixels(imagenet):
    plain = imagenet.scaled("unit_interval")
    load = pipeline.loader(plain, split="train", augmentation="none")
    every = tf.range(96)
    found = load(every, tf.zeros_like(every))[0].numpy().reshape(-1, 3)
    np.testing.assert_allclose(imagenet.mean, found.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(imagenet.std, found.std(axis=0), atol=0.03)


def test_the_same_images_elsewhere_are_the_same_data(imagenet, folder, tmp_path):
    elsewhere = source.load(
        "imagenet2012", data_dir=str(tmp_path), image_size=48, cache_dir=None
    )
    assert elsewhere.digest == imagenet.digest
    assert elsewhere.train.images.shape == (96, 48, 48, 3)
    assert all(str(tmp_path) in path for path in elsewhere.train.images.files.paths)
    assert not set(elsewhere.stamps) & set(imagenet.stamps)
    assert elsewhere.train.images.read([3])[0] == imagenet.train.images.read([3])[0]


def test_a_file_that_was_written_to_is_noticed(folder, tmp_path):
    found = source.load("imagenet2012", data_dir=str(tmp_path))
    found.check_unchanged()
    path = found.train.images.files.paths[1]
    with open(path, "r+b") as file:
        file.seek(200)
        file.write(b"\0")
    with pytest.raises(arrays.ChangedData, match=path):
        found.check_unchanged()
    os.unlink(path)
    with pytest.raises(arrays.ChangedData, match=path):
        found.check_unchanged()


def test_a_half_prepared_folder_is_refused_in_a_moment(folder, monkeypatch):
    # Nothing is walked through for it.
    monkeypatch.setattr(records, "index", None)
    path = folder / "imagenet2012-train.tfrecord-00001-of-00002"
    content = path.read_bytes()
    started = time.monotonic()
    path.write_bytes(content[: len(content) // 2])
    refused(folder, "only in part.*files of split 'train' have .* bytes .*Copy it")
    path.unlink()
    refused(folder, f"1 of 2 files of split 'train' are not there, such as '{path}'")
    (folder / "dataset_info.json").unlink()
    refused(folder, "prepared only in part.*holds no dataset_info.json")
    assert time.monotonic() - started < 10


def test_records_that_are_damaged_inside_are_named(folder, tmp_path, monkeypatch):
    path = folder / "imagenet2012-validation.tfrecord-00000-of-00002"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    assert tfds_reader.main("imagenet2012", str(tmp_path), str(working)) == 1
    told = json.loads((working / "error.json").read_text())
    assert told["kind"] == "ValueError"
    for fact in ("'imagenet2012'", str(path), "20 examples", "length", "delete"):
        assert fact in told["text"]


@pytest.mark.parametrize("name", ["riegeli", "parquet"])
def test_other_formats_of_files_are_refused_by_name(folder, name):
    described(folder, fileFormat=name)
    refused(folder, f"formats tfrecord, array_record; '{folder}' has '{name}'. Prep")


@pytest.mark.slow
def test_array_records_hold_the_same_images(imagenet, folder, tmp_path):
    from array_record.python import array_record_module

    for path in sorted(folder.glob("*.tfrecord*")):
        name = str(path).replace(".tfrecord", ".array_record")
        writer = array_record_module.ArrayRecordWriter(name, "group_size:1")
        for record in tf.data.TFRecordDataset(str(path)):
            writer.write(record.numpy())
        writer.close()
        path.unlink()
    described(folder, fileFormat="array_record")
    found = source.load("imagenet2012", data_dir=str(tmp_path), image_size=32)
    assert found.train.images.files.FORMAT == "array_record"
    assert found.mean == imagenet.mean and found.digest != imagenet.digest
    for split in ("train", "test"):
        mine, other = (getattr(one, split) for one in (found, imagenet))
        assert (mine.labels == other.labels).all()
        contents, sizes = mine.images.read([3, 30, 4])
        assert contents == other.images.read([3, 30, 4])[0]
    path = folder / "imagenet2012-train.array_record-00000-of-00002"
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(records.DamagedRecords, match=f"'{path}' should hold 48 exam"):
        array_records.index([str(path)], [48])


def test_whether_labels_are_told_is_asked_of_a_file_that_holds_some(data_dir, tmp_path):
    shutil.copytree(data_dir / "little_any_shape", tmp_path / "little_any_shape")
    folder = tmp_path / "little_any_shape" / "1.2.3"
    old = folder / "little_any_shape-test.tfrecord-00000-of-00001"
    (folder / "little_any_shape-test.tfrecord-00000-of-00002").write_bytes(b"")
    old.rename(folder / "little_any_shape-test.tfrecord-00001-of-00002")
    train, test = json.loads((folder / "dataset_info.json").read_text())["splits"]
    test["shardLengths"] = ["0", "3"]
    described(folder, splits=[train, test])
    builder = tfds_builder.validated_builder("little_any_shape", str(tmp_path))
    assert [len(one) for one in tfds_records.needed_files(builder)] == [1, 3]


def test_a_full_disk_is_told_whatever_is_written(
    folder, tmp_path, monkeypatch, small_disk
):
    """numpy gives no reason where it cannot write."""
    many = records.Index(np.zeros((4000, 4), np.int64), np.zeros(4000, np.int32))
    monkeypatch.setattr(records, "index", lambda *_: many)
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    with small_disk():
        assert tfds_reader.main("imagenet2012", str(tmp_path), str(working)) == 1
    told = json.loads((working / "error.json").read_text())
    assert "There is no room" in told["text"] and "TFLOTTERY_CACHE" in told["text"]


def test_moments_are_those_of_what_a_network_is_shown(tmp_path):
    """Of a grey image of 16 bits, its upper eight; of one that is none, nothing."""
    levels = np.full((8, 8), 0x40FF, np.uint16)
    good = saved(Image.fromarray(levels))
    head = b"IHDR" + (40_000).to_bytes(4, "big") * 2 + good[24:29]
    huge = good[:12] + head + zlib.crc32(head).to_bytes(4, "big") + good[33:]
    broken = bytearray(good)
    broken[45:60] = bytes(15)
    contents = [good, huge, bytes(broken)]
    path = tmp_path / "shard"
    path.write_bytes(b"".join(contents))
    lengths = [len(one) for one in contents]
    table = np.array([[0, sum(lengths[:i]), lengths[i], 0] for i in range(3)])
    images = encoded.in_files([str(path)], table, form="tfrecord").shaped((4, 4, 3))
    shown = decoding.shown(
        tf.constant(good),
        tf.constant([8, 8]),
        tf.constant([0, 0, 8, 8]),
        image_shape=(4, 4, 3),
    )
    assert (shown.numpy() == 0x40).all()
    mean, std = tfds_records._moments(images[:1])
    assert mean == [round(0x40 / 255, 3)] * 3 and std == [1.0] * 3
    tfds_records._moments(images)


def saved(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_there_have_to_be_images_to_measure(folder):
    splits = json.loads((folder / "dataset_info.json").read_text())["splits"]
    kept = [split for split in splits if split["name"] != "validation"]
    described(folder, splits=kept)
    refused(folder, r"\['test', 'train'\], not train, and test or validation with")


def test_a_test_split_with_labels_is_measured(data_dir, tmp_path):
    found = source.load(
        "little_any_shape", data_dir=str(data_dir), image_size=8, cache_dir=tmp_path
    )
    assert found.train.images.shape == (7, 8, 8, 3)
    assert found.test.labels.tolist() == [0, 1, 2]
    content, sizes = found.test.images.read([1])
    assert content[0].startswith(b"\x89PNG") and sizes.tolist() == [[4, 4]]


@pytest.mark.slow
def test_places365_stays_in_its_files_though_it_has_one_size(places_dir, tmp_path):
    folders = {"data_dir": str(places_dir), "cache_dir": str(tmp_path)}
    found = source.load("places365_small", minimum_image_size=32, **folders)
    assert found.is_encoded and found.num_classes == 365
    assert found.train.images.shape == (30, 224, 224, 3)
    # Those of the test split are secret.
    assert sorted(found.test.labels) == list(range(10))
    assert found.train.images.read([7])[1].tolist() == [[256, 256]]
    told = str(found.train.images.damaged(7, "is none"))
    assert ", called 'train_" in told and told.count("places365_small-train") == 1


def test_what_is_declared_to_stay_in_files_does(data_dir, monkeypatch):
    builder = tfds_builder.builder_of("little", str(data_dir))
    assert not tfds_records.stay_in_files(builder)
    monkeypatch.setitem(DATASETS._entries, "little", DATASETS["places365_small"])
    assert tfds_records.stay_in_files(builder)
