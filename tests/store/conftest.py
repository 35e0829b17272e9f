"""A store of the test's own; google_storage.py is for tests to import."""

import asyncio
import pathlib
import sys
import types

import fsspec
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


@pytest.fixture
def storage(monkeypatch, tmp_path):
    """What is in the buckets; gs:// leads there."""
    from google_storage import WITHOUT_GOOGLE, Storage, serving

    for name, value in WITHOUT_GOOGLE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    from etils.epath import backend, gpath
    from gcsfs import retry
    from gcsfs.core import GCSFileSystem

    found = Storage()
    server = serving(found)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    systems = {
        "gcs": GCSFileSystem(token="anon", skip_instance_cache=True),
        "file": fsspec.filesystem("file"),
    }
    monkeypatch.setattr(backend.fsspec_backend, "_get_filesystem", systems.get)
    # It is asked once a process otherwise.
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)
    # Tried again without the pause before.
    nap = types.SimpleNamespace(sleep=lambda seconds: asyncio.sleep(0))
    monkeypatch.setattr(retry, "asyncio", nap)
    yield found
    found.ended.set()
    server.shutdown()
    server.server_close()
