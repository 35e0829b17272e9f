"""A bucket that answers late, wrongly or not at all, or refuses part of what is asked.

Against a small part of Google's API served on loopback, by gcsfs itself.
"""

import contextlib
import importlib.util
import itertools
import time

import pytest

from tflottery.store import buckets
from tflottery.store.errors import StoreError
from tflottery.store.store import Store

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gcsfs") is None, reason="takes gcsfs, the extra gcs"
)
ROOT = "gs://bucket/store"
ADDRESS = "runs/abc/00000001"


def write(store, content=b"weights", address=ADDRESS):
    with store.writing(address, {"of": content.decode()}) as folder:
        (folder / "weights").write_bytes(content)


def read(store):
    """Returns what another machine reads, which has no copies."""
    store._backend.forget_copy(ADDRESS)
    return (store.open(ADDRESS) / "weights").read_bytes()


def refused(storage, fault, match, act):
    """Has an act meet a fault; it is told in one sentence or two, of one line."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoreError) as caught:
        patch.setattr(storage, "fault", fault)
        act()
    told = str(caught.value)
    for part in match:
        assert part in told
    assert "\n" not in told and ".." not in told and len(told) < 700


@pytest.mark.parametrize("kind", [(503, "away"), (429, "slow down"), "cut", "late"])
def test_what_passes_is_tried_again(storage, kind):
    """Every second request goes wrong, the uploads and the removals among them."""
    numbers = itertools.count()
    storage.fault = lambda method, path: kind if next(numbers) % 2 else None
    store = Store(ROOT)
    with store.claimed(pytest.fail):
        write(store)
        write(store, b"other")
        assert read(Store(ROOT)) == b"other"
        assert store.listing() == {ADDRESS: {"weights"}}
        store.remove(ADDRESS)
    assert [name for _, name in storage.objects] == ["store/.claims/00000000"]
    assert next(numbers) > 20


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ((503, "away"), ("several times", "away, 503", "overloaded", "later")),
        ((500, "broken"), ("overloaded", "broken, 500")),
        ((429, "too many"), ("overloaded", "too many, 429")),
        ("cut", ("connection to the bucket broke off", "Check the network")),
        ((401, "Invalid Credentials"), ("expired", "gcloud auth application-default")),
        ((403, "has no storage.objects access"), ("permission to", "storage.objects")),
        ((404, "The specified bucket does not exist."), ("no bucket 'bucket'", "Make")),
    ],
)
def test_what_stays_is_told_and_nothing_is_lost(storage, kind, match):
    store = Store(ROOT)
    write(store)
    before = dict(storage.objects)

    def uploads(method, path):
        return kind if method == "POST" else None

    def claim():
        with store.claimed(pytest.fail):
            pass

    kept = ("the same command goes on",) if kind != (404, kind[1]) else ()
    said = (ROOT, "--store") if not kept else (ROOT, *kept)
    refused(storage, uploads, (*match, *said), lambda: write(store, b"other"))
    refused(storage, uploads, (*match, "write a claim"), claim)
    assert storage.objects == before
    assert read(store) == b"weights"
    if kept:
        everything = lambda method, path: kind  # noqa: E731
        acts = [store.listing, lambda: store.has(ADDRESS), store.ensure_root]
        acts += [lambda: read(store), lambda: store.remove(ADDRESS)]
        for act in acts:
            refused(storage, everything, match, act)
        assert storage.objects == before


def test_a_bucket_that_is_not_there_is_refused_at_the_door(storage):
    storage.absent.add("bucket")
    with pytest.raises(StoreError, match="no bucket 'bucket'. Make it first.*--store"):
        Store(ROOT).ensure_root()


def test_without_leave_to_remove_it_is_said_before_any_work(storage):
    store = Store(ROOT)
    storage.fault = lambda method, path: (
        (403, "no storage.objects.delete access") if method == "DELETE" else None
    )
    # What replaces something is kept all the same.
    write(store)
    write(store, b"other")
    assert read(store) == b"other"
    assert store.listing() == {ADDRESS: {"weights"}}
    with pytest.raises(StoreError, match="permission to remove.*create and .delete"):
        store.ensure_writable()


def test_who_never_answers_is_not_waited_for_without_end(storage, monkeypatch):
    import aiohttp
    from etils.epath import backend

    silent = aiohttp.ClientTimeout(total=None, sock_read=0.02)
    monkeypatch.setattr(buckets, "_SILENT_SECONDS", 0.02)
    storage.fault = lambda method, path: "silent"
    began = time.monotonic()
    with pytest.raises(StoreError, match="connection to the bucket broke off"):
        Store(ROOT).has(ADDRESS)
    assert time.monotonic() - began < 10
    system = backend.fsspec_backend.fs(ROOT)
    assert system.requests_timeout.sock_read == silent.sock_read


def test_what_another_process_wrote_is_seen_at_once(storage, monkeypatch):
    """Also after a listing, which gcsfs would believe for ever."""
    import fsspec
    from etils.epath import backend
    from gcsfs.core import GCSFileSystem

    systems = [GCSFileSystem(token="anon", skip_instance_cache=True) for _ in "ab"]

    @contextlib.contextmanager
    def of(number):
        with monkeypatch.context() as patch:
            known = {"gcs": systems[number], "file": fsspec.filesystem("file")}
            patch.setattr(backend.fsspec_backend, "_get_filesystem", known.get)
            yield Store(ROOT)

    with of(0) as here:
        write(here)
        assert here.listing() == {ADDRESS: {"weights"}}
    with of(1) as there:
        write(there, b"longer than before")
        write(there, address="runs/abc/00000002")
    with of(0) as here:
        assert here.has("runs/abc/00000002")
        assert here.damage(ADDRESS) is None
        assert read(here) == b"longer than before"
    assert not any("damaged" in name for _, name in storage.objects)


def test_a_listing_has_many_pages_and_what_is_read_comes_once(storage):
    store = Store(ROOT)
    write(store)
    _, data, _ = storage.objects["bucket", f"store/{ADDRESS}/manifest.json"]
    for number in range(2500):
        storage.insert("bucket", f"store/lines/{number:05d}/manifest.json", data, {})
    storage.requests.clear()
    assert len(store.listing()) == 2501
    assert len(storage.requests) == 3
    # A manifest, the sizes, the bytes; then no bytes any more.
    elsewhere = Store(ROOT)
    elsewhere._backend.forget_copy(ADDRESS)
    storage.requests.clear()
    for _ in range(3):
        elsewhere.open(ADDRESS)
    assert len(storage.requests) == 7
    assert sum("weights" in one for one in storage.requests) == 1
