"""A worker on another host works under the claim of its command, and no longer."""

import contextlib
import errno
import os
import pickle

import pytest

from tflottery.store import delegated, locks, sight
from tflottery.store.claims import ClaimedStore
from tflottery.store.delegated import DelegatedStore
from tflottery.store.store import Store


@pytest.fixture(autouse=True)
def looks_briefly(monkeypatch):
    """The worker waits but briefly for what it should see."""
    monkeypatch.setattr(sight, "SIGHT_SECONDS", 0.02)
    monkeypatch.setattr(delegated, "_POLL_SECONDS", 0.01)


@pytest.fixture
def on_host(monkeypatch):
    """Returns a context in which this process is on another host."""

    @contextlib.contextmanager
    def named(name):
        with monkeypatch.context() as patch:
            patch.setattr(locks, "host", lambda: name)
            yield

    return named


def write(store, address="lines/a"):
    with store.writing(address, {}) as folder:
        (folder / "a").write_text("a")


def test_a_worker_on_another_host_writes_while_its_command_claims(root, on_host):
    command = Store(root)
    holder = command.claims.holder
    with command.claimed(pytest.fail), command.lock("runs/r"), on_host("b"):
        store = pickle.loads(pickle.dumps(DelegatedStore(root, holder)))
        assert store.sees_claim()
        # The command holds that lock, wherever its workers are.
        with store.lock("runs/r"):
            write(store)
        # Others of that host are refused as ever.
        with pytest.raises(ClaimedStore, match="being written by process"):
            write(Store(root), "lines/b")
    assert command.addresses() == ["lines/a"]


def test_a_worker_whose_command_lost_the_store_publishes_nothing(root, on_host):
    store = DelegatedStore(root, Store(root).claims.holder)
    acts = [
        lambda: write(store, "lines/b"),
        lambda: store.remove("lines/a"),
        lambda: store.lock("runs/r"),
    ]

    def is_refused():
        for act in acts:
            with pytest.raises(ClaimedStore, match="or no longer, claimed by the comm"):
                act()

    # Before any claim, after it was given back, and while another host has it.
    is_refused()
    with Store(root).claimed(pytest.fail):
        write(store)
    is_refused()
    with on_host("b"), Store(root).claimed(pytest.fail):
        assert not store.sees_claim()
        is_refused()
    assert Store(root).addresses() == ["lines/a"]


def test_a_claim_that_is_seen_to_be_lost_is_not_looked_for(root, on_host, monkeypatch):
    monkeypatch.setattr(sight, "SIGHT_SECONDS", 1e6)
    command = Store(root)
    store = DelegatedStore(root, command.claims.holder)
    with command.claimed(pytest.fail):
        write(store)
    with pytest.raises(ClaimedStore):
        write(store, "lines/b")
    with on_host("b"), Store(root).claimed(pytest.fail), pytest.raises(ClaimedStore):
        write(store, "lines/b")


def test_a_claims_folder_that_is_not_known_here_yet_is_asked_for(tmp_path, monkeypatch):
    """As NFS remembers that there was none, until the folder above is opened."""
    command = Store(tmp_path / "store")
    known, opened, listed = os.listdir, os.open, []

    def unknown(path):
        if str(path).endswith(".claims") and not listed:
            raise FileNotFoundError(errno.ENOENT, "No such file", path)
        return known(path)

    def opening(path, *arguments):
        listed.extend([path] * (str(path) == command.root))
        return opened(path, *arguments)

    with command.claimed(pytest.fail):
        monkeypatch.setattr(os, "listdir", unknown)
        monkeypatch.setattr(os, "open", opening)
        store = DelegatedStore(command.root, command.claims.holder)
        monkeypatch.setattr(sight, "SIGHT_SECONDS", 0.0)
        assert store.sees_claim()


def test_a_folder_of_the_same_name_elsewhere_is_another_store(tmp_path, monkeypatch):
    monkeypatch.setattr(sight, "SIGHT_SECONDS", 0.02)
    monkeypatch.setattr(delegated, "_POLL_SECONDS", 0.01)
    command = Store(tmp_path / "shared")
    with command.claimed(pytest.fail):
        here = DelegatedStore(tmp_path / "own", command.claims.holder)
        assert not here.sees_claim()
    assert not (tmp_path / "own").exists()
