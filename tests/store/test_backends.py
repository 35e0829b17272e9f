"""A store in an object store: no folders, no renaming, whole files only.

gs:// goes through epath's and fsspec's own code into fsspec's memory; only the bucket
is not there.
"""

import errno
import os
import shutil

import pytest
from fsspec.implementations import memory

from tflottery.store import local_copies
from tflottery.store.errors import DamagedArtifact, MissingArtifact, StoreError
from tflottery.store.store import Store

ADDRESS = "runs/abc/00002000"


@pytest.fixture
def store(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return Store("gs://bucket/store")


def write(store, address=ADDRESS, *, content=b"weights", **manifest):
    with store.writing(address, {"inputs": {}, **manifest}) as folder:
        (folder / "weights.safetensors").write_bytes(content)
        (folder / "more").mkdir()
        (folder / "more" / "slots.safetensors").write_bytes(b"slots")


def test_artifact_is_there_after_the_block_and_not_before(store, bucket):
    with store.writing(ADDRESS, {}) as folder:
        (folder / "a").write_bytes(b"x")
        assert not store.has(ADDRESS) and not bucket.store
    assert store.has(ADDRESS, ("a",))
    assert all(name.startswith(f"/bucket/store/{ADDRESS}/") for name in bucket.store)
    assert (store.open(ADDRESS) / "a").read_bytes() == b"x"


def spoil(bucket, content):
    """Replaces the weights in the bucket."""
    (name,) = (one for one in bucket.store if one.endswith("/weights.safetensors"))
    bucket.pipe_file(name, content)


@pytest.fixture
def downloads(bucket, monkeypatch):
    """The files of artifacts that were read in the bucket; grows as they come."""
    found = []
    original = memory.MemoryFileSystem.cat_file

    def reading(self, path, *arguments, **named):
        if path.endswith(".safetensors"):
            found.append(path.rpartition("/")[2])
        return original(self, path, *arguments, **named)

    monkeypatch.setattr(memory.MemoryFileSystem, "cat_file", reading)
    return found


def test_nothing_is_downloaded_twice_by_whatever_process(store, downloads, tmp_path):
    write(store)
    for one in (store, Store(store.root)):
        assert (one.open(ADDRESS) / "more/slots.safetensors").read_bytes() == b"slots"
    assert downloads == []
    # As on another machine.
    shutil.rmtree(store._backend.scratch)
    for one in (Store(store.root), Store(store.root)):
        for _ in range(2):
            path = one.open(ADDRESS) / "weights.safetensors"
            assert path.read_bytes() == b"weights"
    assert sorted(downloads) == ["slots.safetensors", "weights.safetensors"]
    # What is written anew is another copy.
    write(store, content=b"another")
    path = Store(store.root).open(ADDRESS) / "weights.safetensors"
    assert path.read_bytes() == b"another"
    assert len(downloads) == 2


def test_a_damaged_copy_is_downloaded_again(store, downloads):
    write(store)
    for content in (b"WEIGHTS", b""):
        (store.open(ADDRESS) / "weights.safetensors").write_bytes(content)
        path = Store(store.root).open(ADDRESS) / "weights.safetensors"
        assert path.read_bytes() == b"weights"
    assert len(downloads) == 4


def test_copies_are_bounded_and_what_was_used_last_stays(store, monkeypatch, downloads):
    monkeypatch.setattr(local_copies, "MOST_BYTES", 10_000)
    monkeypatch.setattr(local_copies, "_RECENT_SECONDS", -1.0)
    addresses = [f"lines/{number}" for number in range(8)]
    for address in addresses:
        write(store, address, content=bytes(2_000))
        store.open(addresses[0])
    folder = f"{store._backend.scratch}/.copies"
    assert 3 <= len(os.listdir(folder)) <= 5
    for address in reversed(addresses):
        store.open(address)
    assert "weights.safetensors" in downloads
    store.remove(addresses[0])
    assert not [one for one in os.listdir(folder) if one.startswith("lines%2F0")]


def test_a_disk_too_full_for_a_copy_is_named(store, monkeypatch):
    write(store)
    shutil.rmtree(store._backend.scratch)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(local_copies.LocalCopies, "adopt", full)
    with pytest.raises(StoreError, match=f"copy of '{ADDRESS}' in .*copies.*No space"):
        Store(store.root).open(ADDRESS)


def fail_at(monkeypatch, ending):
    """Makes the bucket refuse to write a file; returns the files it was asked for."""
    asked = []
    original = memory.MemoryFileSystem._open

    def opening(self, path, mode="rb", **named):
        if mode == "wb":
            asked.append(path.rpartition("/")[2])
            if path.endswith(ending):
                raise PermissionError(errno.EACCES, "not allowed", path)
        return original(self, path, mode=mode, **named)

    monkeypatch.setattr(memory.MemoryFileSystem, "_open", opening)
    return asked


def test_writing_cut_off_before_the_manifest_leaves_no_artifact(store, monkeypatch):
    with monkeypatch.context() as patched:
        asked = fail_at(patched, "manifest.json")
        with pytest.raises(StoreError, match="gs://bucket/store.*not allowed"):
            write(store)
    assert asked == ["weights.safetensors", "slots.safetensors", "manifest.json"]
    assert not store.has(ADDRESS)
    assert store.addresses() == []
    write(store)
    assert store.has(ADDRESS)


def test_replacing_cut_off_leaves_the_old_artifact(store, monkeypatch):
    write(store)
    with monkeypatch.context() as patched:
        fail_at(patched, "weights.safetensors")
        with pytest.raises(StoreError):
            write(store, content=b"other")
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"weights"


def test_replacing_removes_the_old_files(store, bucket):
    write(store)
    write(store, content=b"other")
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"other"
    assert len(bucket.store) == 3


def test_two_writers_of_one_address_do_not_touch_each_other(store, bucket):
    with store.writing(ADDRESS, {"version": 1}) as first:
        (first / "weights.safetensors").write_bytes(b"first")
        with Store(store.root).writing(ADDRESS, {"version": 2}) as second:
            (second / "weights.safetensors").write_bytes(b"second")
        assert store.manifest(ADDRESS)["version"] == 2
    assert store.manifest(ADDRESS)["version"] == 1
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"first"


@pytest.mark.parametrize("change", [b"weight", b"weighty"])
def test_damage_is_named_set_aside_and_made_again(store, bucket, change):
    write(store)
    spoil(bucket, change)
    # What is here as a copy is as it was written.
    if len(change) == 7:
        path = store.open(ADDRESS) / "weights.safetensors"
        assert path.read_bytes() == b"weights"
    assert "weights.safetensors" in store.fault(ADDRESS)
    assert store.has(ADDRESS) == (len(change) == 7)
    with pytest.raises(DamagedArtifact, match="weights.safetensors") as caught:
        Store(store.root).open(ADDRESS)
    assert caught.value.moved_to.startswith("gs://bucket/store/damaged/runs/")
    assert any(name.startswith("/bucket/store/damaged") for name in bucket.store)
    assert store.addresses() == []
    with pytest.raises(MissingArtifact):
        store.open(ADDRESS)
    write(store)
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"weights"


def test_addresses_and_remove(store, bucket):
    write(store)
    write(store, "lines/x")
    assert store.addresses() == ["lines/x", ADDRESS]
    assert store.addresses("runs") == [ADDRESS]
    store.remove("lines/x")
    assert store.addresses() == [ADDRESS]
    assert store.addresses("nothing") == []


def test_a_listing_is_one_request_and_opens_nothing(store, bucket, monkeypatch):
    for number in range(20):
        write(store, f"runs/r/{number:08d}")
    write(store, "lines/x")
    with store.writing("absent/k", {}):
        pass
    calls = []
    for name in ("find", "cat_file", "_open", "info"):
        original = getattr(memory.MemoryFileSystem, name)

        def counted(self, *arguments, name=name, original=original, **named):
            calls.append(name)
            return original(self, *arguments, **named)

        monkeypatch.setattr(type(bucket), name, counted, raising=False)
    found = store.listing()
    names = {"weights.safetensors", "more/slots.safetensors"}
    assert len(found) == 22
    assert found["runs/r/00000019"] == found["lines/x"] == names
    assert found["absent/k"] == frozenset()
    assert calls.count("find") == 1
    assert not {"cat_file", "_open"} & set(calls)
    assert list(store.listing("lines/x")) == ["lines/x"]
    assert list(store.listing("runs/r/0000001")) == []


def test_what_was_written_in_vain_is_not_listed(store, monkeypatch):
    write(store)
    with monkeypatch.context() as patched:
        fail_at(patched, "manifest.json")
        with pytest.raises(StoreError), store.writing(ADDRESS, {}) as folder:
            (folder / "other").write_bytes(b"other")
    names = {"weights.safetensors", "more/slots.safetensors"}
    assert store.listing() == {ADDRESS: names}


def test_room_and_locks_work_beside_a_bucket(store, bucket, tmp_path):
    store.ensure_writable(10**18)
    assert not bucket.store
    with store.lock("run"):
        assert Store(store.root).lock("run") is None
        assert list(tmp_path.rglob("run.lock"))
