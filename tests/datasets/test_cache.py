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

ARRAYS = ("train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy")


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

    def __call__(self, working):
        assert not list(working.iterdir())
        (working / "half").write_text("")
        self.calls += 1
        return raw_source(**self.changes)


def load(folder, make, *, name="tiny", request=None, edition="1"):
    return cache.load(
        name,
        request or {},
        edition=lambda: edition,
        make=make,
        cache_dir=str(folder),
    )


def assert_is_tiny(source):
    raw = raw_source()
    np.testing.assert_array_equal(source.train.images, raw.train_images)
    np.testing.assert_array_equal(source.test.images, raw.test_images)
    np.testing.assert_array_equal(source.train.labels, raw.train_labels)
    np.testing.assert_array_equal(source.test.labels, raw.test_labels)
    np.testing.assert_allclose(source.mean, [15 / 255, 16 / 255], rtol=1e-12)


def test_made_once_and_read_alike(tmp_path):
    make = Maker()
    for _ in range(2):
        source = load(tmp_path, make)
        assert_is_tiny(source)
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


def flip(path, position):
    """Changes one bit of a file and no size."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", [*ARRAYS, "info.json"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "removed", "garbled"])
def test_a_damaged_copy_is_named_and_made_again(tmp_path, caplog, file, damage):
    make = Maker()
    source = load(tmp_path, make)
    path = tmp_path / f"tiny-{source.digest}" / file
    if damage == "removed":
        path.unlink()
    elif damage == "truncated":
        os.truncate(path, path.stat().st_size - 20)
    elif damage == "garbled":
        path.write_bytes(b"\0" * path.stat().st_size)
    else:
        flip(path, -8)
    again = load(tmp_path, make)
    assert make.calls == 2
    assert_is_tiny(again)
    assert again.digest == source.digest
    assert f"'tiny' in {path.parent} is damaged: {file}" in caplog.text
    assert "made again" in caplog.text
    caplog.clear()
    load(tmp_path, make)
    assert make.calls == 2 and not caplog.text


@pytest.mark.parametrize(
    "damage", ["cut", "no object", "of another request", *range(8)]
)
def test_a_damaged_pointer_is_named_and_made_again(tmp_path, caplog, damage):
    make = Maker()
    load(tmp_path, make)
    (pointer,) = (tmp_path / "requests").glob("*.json")
    if damage == "of another request":
        load(tmp_path, Maker(), request={"size": 1})
        others = set((tmp_path / "requests").glob("*.json")) - {pointer}
        others.pop().replace(pointer)
    elif damage in ("cut", "no object"):
        pointer.write_text("{" if damage == "cut" else "[]")
    else:
        flip(pointer, pointer.stat().st_size * damage // 8)
    assert_is_tiny(load(tmp_path, make))
    assert make.calls == 2
    assert f"{pointer}" in caplog.text and "'tiny'" in caplog.text
    assert json.loads(pointer.read_text())["request"] == {"format": 2, "name": "tiny"}


def test_copies_that_lie_in_each_others_place_are_made_again(tmp_path, caplog):
    first, other = Maker(), Maker(train_labels=np.array([2, 1, 0, 0]))
    folders = [
        tmp_path / f"tiny-{load(tmp_path, make, request=request).digest}"
        for make, request in ((first, {"size": 1}), (other, {"size": 2}))
    ]
    folders[0].rename(tmp_path / "aside")
    folders[1].rename(folders[0])
    (tmp_path / "aside").rename(folders[1])
    assert_is_tiny(load(tmp_path, first, request={"size": 1}))
    assert first.calls == 2
    assert "info.json belongs to another copy" in caplog.text


def test_damage_without_a_source_ends_in_the_sources_error(tmp_path, caplog):
    def gone(working):
        raise FileNotFoundError("the source is gone")

    source = load(tmp_path, Maker())
    flip(tmp_path / f"tiny-{source.digest}" / "test_labels.npy", -8)
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="the source is gone"):
            load(tmp_path, gone, edition=None)
    assert "damaged: test_labels.npy" in caplog.text


def test_another_edition_is_read_and_a_gone_one_is_kept(tmp_path, caplog):
    """Data prepared anew are not the old ones; data that are gone are in the copy."""
    first, second = Maker(), Maker(train_labels=np.array([2, 1, 0, 0]))
    old = load(tmp_path, first, edition="1")
    new = load(tmp_path, second, edition="2")
    np.testing.assert_array_equal(new.train.labels, [2, 1, 0, 0])
    assert new.digest != old.digest
    assert "'tiny' was prepared anew" in caplog.text
    caplog.clear()
    for _ in range(2):
        gone = load(tmp_path, first, edition=None)
        assert gone.digest == new.digest
    assert "no longer where it was read from" in caplog.text
    assert (first.calls, second.calls) == (1, 1)


def test_the_edition_that_a_source_read_counts(tmp_path):
    """A source that is downloaded is nowhere before, and has an edition afterwards."""
    make = Maker(edition="downloaded")
    load(tmp_path, make, edition=None)
    load(tmp_path, make, edition="downloaded")
    assert make.calls == 1
    load(tmp_path, make, edition="prepared anew")
    assert make.calls == 2


def test_a_sound_copy_stays_where_it_is(tmp_path):
    """What others have mapped and checked is not replaced by the same again."""
    first = load(tmp_path, Maker(), request={"size": 1})
    load(tmp_path, Maker(), request={"size": 2})
    first.check_unchanged()


def test_an_error_while_making_leaves_nothing_behind(tmp_path):
    def broken(working):
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

def make(working):
    with open(folder + "/made", "a") as file:
        file.write("x")
    time.sleep(seconds)
    images = np.full((100, 8, 8, 1), 9, np.uint8)
    labels = np.zeros(100, np.int32)
    return RawSource(version="1", train_images=images, train_labels=labels,
                     test_images=images, test_labels=labels, num_classes=2)

source = cache.load("slow", {}, edition=lambda: "1", make=make, cache_dir=folder)
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
    half = tmp_path / "making-slow" / "source" / "train_images.npy"
    half.write_bytes(b"half")
    output = start(tmp_path, 0).communicate(timeout=60)[0]
    assert output == f"{9 * 6400}\n"
    assert (tmp_path / "made").read_text() == "xx"
    assert not (tmp_path / "making-slow").exists()
