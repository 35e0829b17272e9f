"""gs:// through gcsfs, against a small part of Google's API served on loopback."""

import dataclasses
import importlib.util
import itertools
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

import tflottery
from tflottery.store import claim_files, claims
from tflottery.store.claims import ClaimedStore
from tflottery.store.errors import DamagedArtifact, MissingArtifact
from tflottery.store.store import Store

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gcsfs") is None, reason="takes gcsfs, the extra gcs"
)
_ROOT = "gs://bucket/store"


def test_a_file_is_made_only_where_there_is_none(storage):
    files = claim_files.RemoteFiles(f"{_ROOT}/.claims")
    assert files.names() == [] and files.read("00000000") is None
    made = []
    ready = threading.Barrier(4)

    def make(number):
        ready.wait()
        made.append(files.create("00000000", f"{number}".encode()))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True]
    first = files.read("00000000")
    assert not files.create("00000000", b"late") and files.read("00000000") == first
    files.overwrite("00000000", b"again")
    assert files.read("00000000") == b"again" and files.names() == ["00000000"]
    files.remove("00000000")
    files.remove("00000000")
    assert files.names() == []


class ClaimsOfAnotherHost(claims.Claims):
    """Claims as a process on another host sees them."""

    @property
    def holder(self):
        return dataclasses.replace(super().holder, host="there")


def of_another_host():
    """Returns the store as a process on another host has it."""
    store = Store(_ROOT)
    store.claims = ClaimsOfAnotherHost(store.root, store._backend.scratch)
    return store


def test_a_store_is_claimed_refused_and_taken_over(storage, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(claims, "SILENT_SECONDS", 0.6)
    told = []
    claim = ("bucket", "store/.claims/00000000")
    with Store(_ROOT).claimed(told.append), Store(_ROOT).claimed(told.append):
        assert not told
        with pytest.raises(ClaimedStore, match=f"process {os.getpid()} on host"):
            with of_another_host().claimed(told.append):
                pass
        _, held, _ = storage.objects[claim]
    # As if all processes of this host had been killed.
    storage.insert(*claim, held, {})
    with of_another_host().claimed(told.append):
        assert ("bucket", "store/.claims/00000001") in storage.objects
        assert claim not in storage.objects
        with pytest.raises(ClaimedStore, match="on host 'there'"):
            Store(_ROOT).lock("runs/a")
    assert len(told) == 2 and all("Looking for a sign of life" in one for one in told)


def test_artifacts_are_put_listed_read_and_removed(storage):
    store = Store(_ROOT)
    for number in range(3):
        with store.writing(f"runs/abc/{number:08d}", {}) as folder:
            (folder / "weights").write_bytes(bytes([number]) * 2**20)
            (folder / "more").mkdir()
            (folder / "more" / "slots").write_bytes(b"slots")
    # Another machine, which has no copies.
    elsewhere = Store(_ROOT)
    elsewhere._backend.forget_copy("runs")
    storage.requests.clear()
    names = {"weights", "more/slots"}
    assert elsewhere.listing() == {
        f"runs/abc/{number:08d}": names for number in range(3)
    }
    assert len(storage.requests) == 1
    for address in elsewhere.addresses("runs/abc"):
        elsewhere._backend.forget_copy(address)
        weights = (elsewhere.open(address) / "weights").read_bytes()
        assert weights == bytes([int(address[-8:])]) * 2**20
    with store.writing("runs/abc/00000000", {"made": "anew"}) as folder:
        (folder / "weights").write_bytes(b"other")
    assert (elsewhere.open("runs/abc/00000000") / "weights").read_bytes() == b"other"
    store.remove("runs/abc/00000001")
    with pytest.raises(MissingArtifact):
        elsewhere.open("runs/abc/00000001")
    # What is damaged in the bucket is set aside there.
    (name,) = (
        key for key in storage.objects if "/00000002/" in key[1] and "weights" in key[1]
    )
    storage.insert(*name, b"damaged", {})
    elsewhere._backend.forget_copy("runs/abc/00000002")
    with pytest.raises(DamagedArtifact, match="gs://bucket/store/damaged/runs/abc"):
        elsewhere.open("runs/abc/00000002")


def test_a_store_that_is_not_there_yet_can_be_looked_at(storage):
    store = Store(_ROOT)
    store.ensure_root()
    assert store.listing() == {}
    store.ensure_writable()
    assert not storage.objects


@pytest.fixture
def run(storage):
    """Runs a program whose gs:// leads to the storage; returns what it printed."""
    package = str(pathlib.Path(tflottery.__file__).parents[1])

    def program(*arguments):
        ended = subprocess.run(
            [sys.executable, "-m", *arguments],
            env=os.environ | {"PYTHONPATH": package},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return program


@pytest.fixture
def tables(run, storage, tmp_path):
    """Returns the tables of a command that has its store in some place."""

    def made(store, output):
        storage.requests.clear()
        run(
            *("tflottery.experiments.lottery", "--dataset=digits", "--replicates=1"),
            *("--rewind_iterations=0", "--training_iterations=30", "--levels=1"),
            *("--subnetworks=imp", "--workers=1", "--checkpoint_every=0.01"),
            *(f"--store={store}", f"--output_dir={tmp_path / output}"),
        )
        csvs = (tmp_path / output).glob("*.csv")
        return {path.name: path.read_bytes() for path in csvs}

    return made


@pytest.mark.slow
def test_a_whole_command_gets_through_what_fails_for_a_while(tables, storage, tmp_path):
    expected = tables(tmp_path / "store", "from_a_folder")
    numbers = itertools.count(1)
    kinds = itertools.cycle([(503, "away"), "cut", (429, "slow down"), "late"])
    storage.fault = lambda *request: None if next(numbers) % 7 else next(kinds)
    assert tables(_ROOT, "from_a_bucket") == expected != {}
    assert next(numbers) > 50
    storage.fault = lambda *request: None
    assert not any(map(Store(_ROOT).fault, Store(_ROOT).addresses()))


@pytest.mark.slow
def test_a_whole_command_has_its_store_in_a_bucket(tables, run, storage, tmp_path):
    """Which makes the tables that a folder has; begun again it downloads nothing."""

    def num_downloads(ending):
        return sum(
            one.startswith("GET /download") and one.endswith(ending)
            for one in storage.requests
        )

    expected = tables(tmp_path / "store", "from_a_folder")
    assert expected and not storage.requests
    assert tables(_ROOT, "from_a_bucket") == expected
    # What a worker made is on this machine already.
    assert (
        num_downloads(".safetensors")
        == num_downloads(".json") - num_downloads("manifest.json")
        == 0
    )
    assert tables(_ROOT, "again") == expected
    made = [name for _, name in storage.objects if name.endswith("manifest.json")]
    assert num_downloads("") == num_downloads("manifest.json") <= len(made)
    assert len(storage.requests) <= 4 * len(made)
    # Read without what this machine has copies of: each file once.
    shutil.rmtree(tmp_path / ".cache/tflottery/remote")
    assert tables(_ROOT, "elsewhere") == expected
    downloaded = [one for one in storage.requests if one.startswith("GET /download")]
    files = [one for one in downloaded if not one.endswith("manifest.json")]
    assert files and len(files) == len(set(files))
    told = run("tflottery.store", "verify", f"--store={_ROOT}")
    assert "artifacts, 0 damaged" in told
