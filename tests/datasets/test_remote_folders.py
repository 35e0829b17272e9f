"""Prepared data in a bucket, which is memory here: copied once, then read offline."""

import errno
import os

import pytest

from tflottery.datasets import network, remote_folders, source, tfds_reader, tfds_source
from tflottery.datasets.remote_folders import Mirror

_URL = "gs://bucket/data"
_SHARDS = [f"mnist/3.0.1/mnist-train.tfrecord-0000{n}-of-00003" for n in range(3)]
_FILES = ("mnist/3.0.1/dataset_info.json", *_SHARDS)


@pytest.fixture
def told():
    return []


@pytest.fixture
def mirror(bucket, tmp_path, told):
    """Makes a mirror of what the bucket holds by now."""
    for name in _FILES:
        bucket.pipe(f"{_URL}/{name}", name.encode())

    def make():
        found = remote_folders.files(f"{_URL}/mnist", depth=3, skipped="incomplete.")
        return Mirror(_URL, found, mirrors=tmp_path / "mirrors", tell=told.append)

    return make


def fetch(mirror, *names):
    mirror.fetch([str(mirror.folder / name) for name in names])


def test_files_are_copied_once_and_the_size_is_told_before(mirror, told, bucket):
    one = mirror()
    one.fetch_descriptions()
    assert (one.folder / _FILES[0]).read_text() == _FILES[0]
    assert not (one.folder / _SHARDS[0]).exists()
    told.clear()
    fetch(one, *_SHARDS, "mnist/3.0.1/no_such_file")
    assert [(one.folder / name).read_text() for name in _SHARDS] == _SHARDS
    first, *_, last = told
    for fact in ("3 of 3 files, 0.0 MB", _URL, str(one.folder), "once"):
        assert fact in first
    assert "[####################] 100%" in last
    told.clear()
    bucket.store.clear()
    fetch(one, *_SHARDS)
    assert told == []


def test_an_interrupted_copy_goes_on_with_what_is_missing(mirror, monkeypatch, told):
    copied, copy = [], remote_folders._copy

    def failing(one, path, *, arrived):
        if one.url.endswith(_SHARDS[1]) and not copied:
            raise ConnectionError("the line is cut")
        copied.append(os.path.basename(path))
        copy(one, path, arrived=arrived)

    monkeypatch.setattr(remote_folders, "_THREADS", 1)
    monkeypatch.setattr(remote_folders, "_copy", failing)
    one = mirror()
    with pytest.raises(ConnectionError):
        fetch(one, _SHARDS[1], _SHARDS[0])
    fetch(one, _SHARDS[0])
    copied.clear()
    told.clear()
    copied.append("on")
    fetch(mirror(), *_SHARDS)
    assert len(copied) == 3 and os.path.basename(_SHARDS[0]) not in copied
    assert told[0].startswith("2 of 3 files")


def test_a_file_that_does_not_arrive_whole_is_not_there(mirror, monkeypatch):
    one = mirror()
    there = one._there[_SHARDS[0]]
    longer = remote_folders.RemoteFile(there.url, there.num_bytes + 1, there.modified)
    monkeypatch.setitem(one._there, _SHARDS[0], longer)
    with pytest.raises(OSError, match=f"{there.num_bytes + 1} bytes, and .* arrived"):
        fetch(one, _SHARDS[0])
    assert os.listdir(one.folder / "mnist/3.0.1") == []


def test_a_file_that_was_replaced_is_copied_again(mirror, bucket):
    fetch(mirror(), *_SHARDS)
    bucket.pipe(f"{_URL}/{_SHARDS[1]}", _SHARDS[1].encode())
    newer = bucket.store[f"/bucket/data/{_SHARDS[1]}"]
    newer.created = newer.created.replace(year=newer.created.year + 1)
    bucket.pipe(f"{_URL}/{_SHARDS[2]}", b"other")
    one = mirror()
    fetch(one, *_SHARDS)
    found = (one.folder / _SHARDS[1]).stat()
    assert int(found.st_mtime) == one._there[_SHARDS[1]].modified
    assert (one.folder / _SHARDS[2]).read_text() == "other"


def test_too_little_room_is_told_before_anything_is_copied(mirror, monkeypatch):
    usage = remote_folders.shutil.disk_usage("/")
    monkeypatch.setattr(
        remote_folders.shutil, "disk_usage", lambda path: usage._replace(free=20)
    )
    one = mirror()
    with pytest.raises(
        OSError, match="0.0 MB are to be copied to .*0.0 MB are free"
    ) as e:
        fetch(one, *_SHARDS)
    assert e.value.errno == errno.ENOSPC
    assert not (one.folder / "mnist").exists()


def test_nothing_there_is_no_files(bucket):
    assert remote_folders.files(f"{_URL}/none", depth=3, skipped="x") == []


@pytest.fixture
def in_process(monkeypatch):
    """Has the program that reads run in this process, where the bucket is."""

    def run(name, data_dir, working_dir):
        with monkeypatch.context() as patch:
            patch.chdir(working_dir)
            arguments = (name, data_dir, str(working_dir), tfds_source.mirrors())
            code = tfds_reader.main(*arguments)
        if code:
            raise tfds_source._failure(name, data_dir, working_dir, code)

    monkeypatch.setattr(tfds_source, "_run_reader", run)
    monkeypatch.setattr(network, "connected", lambda *_, **__: True)


def test_a_data_set_in_a_bucket_is_read_from_a_copy(
    bucket, in_process, imagenet_dir, imagenet, tmp_path, monkeypatch
):
    """The files needed alone, and without the bucket afterwards."""
    monkeypatch.setenv("TFLOTTERY_CACHE", str(tmp_path))
    bucket.put(str(imagenet_dir), _URL, recursive=True)
    found = source.load("imagenet2012", data_dir=_URL, image_size=32)
    assert found.digest == imagenet.digest
    paths = [*found.train.images.files.paths, *found.test.images.files.paths]
    assert len(paths) == 4 and all(str(tmp_path) in path for path in paths)
    copied = {path.name for path in tmp_path.rglob("*.tfrecord*")}
    # Of the test split as much as tells that its labels are secret.
    assert len(copied) == 5
    bucket.store.clear()
    again = source.load("imagenet2012", data_dir=_URL, image_size=32)
    assert again.train.images.read([3])[0] == imagenet.train.images.read([3])[0]
    # Where the copy is not what was indexed, the bucket is needed.
    os.utime(paths[0], (1, 1))
    monkeypatch.setattr(network, "connected", lambda *_, **__: False)
    with pytest.raises(FileNotFoundError, match=f"'imagenet2012' .*'{_URL}'"):
        source.load("imagenet2012", data_dir=_URL, image_size=32)
