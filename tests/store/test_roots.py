"""Where a store may be: looked at before anything is written."""

import os
import shutil
import time
import types

import pytest

from tflottery.datasets import network
from tflottery.store import roots
from tflottery.store.errors import StoreError
from tflottery.store.store import Store


def test_looking_for_a_store_touches_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "new/deeper/down"):
        Store(tmp_path / name).ensure_root()
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_folder_with_other_things_is_refused(tmp_path):
    root = tmp_path / "home"
    (root / "photos").mkdir(parents=True)
    for name in "abcd":
        (root / name).write_text("")
    with pytest.raises(StoreError, match="'a', 'b', 'c', .... and no store: name an"):
        Store(root).ensure_root()


@pytest.mark.parametrize("kept", [".drafts", ".locks", "runs"])
def test_a_store_is_known_among_other_things(tmp_path, kept):
    store = Store(tmp_path / "store")
    with store.writing("runs/a", {}) as folder, store.lock("a"):
        (folder / "file").write_text("")
    (tmp_path / "store" / "notes.txt").write_text("mine")
    for name in {".drafts", ".locks", "runs"} - {kept}:
        shutil.rmtree(tmp_path / "store" / name)
    Store(tmp_path / "store").ensure_root()


def test_what_a_disk_holds_of_itself_is_nothing(tmp_path):
    for name in ("lost+found", ".Trash-0"):
        (tmp_path / name).mkdir()
    Store(tmp_path).ensure_root()


@pytest.mark.parametrize("name", ["file", "file/store", "file/deeper/store"])
def test_a_store_below_a_file_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Not a directory.*file"):
        Store(tmp_path / name).ensure_root()


def test_a_store_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match=f"Permission denied.*{tmp_path}"):
        Store(tmp_path / "new" / "store").ensure_root()


def test_without_a_network_a_bucket_is_refused(monkeypatch):
    monkeypatch.setattr(network, "connected", lambda address: False)
    monkeypatch.setattr(network, "download_address", lambda: ("proxy", 8))
    with pytest.raises(StoreError, match="b/s' cannot be reached: proxy:8 did not"):
        Store("gs://b/s").ensure_root()


@pytest.fixture
def answering(monkeypatch):
    """Has a URL answer as a function does."""

    def answer(function):
        system = types.SimpleNamespace(exists=lambda root: function())
        monkeypatch.setattr(network, "connected", lambda address: True)
        monkeypatch.setattr(roots.buckets, "file_system", lambda url: system)

    return answer


def test_whatever_a_file_system_raises_is_told_in_a_line(answering):
    class HttpError(Exception):
        pass

    def refuse():
        raise HttpError("403:\n" + 200 * "no permission\n")

    answering(refuse)
    with pytest.raises(StoreError, match="HttpError: 403: no permission") as error:
        Store("gs://b/s").ensure_root()
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)


def test_who_never_answers_is_waited_for_some_seconds(answering, monkeypatch):
    monkeypatch.setattr(roots, "_LOOK_SECONDS", 0.05)
    answering(lambda: time.sleep(1))
    with pytest.raises(StoreError, match="s3://b/s' cannot be reached: it did not ans"):
        Store("s3://b/s").ensure_root()


def test_who_answers_is_a_store_or_becomes_one(answering):
    answering(lambda: False)
    Store("gs://b/s").ensure_root()


def test_a_store_in_a_bucket_takes_a_package_also_to_be_read(monkeypatch, tmp_path):
    from etils.epath import backend

    def missing(name):
        raise ImportError("No module named 'gcsfs'")

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(backend.fsspec_backend, "_get_filesystem", missing)
    with pytest.raises(StoreError, match=r"also where it is only read.*tflottery\[gcs"):
        Store("gs://b/store").ensure_root()


def test_an_address_of_no_bucket_is_refused_before_anything_is_asked():
    with pytest.raises(StoreError, match=r"sg://b/s' is neither.* gs://, s3://, az://"):
        Store("sg://b/s").ensure_root()
