"""What another process or host does between a look and the act that follows from it.

Each test has it happen right there: by a function that is called in between.
"""

import errno
import os
import shutil
import subprocess
import sys
import threading

import pytest
from etils.epath import backend

from tflottery.store import claim_files, claims, leftovers, locks
from tflottery.store.errors import DamagedArtifact, MissingArtifact
from tflottery.store.leftovers import Leftover
from tflottery.store.store import Store

ADDRESS = "lines/a"


def write(store, content="sound", address=ADDRESS):
    with store.writing(address, {"of": content}) as folder:
        (folder / "a").write_text(content)


@pytest.fixture
def before(monkeypatch):
    """Has something happen once, right before a method is called."""

    def arrange(kind, name, happens):
        original, pending = getattr(kind, name), [happens]

        def call(*arguments, **named):
            if pending:
                pending.pop()()
            return original(*arguments, **named)

        monkeypatch.setattr(kind, name, call)

    return arrange


def test_what_was_replaced_since_it_was_found_damaged_is_put_back(root, before):
    store = Store(root)
    write(store, "first")
    data = store._backend.manifest(ADDRESS)
    # It was damaged; at the moment that it is set aside another has made it anew.
    before(type(store._backend), "move", lambda: write(Store(root), "second"))
    assert store._set_aside(ADDRESS, data) == ""
    assert (Store(root).open(ADDRESS) / "a").read_text() == "second"
    assert [one for one in store.addresses() if "damaged" not in one] == [ADDRESS]


def test_what_is_taken_away_before_it_is_read_is_missing(root, monkeypatch):
    """Also right after it was opened: the job that reads it failed for good."""
    store = Store(root)
    write(store)
    opened = store.open

    def taken_away(address):
        folder = opened(address)
        Store(root).remove(address)
        return folder

    monkeypatch.setattr(store, "open", taken_away)
    with pytest.raises(MissingArtifact), store.reading(ADDRESS) as (folder,):
        (folder / "a").read_text()


def test_what_is_replaced_between_looks_at_manifest_and_files_is_sound(root, before):
    store = Store(root)
    for look in (lambda: store.damage(ADDRESS) is None, lambda: store.has(ADDRESS)):
        write(store)
        anew = lambda: write(Store(root), "longer than before")  # noqa: E731
        before(type(store._backend), "stamps", anew)
        assert look()


def test_a_folder_taken_away_does_not_keep_what_is_damaged_in_place(tmp_path, before):
    """As by a clean-up, which removes the empty folders of what was set aside."""
    store = Store(tmp_path)
    write(store)
    (tmp_path / ADDRESS / "a").write_text("damaged")
    before(os, "rename", lambda: shutil.rmtree(tmp_path / "damaged"))
    with pytest.raises(DamagedArtifact) as caught:
        store.open(ADDRESS)
    assert not store.addresses() and os.path.isdir(caught.value.moved_to)


def test_a_copy_taken_away_since_it_was_compared_is_compared_again(
    bucket, tmp_path, monkeypatch, before
):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(Store("gs://bucket/store"))
    store = Store("gs://bucket/store")
    compared = store.manifest

    def taken_away(address):
        manifest = compared(address)
        if len(calls) == 0:
            store._backend.forget_copy(address)
            # What comes now is not what is in the bucket.
            before(bucket, "cat_file", lambda: bucket.pipe_file(path, b"other"))
        calls.append(address)
        return manifest

    (path,) = (one for one in bucket.store if one.endswith("/a"))
    calls = []
    monkeypatch.setattr(store, "manifest", taken_away)
    with pytest.raises(DamagedArtifact):
        store.open(ADDRESS)


def test_a_lock_of_another_is_not_taken_away(tmp_path):
    path = str(tmp_path / "locks" / "a.lock")
    first = locks.acquire(path)
    # Somebody cleans up by hand, and another process takes the lock.
    os.unlink(path)
    program = (
        "import sys; from tflottery.store import locks; "
        "lock = locks.acquire(sys.argv[1]); print('held', flush=True); input()"
    )
    second = subprocess.Popen(
        [sys.executable, "-c", program, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert second.stdout.readline() == "held\n"
    first.release()
    assert locks.acquire(path) is None
    second.communicate("\n")
    with locks.acquire(path):
        pass


def test_a_lock_that_may_not_be_opened_keeps_no_others_from_being_swept(
    tmp_path, monkeypatch
):
    for name in ("a.lock", "b.lock", "c.lock"):
        (tmp_path / name).touch()
    acquire = locks.acquire

    def refused(path):
        if path.endswith("a.lock"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return acquire(path)

    monkeypatch.setattr(locks, "acquire", refused)
    locks.sweep(str(tmp_path))
    assert os.listdir(tmp_path) == ["a.lock"]


class TestClaims:
    @pytest.fixture(autouse=True)
    def quickly(self, monkeypatch):
        monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
        monkeypatch.setattr(claims, "_POLL_SECONDS", 0.01)
        monkeypatch.setattr(claims, "_NUM_LOOKS", 3)

    @staticmethod
    def content(host):
        content = {"host": host, "boot": claims._boot(), "locks": ""}
        return claims._sealed(content | {"since": "now"}, free=False)

    def test_a_name_that_is_listed_and_leads_nowhere_is_somebodys(
        self, tmp_path, monkeypatch
    ):
        """As NFS lists what another host has removed; it was looked for for ever."""
        monkeypatch.setattr(claims, "SILENT_SECONDS", 0.1)
        files = claim_files.LocalFiles(str(tmp_path / ".claims"))
        assert files.create("00000003", b"")
        for number in (errno.ENOENT, errno.ESTALE):
            with monkeypatch.context() as patch:
                patch.setattr(os, "open", _raising(number, ".claims/0", os.open))
                patch.setattr("builtins.open", _raising(number, ".claims/0", open))
                store = Store(tmp_path)
                with pytest.raises(claims.ClaimedStore, match="cannot be read"):
                    store.lock("a")
        told = []
        with Store(tmp_path).claimed(told.append):
            assert files.names() == ["00000004"]
        assert len(told) == 1

    def test_a_claim_taken_over_while_it_is_joined_is_refused_in_words(
        self, tmp_path, before
    ):
        """It was told that the store could not be written."""
        store = Store(tmp_path)
        files = store.claims._files
        assert files.create("00000000", self.content(locks.host()))

        def take_over():
            files.create("00000001", self.content("z"))
            files.remove("00000000")

        def live():
            ended.wait(0.05)
            files.overwrite("00000001", self.content("z"))

        ended = threading.Event()
        before(claim_files.LocalFiles, "overwrite", take_over)
        living = threading.Thread(target=live)
        living.start()
        with pytest.raises(claims.ClaimedStore, match="on host 'z'"):
            with store.claimed(lambda text: None):
                pass
        living.join()

    def test_claims_taken_away_as_one_is_made_are_no_crash(self, tmp_path, before):
        store = Store(tmp_path)
        names = claim_files.LocalFiles.names
        calls = []

        def emptied(self):
            calls.append(self)
            # The first listing is that after the claim was made.
            return [] if len(calls) == 1 else names(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(claim_files.LocalFiles, "names", emptied)
            assert store.claims._made(0)
        with store.claimed(pytest.fail):
            write(store)

    def test_who_was_passed_over_claims_again_what_was_given_back(self, tmp_path):
        """One at a long training notices nothing, and worked on without a claim."""
        store = Store(tmp_path)
        files = store.claims._files
        with store.claimed(pytest.fail):
            files.create("00000001", self.content("z"))
            files.remove("00000000")
            # It has seen that another host has the claim, by now.
            threading.Event().wait(0.2)
            freed = claims._sealed(claims.content_of(self.content("z")), free=True)
            files.overwrite("00000001", freed)
            for _ in range(200):
                if files.names() == ["00000002"]:
                    break
                threading.Event().wait(0.01)
            assert files.names() == ["00000002"]
            write(store)


def _raising(number, part, call):
    """Returns an `open` that fails at some paths."""

    def opening(path, *arguments, **named):
        if part in str(path):
            raise OSError(number, os.strerror(number), path)
        return call(path, *arguments, **named)

    return opening


def test_an_artifact_replaced_by_another_host_may_be_stale(tmp_path, monkeypatch):
    """Its store was said not to be usable."""
    store = Store(tmp_path)
    write(store)
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", _raising(errno.ESTALE, ADDRESS, open))
        assert not store.has(ADDRESS)
    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", _raising(errno.ESTALE, ADDRESS, os.scandir))
        assert store.addresses() == []
    assert store.has(ADDRESS)


def test_what_somebody_begins_to_need_is_not_cleaned_up(tmp_path, before):
    store = Store(tmp_path)
    write(store)
    one = Leftover(leftovers.UNNEEDED, ADDRESS, ADDRESS, 0)
    with pytest.MonkeyPatch.context() as patch:
        others = [locks.HeldLock("x.lock", "process 1 on host a", 1, 0.0)]
        patch.setattr(Store, "commands_at_work", lambda self: others)
        assert not leftovers.remove(store, one)
    assert store.has(ADDRESS)
    assert leftovers.remove(store, one) and not store.has(ADDRESS)


def test_leftovers_that_another_removes_meanwhile_are_passed_over(tmp_path, before):
    store = Store(tmp_path)
    folder = tmp_path / "damaged/lines/a-1"

    for number in range(4):
        looks = []

        def look(self, path, number=number, looks=looks):
            looks.append(path)
            if len(looks) == number + 1:
                shutil.rmtree(tmp_path / "damaged")
            return os.listdir(path)

        folder.mkdir(parents=True)
        (folder / "a").touch()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(backend.os_backend), "listdir", look)
            assert sum(one.num_bytes for one in leftovers.find(store)) == 0
        assert len(looks) > number
    folder.mkdir(parents=True)
    gone = lambda: shutil.rmtree(tmp_path / "damaged")  # noqa: E731
    before(type(backend.os_backend), "rmtree", gone)
    found = Leftover(leftovers.DAMAGED, "damaged/lines/a-1", None, 0)
    assert leftovers.remove(store, found)


# Arguments: root, part, seconds. Prints what went wrong.
_CROWD = """
import sys, time
from tflottery.store.errors import MissingArtifact
from tflottery.store.store import Store

root, part, seconds = sys.argv[1:]
store, end, number, wrong = Store(root), time.monotonic() + float(seconds), 0, []
while time.monotonic() < end:
    number += 1
    address = f"runs/r/{number % 3:08d}"
    try:
        if part == "write":
            with store.writing(address, {"number": number}) as folder:
                for name in "ab":
                    (folder / name).write_bytes(bytes(1000 * (number % 4)))
        elif part == "remove":
            store.remove(address)
            store.sweep()
            store.listing()
        else:
            with store.reading(address) as (folder,):
                (folder / "a").read_bytes(), (folder / "b").read_bytes()
            wrong += filter(None, [store.damage(address)])
            store.refuse_damaged(address)
    except MissingArtifact:
        pass
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {error}")
print(number, wrong)
"""


@pytest.mark.slow
def test_a_crowd_at_three_addresses_meets_nothing_but_whole_artifacts(tmp_path):
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", _CROWD, str(tmp_path / "store"), part, "8"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for part in ("write", "write", "remove", "read", "read")
    ]
    for process in crowd:
        number, _, wrong = process.communicate()[0].strip().partition(" ")
        assert int(number) > 20 and wrong == "[]"
    assert not (tmp_path / "store/damaged").exists()
