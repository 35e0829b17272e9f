"""Copies of datasets: every byte is compared with what was written, once."""

import os
import time

import numpy as np
import pytest

from tflottery.datasets import copies
from tflottery.datasets.arrays import ChangedData, RawSource
from tflottery.datasets.copies import DamagedCopy

FILES = (
    "train_images.npy",
    "train_labels.npy",
    "test_images.npy",
    "test_labels.npy",
    "info.json",
)


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


def written(tmp_path, **changes):
    making = tmp_path / "making"
    making.mkdir()
    digest = copies.write(making, "tiny", raw_source(**changes))
    return making.rename(tmp_path / f"tiny-{digest}")


@pytest.fixture
def settled(monkeypatch):
    """Has files count as settled at once: tests do not wait for clocks."""
    monkeypatch.setattr(copies, "_SETTLED_SECONDS", -1)


@pytest.fixture
def new_process():
    """Forgets what this process has checked."""
    copies._check_content.cache_clear()
    return copies._check_content.cache_clear


def flip(path, position, *, restore_time=False):
    """Changes one bit of a file and no size."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(position, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(position, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    if restore_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "2"},
        {"num_classes": 4},
        {"normalized": False},
        {"train_labels": np.array([0, 1, 0, 2])},
        {"test_labels": np.array([2, 1])},
        {"train_images": np.full((4, 2, 2, 2), 7, np.uint8)},
        {"test_images": np.full((2, 2, 2, 2), 7, np.uint8)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_digest_stands_for_all_that_is_read(tmp_path, changes):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    digest = copies.write(tmp_path / "a", "tiny", raw_source())
    assert copies.write(tmp_path / "b", "tiny", raw_source(**changes)) != digest


def test_the_digest_is_known(tmp_path):
    """It enters the key of every run: of the data alone, not of how they are kept."""
    assert copies.write(tmp_path, "tiny", raw_source()) == "3559fcbfe0495b0b"


@pytest.mark.parametrize("checked_before", [False, True])
@pytest.mark.parametrize("restore_time", [False, True])
@pytest.mark.parametrize("file", FILES)
def test_a_flipped_bit_is_found(
    tmp_path, settled, new_process, file, restore_time, checked_before
):
    folder = written(tmp_path)
    if checked_before:
        copies.read(folder)
        new_process()
    time.sleep(0.01)
    flip(folder / file, -9, restore_time=restore_time)
    for _ in range(2):
        with pytest.raises(DamagedCopy, match=file):
            copies.read(folder)


def test_content_is_compared_once_a_process_and_then_by_stamps(
    tmp_path, settled, new_process, monkeypatch
):
    folder = written(tmp_path)
    hashed = []
    sha256 = copies._sha256
    monkeypatch.setattr(
        copies, "_sha256", lambda path: hashed.append(path.name) or sha256(path)
    )
    for _ in range(2):
        copies.read(folder)
    assert sorted(hashed) == sorted(FILES[:-1])
    new_process()
    copies.read(folder)
    assert len(hashed) == 4
    # Whatever is wrong with the note, it costs a comparison and no more.
    for wrong in (
        "",
        "[]",
        "{",
        (folder / "checked.json").read_text().replace("1", "2"),
    ):
        (folder / "checked.json").write_text(wrong)
        new_process()
        hashed.clear()
        copies.read(folder)
        assert len(hashed) == 4


def test_a_fresh_copy_leaves_no_note(tmp_path, new_process):
    """What is written twice within the resolution of a file's times looks untouched."""
    folder = written(tmp_path)
    copies.read(folder)
    assert not (folder / "checked.json").exists()


def test_a_folder_that_cannot_be_written_is_checked_all_the_same(
    tmp_path, settled, new_process
):
    folder = written(tmp_path)
    (folder / "checked.json").mkdir()
    copies.read(folder)
    flip(folder / "test_labels.npy", -4)
    with pytest.raises(DamagedCopy, match="test_labels"):
        copies.read(folder)


@pytest.mark.parametrize("change", ["written", "replaced", "removed"])
def test_a_change_under_a_map_is_noticed(tmp_path, change):
    folder = written(tmp_path)
    source = copies.read(folder)
    source.check_unchanged()
    path = folder / "train_images.npy"
    time.sleep(0.01)
    if change == "written":
        flip(path, -1, restore_time=True)
    elif change == "replaced":
        (tmp_path / "other").write_bytes(path.read_bytes())
        os.replace(tmp_path / "other", path)
    else:
        path.unlink()
    with pytest.raises(ChangedData, match=f"{path}.*'tiny'.*changed"):
        source.check_unchanged()
