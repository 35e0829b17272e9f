"""What can be told of a dataset before TensorFlow starts is refused in a sentence."""

import errno
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import time

import pytest

from tflottery.datasets import tfds_builder, tfds_folders, tfds_reader
from tflottery.datasets.tfds_builder import NotPrepared, Refusal


@pytest.fixture
def little(data_dir, tmp_path):
    """A copy of a prepared dataset to damage: the folder of its only version."""
    shutil.copytree(data_dir / "little", tmp_path / "little")
    return tmp_path / "little" / "1.2.3"


def shard(folder, split="train"):
    (path,) = folder.glob(f"little-{split}.tfrecord*")
    return path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("little_any_shape_train_only", r"splits are \['train'\], not train, and test"),
        ("little_train_only", r"splits are \['train'\], not train and test"),
        ("little_number", "not one of so many classes"),
        ("little_float", "float32, not uint8"),
    ],
)
def test_what_cannot_be_used_is_refused(data_dir, name, reason):
    with pytest.raises(Refusal, match=f"'{name}' cannot be used.*{reason}"):
        tfds_builder.validated_builder(name, str(data_dir))


def test_what_does_not_fit_in_memory_is_refused(data_dir, monkeypatch):
    monkeypatch.setattr(tfds_builder, "MAXIMUM_BYTES", 479)
    with pytest.raises(Refusal, match="10 images take.*more than"):
        tfds_builder.validated_builder("little", str(data_dir))
    monkeypatch.setattr(tfds_builder, "MAXIMUM_BYTES", 480)
    tfds_builder.validated_builder("little", str(data_dir))


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(Refusal, match="'no_such_set'.*digits, imagenet2012, mnist"):
        tfds_builder.validated_builder("no_such_set", str(tmp_path))


@pytest.mark.parametrize("asked", ["fashion_mnits", "fashionmnist:3.0.1"])
def test_an_unknown_name_suggests_the_nearest_one(tmp_path, asked):
    with pytest.raises(Refusal, match=f"{asked}'.*Did you mean 'fashion_mnist'"):
        tfds_builder.validated_builder(asked, str(tmp_path))


@pytest.mark.parametrize("named", [".", "all/mnist", "all/mnist/3.0.1"])
def test_where_it_is_prepared_nearby_is_told(tmp_path, named):
    version = tmp_path / "all/mnist/3.0.1"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text("{}")
    there, data_dir = str(tmp_path / "all"), str(tmp_path / named)
    told = re.escape(f"not prepared in {data_dir!r}, but in {there!r}: give")
    with pytest.raises(NotPrepared, match=f"{told} --data_dir={there}"):
        tfds_builder.validated_builder("mnist", data_dir)
    assert tfds_folders.elsewhere("emnist", data_dir) is None


def test_what_has_to_be_fetched_by_hand_is_told(tmp_path, monkeypatch):
    told = r"fetched by hand into '.*/downloads/manual'.*ILSVRC2012_img_train\.tar"
    with pytest.raises(NotPrepared, match=f"'imagenet2012' is not prepared.*{told}"):
        tfds_builder.validated_builder("imagenet2012", str(tmp_path))
    begun = tmp_path / "imagenet2012/incomplete.ABC_5.1.0"
    begun.mkdir(parents=True)
    with pytest.raises(NotPrepared, match=f"{begun}' is of a preparation that goes on"):
        tfds_builder.validated_builder("imagenet2012", str(tmp_path))
    # Once it is there, the dataset can be made of it.
    (tmp_path / "downloads/manual").mkdir(parents=True)
    (tmp_path / "downloads/manual/ILSVRC2012_img_train.tar").write_bytes(b"")
    monkeypatch.setattr(tfds_builder.network, "connected", lambda *_, **__: True)
    builder = tfds_builder.validated_builder("imagenet2012", str(tmp_path))
    assert not builder.is_prepared()


def test_an_older_version_stands_for_one_that_is_not_there(little, tmp_path):
    """As ImageNet's 5.0.0, where tensorflow-datasets makes 5.1.0 by now."""
    mnist = tmp_path / "mnist"
    for version in ("2.0.0", "10.0.0"):
        shutil.copytree(little, mnist / version)
        info = json.loads((little / "dataset_info.json").read_text())
        info |= {"name": "mnist", "version": version}
        (mnist / version / "dataset_info.json").write_text(json.dumps(info))
        for path in (mnist / version).glob("little-*"):
            path.rename(path.with_name(path.name.replace("little", "mnist")))
    builder = tfds_builder.validated_builder("mnist", str(tmp_path))
    assert str(builder.version) == "10.0.0"
    # What is prepared in part of the own one is no reason to take another.
    (mnist / "3.0.1").mkdir()
    with pytest.raises(Refusal, match=r"'mnist' .*in part: .*3\.0\.1"):
        tfds_builder.validated_builder("mnist", str(tmp_path))


def test_an_unknown_version_is_named(tmp_path):
    with pytest.raises(Refusal, match="'mnist:0.0.1' cannot be opened.*0.0.1"):
        tfds_builder.validated_builder("mnist:0.0.1", str(tmp_path))


@pytest.mark.parametrize("content", ["", '{"name": "li', "\0\0"])
@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
def test_a_description_that_is_cut_is_named(little, tmp_path, file, content):
    (little / file).write_text(content)
    with pytest.raises(Refusal, match=f"'little' .*in part: .*{file}' is no JSON"):
        tfds_builder.validated_builder("little", str(tmp_path))


def test_data_without_their_description_are_prepared_in_part(tmp_path):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    (folder / "mnist-train.tfrecord-00000-of-00001").write_bytes(b"")
    with pytest.raises(Refusal, match=f"'mnist' .*in part: '{folder}' holds no data"):
        tfds_builder.validated_builder("mnist", str(tmp_path))


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("cut", "it ends in the middle of an example"),
        ("emptied", "it holds 0 examples"),
        ("longer", "it ends in the middle of an example"),
        ("twice", "it holds 14 examples"),
        ("removed", "it is not there"),
        ("another length", "it ends in the middle of an example"),
    ],
)
def test_damaged_records_are_named(little, tmp_path, damage, fault):
    path = shard(little)
    content = path.read_bytes()
    changed = {
        "cut": content[:-1],
        "emptied": b"",
        "longer": content + b"\0",
        "twice": content * 2,
        "another length": struct.pack("<Q", 2**63) + content[8:],
    }
    path.unlink() if damage == "removed" else path.write_bytes(changed[damage])
    expected = f"'little'.*'{path}' should hold 7 examples, but {fault}.*delete"
    with pytest.raises(Refusal, match=expected):
        tfds_builder.validated_builder("little", str(tmp_path))


def test_records_are_counted(data_dir):
    for split, expected in (("train", 7), ("test", 3)):
        path = shard(data_dir / "little" / "1.2.3", split)
        assert tfds_builder.num_records(path) == expected


def test_a_network_that_never_answers_is_given_up_soon():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # One connection fills the queue; the next ones wait for an answer in vain.
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        started = time.monotonic()
        with pytest.raises(NotPrepared, match="'mnist'.*did not answer"):
            tfds_builder.require_network(
                "mnist", "/data", address=full.getsockname(), timeout_seconds=0.3
            )
        assert time.monotonic() - started < 5
        for one in waiting:
            one.close()


@pytest.fixture
def closed_proxy(monkeypatch):
    """Has a proxy named where nothing listens; returns its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
    monkeypatch.setenv("https_proxy", f"http://{host}:{port}")
    monkeypatch.setenv("no_proxy", "")
    return f"{host}:{port}"


@pytest.mark.parametrize("name", ["data", "br[1]*", "gs://no-such-bucket/data"])
def test_not_prepared_and_no_network_says_what_to_do(
    tmp_path, monkeypatch, closed_proxy, name
):
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path)
    data_dir = name if "://" in name else str(tmp_path / name)
    assert tfds_reader.main("mnist", data_dir, str(tmp_path / "working")) == 1
    told = json.loads((tmp_path / "working" / "error.json").read_text())
    assert told["kind"] == "FileNotFoundError"
    for fact in ("'mnist'", f"'{data_dir}'", "--data_dir", closed_proxy):
        assert fact in told["text"]
    assert not os.path.exists(data_dir)


def test_whatever_goes_wrong_is_said_in_a_sentence(tmp_path, monkeypatch):
    def fail(name, data_dir, link, mirrors):
        raise RuntimeError(
            "{{function_node __wrapped__Next_device_/job:localhost/replica:0}} "
            "corrupted record at 0\n  failed [Op:IteratorGetNext] name: " + "x" * 5000
        )

    monkeypatch.setattr(tfds_reader, "_write", fail)
    monkeypatch.chdir(tmp_path)
    assert tfds_reader.main("little", "/data", str(tmp_path)) == 1
    told = json.loads(pathlib.Path("error.json").read_text())
    assert told == {
        "kind": "RuntimeError",
        "text": "Dataset 'little' could not be read from '/data': RuntimeError: "
        "corrupted record at 0 failed",
    }


def test_a_full_disk_is_named_and_leaves_room_for_saying_so(tmp_path, monkeypatch):
    def fail(name, data_dir, link, mirrors):
        pathlib.Path("train_images.npy").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tfds_reader, "_write", fail)
    monkeypatch.chdir(tmp_path)
    assert tfds_reader.main("little", "/data", str(tmp_path)) == 1
    told = json.loads(pathlib.Path("error.json").read_text())
    for fact in ("'little'", "No space left", f"'{tmp_path}'", "TFLOTTERY_CACHE"):
        assert fact in told["text"]
    assert os.listdir(tmp_path) == ["error.json"]
