"""A file is whole or as it was before, however its writing ends."""

import os

import pytest

from tflottery.core import files


def test_bytes_are_written_and_replaced(tmp_path, monkeypatch):
    files.write(tmp_path / "a", b"one")
    files.write(str(tmp_path / "a"), b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    monkeypatch.setenv("HOME", str(tmp_path))
    files.write("~/b", b"")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_write_that_fails_midway_leaves_the_old_file_and_nothing_else(
    tmp_path, small_disk
):
    files.write(tmp_path / "a", b"old")
    with small_disk(), pytest.raises(OSError, match="too large"):
        files.write(tmp_path / "a", b"new" * 100_000)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_replacement_that_fails_leaves_nothing_else(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        files.write(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]
