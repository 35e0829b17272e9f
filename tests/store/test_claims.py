"""One host at a time writes a store, though locks of one do not reach another.

Hosts are threads of this process under names of their own, and time is counted by hand.
"""

import contextlib
import errno
import json
import os
import threading

import pytest

from tflottery.store import claim_files, claims, locks
from tflottery.store.claims import ClaimedStore
from tflottery.store.errors import StoreError
from tflottery.store.store import Store

CLAIM = ".claims/00000000"


class Clock:
    """Time that passes by sleeping; what happens meanwhile is told by tests."""

    def __init__(self):
        self.now, self.happens = 0.0, {}

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for moment in [one for one in self.happens if one <= self.now]:
            self.happens.pop(moment)()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(claims, "time", clock)
    return clock


@pytest.fixture
def on_host(monkeypatch):
    """Returns a context in which this process is on another host."""
    names = ["a"]
    monkeypatch.setattr(locks, "host", lambda: names[-1])

    @contextlib.contextmanager
    def named(name):
        names.append(name)
        try:
            yield
        finally:
            names.remove(name)

    return named


@pytest.fixture
def leave(root):
    """Leaves the claim of a process that was killed on a host."""

    def left(host, number=0, **changes):
        content = {"host": host, "boot": claims._boot(), "locks": ""}
        content |= {"since": "2026-01-01T00:00:00+00:00", **changes}
        assert files(root).create(f"{number:08d}", claims._sealed(content, free=False))

    return left


def files(root):
    kind = claim_files.RemoteFiles if "://" in root else claim_files.LocalFiles
    return kind(f"{root}/.claims")


def claim(root):
    """Returns number and content of the claim that counts."""
    name = max(files(root).names())
    return int(name), json.loads(files(root).read(name))


def write(store, address="lines/a"):
    with store.writing(address, {}) as folder:
        (folder / "a").write_text("a")


def nobody(text):
    raise AssertionError(text)


def test_commands_of_one_host_share_a_claim_and_the_last_gives_it_back(root, on_host):
    with Store(root).claimed(nobody):
        with Store(root).claimed(nobody):
            assert claim(root)[1]["state"] == "held"
        assert claim(root)[1]["state"] == "held"
        write(Store(root))
    number, content = claim(root)
    assert (number, content["state"], content["host"]) == (0, "free", "a")
    with on_host("b"), Store(root).claimed(nobody):
        write(Store(root), "lines/b")
        assert claim(root)[0] == 1
    assert files(root).names() == ["00000001"]


def test_a_claim_is_not_given_back_under_who_joins_it(root, on_host, monkeypatch):
    look, joined, ended = locks.held_locks, threading.Event(), threading.Event()

    def second():
        with Store(root).claimed(nobody):
            joined.set()
            ended.wait()

    thread = threading.Thread(target=second)

    def looking(folder):
        # The other one comes right after this look for others.
        found = look(folder)
        if not thread.is_alive():
            thread.start()
            joined.wait(0.2)
        return found

    monkeypatch.setattr(locks, "held_locks", looking)
    with Store(root).claimed(nobody):
        pass
    assert joined.wait(5)
    state = claim(root)[1]["state"]
    monkeypatch.setattr(locks, "held_locks", look)
    ended.set()
    thread.join()
    assert state == "held" and claim(root)[1]["state"] == "free"


def test_a_living_holder_is_named(root, on_host, clock, leave):
    leave("z", process=12)
    told = []
    renewed = lambda: files(root).overwrite(  # noqa: E731
        "00000000", claims._sealed(claim(root)[1], free=False)
    )
    clock.happens[3.0] = renewed
    with pytest.raises(ClaimedStore) as caught, Store(root).claimed(told.append):
        pass
    assert clock.now < 2 * claims.BEAT_SECONDS
    for fact in (root, f"process {os.getpid()} on host 'z'", "2026-01-01", "--store"):
        assert fact in str(caught.value)
    assert "120 s" in told[0] and len(told) == 1
    # Who only reads is not refused, and who would write is.
    assert Store(root).addresses() == []
    for refused in (write, lambda store: store.lock("runs/a")):
        with pytest.raises(ClaimedStore, match="host 'z'"):
            refused(Store(root))
    with pytest.raises(ClaimedStore):
        Store(root).remove("lines/a")


def test_a_silent_holder_is_replaced_by_the_watchers_clock(root, clock, leave, on_host):
    # Years ahead, or behind: clocks of other hosts are not looked at.
    leave("z", number=4, since="2099-01-01T00:00:00+00:00")
    with Store(root).claimed(lambda text: None):
        assert claims.SILENT_SECONDS <= clock.now < claims.SILENT_SECONDS + 1
        assert claim(root)[0] == 5
        write(Store(root))


def test_a_sign_of_life_that_is_seen_a_minute_late_is_one(
    root, clock, leave, on_host, monkeypatch
):
    """As where a host remembers for a minute what it has read in a file."""
    leave("z")
    kind = type(files(root))
    read, remembered = kind.read, {}

    def late(self, name):
        if clock.now - remembered.get(name, (-1e6, b""))[0] > 60:
            renewed = claims._sealed(claims.content_of(read(self, name)), free=False)
            remembered[name] = clock.now, renewed
        return remembered[name][1]

    monkeypatch.setattr(kind, "read", late)
    with pytest.raises(ClaimedStore, match="host 'z'"):
        with Store(root).claimed(lambda text: None):
            pass
    assert 60 < clock.now < claims.SILENT_SECONDS


def test_of_two_that_watch_one_takes_over(root, clock, leave, on_host):
    leave("z")
    # Whoever is second finds the number taken, and has to wait for silence again.
    late = claims.SILENT_SECONDS - 1
    clock.happens[late] = lambda: leave("y", number=1)
    with pytest.raises(ClaimedStore, match="host 'y'"):
        with Store(root).claimed(lambda text: None):
            pass


def test_a_number_that_is_no_more_the_highest_is_not_held(root, clock, leave, on_host):
    leave("z")
    there = Store(root).claims
    leave("y", number=7)
    # It had looked before the others went on, and removed what they had.
    assert not there._made(5)
    with pytest.raises(ClaimedStore, match="host 'y'"):
        there.refuse_others()


def test_a_dead_claim_of_this_host_is_joined_at_once(root, clock, on_host, tmp_path):
    own = Store(root).claims._own_locks
    content = {"host": "a", "boot": claims._boot(), "locks": own, "since": "once"}
    files(root).create("00000000", claims._sealed(content, free=False))
    with Store(root).claimed(nobody):
        assert claim(root) == (0, claim(root)[1] | {"process": os.getpid()})
    assert clock.now == 0
    assert claim(root)[1]["state"] == "free"


@pytest.mark.parametrize("change", [{"boot": "before"}, {"locks": "/other/home"}])
def test_another_start_or_other_locks_are_another_host(root, clock, leave, change):
    leave(locks.host(), **change)
    with Store(root).claimed(lambda text: None):
        assert clock.now >= claims.SILENT_SECONDS


@pytest.mark.parametrize("data", [b"", b'{"host": "z", "bo', b"\xff\x00", b"[1]"])
def test_what_cannot_be_read_is_somebodys(root, clock, data, on_host):
    files(root).create("00000000", data)
    with pytest.raises(ClaimedStore, match="cannot be read"):
        write(Store(root))
    with Store(root).claimed(lambda text: None):
        assert clock.now >= claims.SILENT_SECONDS
        write(Store(root))


def test_a_claim_that_is_only_being_written_is_waited_for(root, clock, on_host):
    files(root).create("00000000", b"")
    store = Store(root)
    own = {"host": "a", "boot": claims._boot(), "locks": store.claims._own_locks}
    clock.happens[0.2] = lambda: files(root).overwrite(
        "00000000", claims._sealed(own | {"since": "now"}, free=False)
    )
    write(store)
    assert clock.now < 1


def test_who_was_frozen_publishes_nothing(root, on_host, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 1e6)
    monkeypatch.setattr(claims, "SILENT_SECONDS", 0.0)
    frozen = Store(root)
    with frozen.claimed(nobody):
        write(frozen)
        with pytest.raises(ClaimedStore, match="host 'b'"):
            with frozen.writing("lines/b", {}):
                thread = threading.Thread(target=_taken_over, args=(root, on_host))
                thread.start()
                thread.join()
        # As if gone: it leaves what the other holds as it is.
    assert claim(root)[1]["host"] == "b"
    assert claim(root)[1]["state"] == "held"
    assert Store(root).addresses() == ["lines/a"]


def _taken_over(root, on_host):
    """Has another host take over, and be killed then."""
    with on_host("b"):
        Store(root).claims._take(lambda text: None)


def test_a_full_disk_while_renewing_is_waited_for(root, on_host, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    store, failures, renewed = Store(root), [], threading.Event()
    kind = type(store.claims._files)
    overwrite = kind.overwrite

    def failing(self, name, data):
        if len(failures) < 3:
            failures.append(name)
            raise OSError(errno.ENOSPC, "No space left on device", name)
        overwrite(self, name, data)
        renewed.set()

    with store.claimed(nobody):
        before = claim(root)[1]["heartbeat"]
        monkeypatch.setattr(kind, "overwrite", failing)
        assert renewed.wait(30)
        assert claim(root)[1]["heartbeat"] != before
        assert len(failures) == 3


def test_a_full_disk_leaves_no_empty_claim(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(claim_files, "_write", full)
        with pytest.raises(StoreError, match="no room"), store.claimed(nobody):
            pass
    assert files(store.root).names() == []
    with store.claimed(nobody):
        pass


def test_a_claim_taken_away_by_hand_is_made_again(root, on_host, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    with Store(root).claimed(nobody):
        files(root).remove("00000000")
        for _ in range(1000):
            if files(root).names():
                break
            threading.Event().wait(0.01)
        assert claim(root)[1]["state"] == "held"


def test_a_store_that_is_read_only_is_named(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def refused(path, *arguments, **named):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "makedirs", refused)
    with pytest.raises(StoreError, match="write a claim.*Permission denied.*--store"):
        with store.claimed(nobody):
            pass


def test_without_what_makes_files_in_buckets_it_is_named(monkeypatch, tmp_path):
    from etils.epath import backend

    def missing(name):
        raise ImportError("No module named 'gcsfs'")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(backend.fsspec_backend, "_get_filesystem", missing)
    with pytest.raises(StoreError, match=r"gs://b.*gcsfs.*tflottery\[gcs\]"):
        with Store("gs://b/store").claimed(nobody):
            pass


@pytest.fixture(params=["name", "machine"])
def elsewhere(request, on_host, monkeypatch):
    """Returns a context in which this process is on another host, of another name or
    of none."""

    @contextlib.contextmanager
    def there():
        with monkeypatch.context() as patch:
            if request.param == "machine":
                patch.setattr(locks, "machine", lambda: "other")
                yield
            else:
                with on_host("other.host"):
                    yield

    return there


def test_drafts_and_locks_of_another_host_are_not_swept(tmp_path, elsewhere):
    store = Store(tmp_path)
    with elsewhere():
        writing = store.writing("lines/a", {})
        folder = writing.__enter__()
        lock = store.lock("runs/a")
    # As where locks do not reach: this process could take all of them.
    for path in [lock.path, *map(str, (tmp_path / ".drafts").glob("*.lock"))]:
        content = open(path).read()
        os.unlink(path)
        with open(path, "w") as file:
            file.write(content)
    Store(tmp_path).sweep()
    write(Store(tmp_path), "lines/b")
    assert folder.exists()
    assert os.path.exists(lock.path)
    with elsewhere():
        assert Store(tmp_path)._staging.sweep() == 1
        Store(tmp_path).sweep()
    assert not folder.exists()
    assert not os.path.exists(lock.path)
    with pytest.raises(StoreError):
        writing.__exit__(None, None, None)
