"""The store holds whole artifacts or none."""

import errno
import json
import os
import pickle
import subprocess
import sys

import pytest

from tflottery.store import errors, manifests
from tflottery.store.errors import DamagedArtifact, MissingArtifact, StoreError
from tflottery.store.store import Store, default_root

ADDRESS = "runs/abc/00002000"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def write(store, address=ADDRESS, *, content=b"weights", **manifest):
    with store.writing(address, {"inputs": {"run": "abc"}, **manifest}) as folder:
        (folder / "weights.safetensors").write_bytes(content)
        (folder / "more").mkdir()
        (folder / "more" / "slots.safetensors").write_bytes(b"slots")


def path_of(store, name, address=ADDRESS):
    return os.path.join(store.root, address, name)


def files_below(folder):
    """Returns every file below a folder but the locks of living processes."""
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
        if not name.endswith(".lock")
    )


def test_artifact_is_there_after_the_block_and_not_before(store):
    with store.writing(ADDRESS, {"version": 1}) as folder:
        (folder / "a").write_text("x")
        assert not store.has(ADDRESS)
        assert store.addresses() == []
    assert store.has(ADDRESS)
    assert (store.open(ADDRESS) / "a").read_text() == "x"


def test_has_asks_for_the_files_named(store):
    write(store)
    assert store.has(ADDRESS, ("weights.safetensors", "more/slots.safetensors"))
    assert not store.has(ADDRESS, ("weights.safetensors", "slots.safetensors"))
    assert not store.has("runs/abc/00000000")


def test_manifest_says_how_the_artifact_came_about(store):
    write(store, parameters={"rate": 0.1}, seconds=12.5)
    manifest = json.loads(open(path_of(store, "manifest.json")).read())
    assert manifest["inputs"] == {"run": "abc"}
    assert manifest["parameters"] == {"rate": 0.1}
    assert manifest["seconds"] == 12.5
    assert manifest["files"]["weights.safetensors"]["bytes"] == 7
    assert len(manifest["files"]["more/slots.safetensors"]["sha256"]) == 64
    assert manifest["environment"]["packages"]["numpy"]
    # Bits are promised per kind of processor, with oneDNN's kernels.
    assert manifest["environment"]["instruction_set"]
    assert manifest["environment"]["onednn"] is True
    assert store.manifest(ADDRESS) == manifest


def test_manifest_may_grow_inside_the_block(store):
    manifest = {"version": 1}
    with store.writing(ADDRESS, manifest):
        manifest["divergence"] = None
    assert store.manifest(ADDRESS)["divergence"] is None
    assert store.manifest(ADDRESS)["seconds"] >= 0


def test_exception_in_the_block_leaves_nothing(store):
    with pytest.raises(RuntimeError), store.writing(ADDRESS, {}) as folder:
        (folder / "a").write_text("x")
        raise RuntimeError
    assert not store.has(ADDRESS)
    assert files_below(store.root) == []


def test_exception_in_the_block_leaves_the_artifact_that_was_there(store):
    write(store)
    with pytest.raises(KeyboardInterrupt), store.writing(ADDRESS, {}) as folder:
        (folder / "a").write_text("x")
        raise KeyboardInterrupt
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"weights"


def test_writing_again_replaces(store):
    write(store)
    write(store, content=b"other")
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"other"
    assert len(files_below(store.root)) == 3


def test_writing_the_same_again_keeps_the_first(store):
    write(store, seconds=1)
    before = os.stat(path_of(store, "weights.safetensors")).st_ino
    write(store, seconds=2)
    assert os.stat(path_of(store, "weights.safetensors")).st_ino == before
    write(store, seconds=2, version=2)
    assert store.manifest(ADDRESS)["version"] == 2


def _cut(path):
    os.truncate(path, os.path.getsize(path) - 1)


def _empty(path):
    os.truncate(path, 0)


def _flip(path):
    with open(path, "r+b") as file:
        byte = file.read(1)[0]
        file.seek(0)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("spoil", [_cut, _empty, os.unlink])
@pytest.mark.parametrize("name", ["weights.safetensors", "more/slots.safetensors"])
def test_file_of_another_size_never_counts(store, spoil, name):
    write(store)
    spoil(path_of(store, name))
    assert not store.has(ADDRESS)
    assert name in store.damage(ADDRESS)
    with pytest.raises(DamagedArtifact, match=name):
        store.open(ADDRESS)


def test_flipped_byte_is_named_set_aside_and_made_again(store):
    write(store)
    store.open(ADDRESS)
    _flip(path_of(store, "weights.safetensors"))
    with pytest.raises(DamagedArtifact) as caught:
        store.open(ADDRESS)
    assert caught.value.address == ADDRESS
    for fact in (ADDRESS, "weights.safetensors has sha256", "run the same command"):
        assert fact in str(caught.value)
    assert os.path.exists(f"{caught.value.moved_to}/weights.safetensors")
    assert "/damaged/" in caught.value.moved_to
    assert not store.has(ADDRESS)
    assert store.addresses() == []
    write(store)
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"weights"


def test_every_cut_and_every_flip_of_a_manifest_is_noticed(store):
    write(store)
    path = path_of(store, "manifest.json")
    whole = open(path, "rb").read()
    spoiled = [whole + b"\n"]
    for length in range(len(whole)):
        flipped = bytearray(whole)
        flipped[length] ^= 1
        spoiled += [whole[:length], bytes(flipped)]
    for data in spoiled:
        with pytest.raises(manifests.UnsoundManifest, match="cut short or changed"):
            manifests.unsealed(data, ADDRESS)


@pytest.mark.parametrize("spoil", [_cut, _empty, _flip])
def test_spoiled_manifest_never_counts(store, spoil):
    write(store)
    spoil(path_of(store, "manifest.json"))
    assert not store.has(ADDRESS)
    assert "manifest.json" in store.damage(ADDRESS)
    with pytest.raises(DamagedArtifact, match="manifest.json is cut short or changed"):
        store.open(ADDRESS)
    write(store)
    assert store.has(ADDRESS)


def test_two_artifacts_in_each_others_places_are_both_damaged(store):
    other = "runs/abc/00004000"
    write(store, content=b"first")
    write(store, other, content=b"other")
    os.rename(path_of(store, ""), f"{store.root}/aside")
    os.rename(path_of(store, "", other), path_of(store, ""))
    os.rename(f"{store.root}/aside", path_of(store, "", other))
    for address, wrong in ((ADDRESS, other), (other, ADDRESS)):
        assert not store.has(address)
        assert store.peek(address) is None
        with pytest.raises(DamagedArtifact, match=f"it is {wrong!r} in the wrong"):
            store.open(address)
        assert not store.has(address)
    write(store, content=b"first")
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"first"


@pytest.mark.parametrize("spoil", [_cut, _flip])
def test_damage_is_refused_before_anything_is_made(store, spoil):
    store.refuse_damaged(ADDRESS)
    write(store)
    store.refuse_damaged(ADDRESS)
    spoil(path_of(store, "manifest.json"))
    with pytest.raises(DamagedArtifact, match="manifest.json") as caught:
        store.refuse_damaged(ADDRESS)
    assert os.path.exists(f"{caught.value.moved_to}/weights.safetensors")
    store.refuse_damaged(ADDRESS)


def test_what_is_being_replaced_is_looked_for_again(store, monkeypatch):
    write(store)
    look, looks = store._backend.manifest, []

    def looking(address):
        looks.append(address)
        return None if len(looks) == 1 else look(address)

    monkeypatch.setattr(store._backend, "manifest", looking)
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"weights"


def test_what_is_replaced_or_taken_away_while_it_is_read_is_missing(store):
    for change in (
        lambda: store.remove(ADDRESS),
        lambda: write(store, content=b"other"),
    ):
        write(store)
        with pytest.raises(MissingArtifact, match=ADDRESS):
            with store.reading(ADDRESS) as (folder,):
                change()
                (folder / "gone").read_bytes()


def test_errors_of_reading_what_is_there_stay_themselves(store):
    write(store)
    with pytest.raises(FileNotFoundError, match="gone"):
        with store.reading(ADDRESS) as (folder,):
            (folder / "gone").read_bytes()
    with pytest.raises(ZeroDivisionError), store.reading(ADDRESS):
        store.remove(ADDRESS)
        raise ZeroDivisionError


def test_folder_without_manifest_never_counts(store):
    write(store)
    os.unlink(path_of(store, "manifest.json"))
    assert not store.has(ADDRESS)
    assert store.damage(ADDRESS) is None
    assert store.addresses() == []
    with pytest.raises(MissingArtifact, match="runs/abc/00002000.*store"):
        store.open(ADDRESS)
    write(store)
    assert store.has(ADDRESS)


def test_writing_over_a_damaged_artifact_sets_it_aside(store):
    write(store)
    _flip(path_of(store, "weights.safetensors"))
    # The size is right, so only the comparison before replacing can notice.
    assert store.has(ADDRESS)
    write(store)
    assert (store.open(ADDRESS) / "weights.safetensors").read_bytes() == b"weights"
    assert any(name.startswith("damaged/runs/") for name in files_below(store.root))


def test_another_process_finds_damage_that_came_after_the_first_look(store):
    write(store)
    store.open(ADDRESS)
    again = pickle.loads(pickle.dumps(store))
    assert again.root == store.root
    _flip(path_of(store, "weights.safetensors"))
    with pytest.raises(DamagedArtifact):
        again.open(ADDRESS)


def test_addresses_are_those_with_manifests_below_a_prefix(store):
    for address in ("runs/a/1", "runs/a/2", "runs/ab/1", "lines/damaged/x"):
        write(store, address)
    os.makedirs(f"{store.root}/runs/a/3")
    assert store.addresses("runs/a") == ["runs/a/1", "runs/a/2"]
    assert store.addresses("runs/a/1") == ["runs/a/1"]
    assert store.addresses("nothing") == []
    assert len(store.addresses()) == 4


def test_a_listing_says_which_files_lie_where(store):
    write(store)
    with store.writing("lines/a", {}) as folder:
        (folder / "line.json").write_text("{}")
    expected = {
        ADDRESS: {"weights.safetensors", "more/slots.safetensors"},
        "lines/a": {"line.json"},
    }
    assert store.listing() == expected
    assert store.listing("runs/abc") == {ADDRESS: expected[ADDRESS]}
    assert store.listing("lines/a") == {"lines/a": expected["lines/a"]}
    assert store.listing("masks") == {}


def test_junk_in_a_store_is_no_artifact(store):
    write(store)
    for junk in ("runs/[a] b", "runs/x/manifest.json", "runs/.hidden", "lines"):
        os.makedirs(f"{store.root}/{junk}", exist_ok=True)
    for name in ("runs/[a] b/manifest.json", "runs/file", "manifest.json.old"):
        with open(f"{store.root}/{name}", "w") as file:
            file.write("junk")
    os.symlink("nowhere", f"{store.root}/lines/link")
    os.symlink("itself", f"{store.root}/lines/itself")
    assert store.addresses() == [ADDRESS]
    for address in ("runs/x", "runs/file", "runs/file/y", "lines/link", "lines/itself"):
        assert not store.has(address)
        assert store.damage(address) is None
        with pytest.raises(MissingArtifact, match=address):
            store.open(address)
    write(store, "runs/x")
    assert store.has("runs/x")


def test_remove(store):
    write(store)
    store.remove(ADDRESS)
    store.remove(ADDRESS)
    assert not store.has(ADDRESS)
    assert files_below(store.root) == []


@pytest.mark.parametrize(
    "address", ["", "/abs", "../x", "a/../b", "a//b", "a/", ".drafts/x", "damaged/x"]
)
def test_address_cannot_lead_out_of_the_store(store, address):
    with pytest.raises(ValueError, match="is no address in a store"):
        store.has(address)


@pytest.mark.parametrize("address", ["runs", "runs/abc", f"{ADDRESS}/more"])
def test_artifacts_do_not_lie_inside_each_other(store, address):
    write(store)
    with pytest.raises(ValueError, match=f"{ADDRESS!r} is one"):
        write(store, address)
    if address != f"{ADDRESS}/more":
        with pytest.raises(ValueError, match=f"{ADDRESS!r} is one"):
            store.remove(address)
    assert store.has(ADDRESS)


def test_what_another_process_publishes_meanwhile_is_no_clash(store, monkeypatch):
    write(store)
    look = store._manifest
    before = lambda address: None if address == ADDRESS else look(address)  # noqa: E731
    monkeypatch.setattr(store, "_manifest", before)
    store._validate_free(ADDRESS)
    with pytest.raises(ValueError, match=f"{ADDRESS!r} is one"):
        store._validate_free("runs/abc")


@pytest.mark.parametrize(
    ("manifest", "fact"),
    [({"files": 1}, "files"), ({"x": {1, 2}}, "set"), ({"x": float("nan")}, "JSON")],
)
def test_manifest_is_checked_before_the_work(store, manifest, fact):
    with pytest.raises(ValueError, match=fact):
        with store.writing(ADDRESS, manifest):
            pytest.fail("the block ran")


def test_artifact_holds_plain_files_only(store):
    with pytest.raises(ValueError, match="'link' is not one"):
        with store.writing(ADDRESS, {}) as folder:
            os.symlink("/etc/hostname", folder / "link")
    assert not store.has(ADDRESS)


def test_errors_of_the_block_stay_themselves(store):
    with pytest.raises(FileNotFoundError), store.writing(ADDRESS, {}):
        open(f"{store.root}/no such file")


def test_root_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "store")
    assert not store.has(ADDRESS)
    for action in (
        store.ensure_writable,
        lambda: write(store),
        lambda: store.lock("run"),
    ):
        with pytest.raises(StoreError, match="file/store.*TFLOTTERY_STORE"):
            action()


def test_what_is_needed_is_compared_with_what_is_free(store):
    store.ensure_writable(1000)
    assert files_below(store.root) == []
    with pytest.raises(StoreError, match="free and 1,000,000,000.0 GB are needed"):
        store.ensure_writable(10**18)


FILL = """
import resource, sys
from tflottery.store.store import Store
store = Store(sys.argv[1])
if sys.argv[2] != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
with store.writing("runs/big", {}) as folder:
    (folder / "first").write_bytes(bytes(100))
    (folder / "second").write_bytes(bytes(3_000_000))
"""


def run_python(*arguments, prefix=()):
    command = [*prefix, sys.executable, "-c", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_file_beyond_the_limit_gives_a_clear_error_and_leaves_nothing(tmp_path):
    result = run_python(FILL, tmp_path, 1_000_000)
    assert "StoreError: Cannot write 'runs/big': no room" in result.stderr
    assert files_below(tmp_path) == []


def test_full_disk_gives_a_clear_error_and_leaves_nothing(tmp_path):
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0"'
    own_mounts = ["unshare", "--mount", "sh", "-c"]
    try:
        subprocess.run([*own_mounts, mount, tmp_path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user cannot mount a small file system")
    script = f'{mount} && {{ "$@"; ls -R "$0"; }}'
    result = run_python(FILL, tmp_path, 0, prefix=[*own_mounts, script, tmp_path])
    assert "StoreError: Cannot write 'runs/big': no room" in result.stderr
    assert "No space left on device" in result.stderr
    assert "first" not in result.stdout and "manifest" not in result.stdout


def test_disk_that_fails_while_reading_counts_as_damage(store, monkeypatch):
    write(store)

    def read(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("hashlib.file_digest", read)
    fresh = Store(store.root)
    with pytest.raises(DamagedArtifact, match="cannot be read"):
        fresh.open(ADDRESS)


def test_default_root_is_the_users_or_the_variables(monkeypatch):
    monkeypatch.delenv("TFLOTTERY_STORE", raising=False)
    assert default_root() == os.path.expanduser("~/.cache/tflottery/store")
    monkeypatch.setenv("TFLOTTERY_STORE", "/somewhere/else")
    assert Store().root == "/somewhere/else"


def test_making_a_store_touches_nothing(tmp_path):
    Store(tmp_path / "new").has(ADDRESS)
    assert list(tmp_path.iterdir()) == []


def test_locks_of_a_store(store):
    with store.lock(f"run {ADDRESS}"):
        assert store.lock(f"run {ADDRESS}") is None
        assert store.jobs_at_work()[f"run {ADDRESS}"].pid == os.getpid()
        with Store(store.root).lock("another"):
            pass
    with store.lock(f"run {ADDRESS}"):
        pass


def test_store_errors_have_one_base():
    assert issubclass(errors.DamagedArtifact, StoreError)
    assert issubclass(errors.MissingArtifact, StoreError)
    missing = pickle.loads(pickle.dumps(MissingArtifact("a", "/store")))
    assert missing.address == "a" and "/store" in str(missing)
    damaged = pickle.loads(pickle.dumps(DamagedArtifact("a", "b", "c")))
    assert (damaged.address, damaged.reason, damaged.moved_to) == ("a", "b", "c")


def test_a_change_is_seen_though_size_and_time_are_put_back(store):
    """Of a file that this very process wrote, and had hashed as it did."""
    with store.writing("a", {}) as folder:
        (folder / "file").write_bytes(b"sound")
    path = store.open("a") / "file"
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.write(b"S")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DamagedArtifact, match="file has sha256"):
        store.open("a")
