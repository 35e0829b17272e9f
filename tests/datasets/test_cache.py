"""The cache: made once, never half, shared by processes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tflottery.datasets import cache
from tflottery.datasets.arrays import RawSource


def raw_source(**changes):
    images = np.arange(6 * 2 * 2 * 2, dtype=np.uint8).reshape(6, 2, 2, 2)
    arrays = {
        "version": "1",
        "train_images": images[:4],
        "train_labels": np.array([0, 1, 2, 0]),
        "test_images": images[4:],
        "test_labels": np.array([1, 2]),
        "num_classes": 3,
    }
    return RawSource(**(arrays | changes))


class Maker:
    """Gives the same arrays each time and counts how often it is asked."""

    def __init__(self, **changes):
        self.calls = 0
        self.changes = changes

    def __call__(self):
        self.calls += 1
        return raw_source(**self.changes)


def load(folder, make, *, name="tiny", request=None):
    return cache.load(name, request or {}, make=make, cache_dir=str(folder))


def test_made_once_and_read_alike(tmp_path):
    make = Maker()
    for _ in range(2):
        source = load(tmp_path, make)
        raw = raw_source()
        np.testing.assert_array_equal(source.train.images, raw.train_images)
        np.testing.assert_array_equal(source.test.images, raw.test_images)
        np.testing.assert_array_equal(source.train.labels, raw.train_labels)
        np.testing.assert_array_equal(source.test.labels, raw.test_labels)
        assert source.train.labels.dtype == np.int32
        assert (source.name, source.version, source.num_classes) == ("tiny", "1", 3)
        assert source.image_shape == (2, 2, 2)
    assert make.calls == 1


def test_images_are_memory_maps_that_never_change_the_file(tmp_path):
    source = load(tmp_path, Maker())
    assert isinstance(source.train.images, np.memmap)
    assert source.train.images.mode == "c"
    source.train.images[:] = 0
    again = load(tmp_path, Maker())
    np.testing.assert_array_equal(again.train.images, raw_source().train_images)


def test_mean_and_deviation_are_per_channel_of_the_training_images(tmp_path):
    source = load(tmp_path, Maker())
    images = raw_source().train_images / 255
    np.testing.assert_allclose(source.mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(source.std, images.std(axis=(0, 1, 2)), rtol=1e-12)


def test_plain_and_constant_images_keep_their_scale(tmp_path):
    plain = load(tmp_path / "plain", Maker(normalized=False))
    assert (plain.mean, plain.std) == ((0.0, 0.0), (1.0, 1.0))
    grey = np.full((4, 2, 2, 2), 255, np.uint8)
    constant = load(tmp_path / "constant", Maker(train_images=grey))
    assert (constant.mean, constant.std) == ((1.0, 1.0), (1.0, 1.0))


def test_requests_of_the_same_arrays_share_one_folder(tmp_path):
    first = load(tmp_path, Maker(), request={"size": 1})
    second = load(tmp_path, Maker(), request={"size": 2})
    assert first.train.images.filename == second.train.images.filename
    other = load(tmp_path, Maker(version="2"), request={"size": 3})
    assert other.digest != first.digest
    assert other.train.images.filename != first.train.images.filename


@pytest.mark.parametrize("file", ["train_images.npy", "test_labels.npy", "info.json"])
@pytest.mark.parametrize("damage", ["truncated", "removed", "garbled"])
def test_a_damaged_cache_is_made_again(tmp_path, file, damage):
    make = Maker()
    source = load(tmp_path, make)
    path = tmp_path / f"tiny-{source.digest}" / file
    if damage == "removed":
        path.unlink()
    elif damage == "truncated":
        os.truncate(path, path.stat().st_size - 1 if "npy" in file else 20)
    else:
        path.write_bytes(b"\0" * path.stat().st_size)
    again = load(tmp_path, make)
    assert make.calls == 2
    np.testing.assert_array_equal(again.train.images, raw_source().train_images)
    load(tmp_path, make)
    assert make.calls == 2


def test_a_damaged_pointer_is_made_again(tmp_path):
    make = Maker()
    load(tmp_path, make)
    (pointer,) = (tmp_path / "requests").glob("*.json")
    pointer.write_text("{")
    load(tmp_path, make)
    assert make.calls == 2
    assert json.loads(pointer.read_text())["request"]["name"] == "tiny"


def test_an_error_while_making_leaves_nothing_behind(tmp_path):
    def broken():
        raise RuntimeError("the source failed")

    with pytest.raises(RuntimeError, match="the source failed"):
        load(tmp_path, broken)
    assert not list(tmp_path.glob("*-*"))
    make = Maker()
    load(tmp_path, make)
    assert make.calls == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file.*cannot be written.*TFLOTTERY_CACHE"):
        load(tmp_path / "file", Maker())


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 2, 2\) and \(2, 2, 2\)"):
        raw_source(train_images=np.zeros((4, 3, 2, 2), np.uint8))
    with pytest.raises(ValueError, match="float64"):
        raw_source(train_images=np.zeros((4, 2, 2, 2)))
    with pytest.raises(ValueError, match="largest label is 3.*3 classes"):
        raw_source(test_labels=np.array([0, 3]))
    with pytest.raises(ValueError, match=r"shape \(3,\).*4 images"):
        raw_source(train_labels=np.array([0, 1, 2]))


# Loads a dataset that notes each making and takes a while, and says what it read.
_PROGRAM = """
import sys, time
import numpy as np
from tflottery.datasets import cache
from tflottery.datasets.arrays import RawSource

folder, seconds = sys.argv[1], float(sys.argv[2])

def make():
    with open(folder + "/made", "a") as file:
        file.write("x")
    time.sleep(seconds)
    images = np.full((100, 8, 8, 1), 9, np.uint8)
    labels = np.zeros(100, np.int32)
    return RawSource(version="1", train_images=images, train_labels=labels,
                     test_images=images, test_labels=labels, num_classes=2)

source = cache.load("slow", {}, make=make, cache_dir=folder)
print(int(source.train.images.sum()))
"""


def start(folder, seconds):
    command = [sys.executable, "-c", _PROGRAM, str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_until_making(folder):
    deadline = time.monotonic() + 30
    while not (folder / "made").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_processes_at_once_make_it_once(tmp_path):
    processes = [start(tmp_path, 0.5) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs == [f"{9 * 6400}\n"] * 3
    assert (tmp_path / "made").read_text() == "x"


def test_a_killed_maker_blocks_nobody(tmp_path):
    process = start(tmp_path, 600)
    wait_until_making(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (tmp_path / "making-slow").mkdir()
    (tmp_path / "making-slow" / "train_images.npy").write_bytes(b"half")
    output = start(tmp_path, 0).communicate(timeout=60)[0]
    assert output == f"{9 * 6400}\n"
    assert (tmp_path / "made").read_text() == "xx"
    assert not (tmp_path / "making-slow").exists()
