"""A store of the test's own; google_storage.py is for tests to import."""

import pathlib
import sys

import pytest

from tflottery.store.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(params=["folder", "bucket"])
def root(request, tmp_path, monkeypatch):
    """A folder or a bucket that hosts share."""
    if request.param == "folder":
        return str(tmp_path / "store")
    request.getfixturevalue("bucket")
    monkeypatch.setenv("HOME", str(tmp_path))
    return "gs://bucket/store"
