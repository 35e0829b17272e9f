"""What nobody needs is found and removed; what may be needed stays."""

import os
import subprocess
import sys

import pytest

from tflottery.store import __main__ as store_program
from tflottery.store import leftovers, telling
from tflottery.store.errors import DamagedArtifact, StoreError
from tflottery.store.origins import Origins


@pytest.fixture
def put(store):
    """Puts artifacts of one or two small files into the store."""

    def write(address, *, slots=False, content=b"12345"):
        with store.writing(address, {}) as folder:
            (folder / "weights.safetensors").write_bytes(content)
            if slots:
                (folder / "slots.safetensors").write_bytes(content)

    return write


def found(store):
    return [(one.kind, one.address) for one in leftovers.find(store)]


def removed(store):
    return [
        one.address for one in leftovers.find(store) if leftovers.remove(store, one)
    ]


def damage(store, address):
    path = f"{store.root}/{address}/weights.safetensors"
    os.truncate(path, 1)
    with pytest.raises(DamagedArtifact):
        store.open(address)


def test_a_store_of_what_is_needed_has_no_leftovers(store, put):
    assert found(store) == []
    put("runs/a/00000010", slots=True)
    put("runs/a/00000020")
    put("checkpoints/a/00000015", slots=True)
    put("checkpoints/b/00000015", slots=True)
    put("partial/k")
    put("accuracies/other")
    assert found(store) == []


def test_damaged_artifacts_are_removed_and_leave_no_folder(store, put):
    for address in ("runs/a/00000010", "lines/x"):
        put(address)
        damage(store, address)
        put(address)
        damage(store, address)
    put("lines/y")
    kinds = [kind for kind, _ in found(store)]
    assert kinds == [leftovers.DAMAGED] * 4
    assert all(one.num_bytes > 1 for one in leftovers.find(store))
    assert len(removed(store)) == 4
    assert not os.path.exists(f"{store.root}/damaged")
    assert store.addresses() == ["lines/y"]


def test_partial_results_go_once_their_component_is_done(store, put):
    put("partial/k")
    put("partial/l")
    put("accuracies/k")
    assert found(store) == [(leftovers.PARTIAL, "partial/k")]
    assert removed(store) == ["partial/k"]
    assert store.addresses() == ["accuracies/k", "partial/l"]


def test_checkpoints_go_where_a_newer_state_has_slots(store, put):
    put("runs/a/00000030", slots=True)
    put("checkpoints/a/00000020", slots=True)
    put("runs/b/00000010", slots=True)
    put("runs/b/00000030")
    for iteration in (15, 20, 25):
        put(f"checkpoints/b/{iteration:08d}", slots=True)
    gone = ["checkpoints/a/00000020", "checkpoints/b/00000015"]
    gone.append("checkpoints/b/00000020")
    assert found(store) == [(leftovers.CHECKPOINT, address) for address in gone]
    assert removed(store) == gone
    assert store.addresses("checkpoints") == ["checkpoints/b/00000025"]


def test_a_checkpoint_stays_where_the_newer_state_is_damaged(store, put):
    put("runs/a/00000030", slots=True)
    put("checkpoints/a/00000020", slots=True)
    os.truncate(f"{store.root}/runs/a/00000030/slots.safetensors", 1)
    assert found(store) == []


def test_a_diverged_run_needs_no_checkpoint(store, put):
    put("checkpoints/a/00000020", slots=True)
    put("runs/a/diverged")
    assert removed(store) == ["checkpoints/a/00000020"]


def test_what_a_living_process_is_at_stays(store, put):
    put("accuracies/k")
    put("partial/k")
    put("runs/a/00000030", slots=True)
    put("checkpoints/a/00000020", slots=True)
    with store.lock("accuracies/k"), store.lock("runs/a"):
        assert len(found(store)) == 2
        assert removed(store) == []
    assert len(removed(store)) == 2


def test_what_is_needed_by_now_stays(store, put):
    put("accuracies/k")
    put("partial/k")
    [one] = leftovers.find(store)
    store.remove("accuracies/k")
    assert not leftovers.remove(store, one)
    assert store.has("partial/k")


@pytest.fixture
def program(store):
    """Runs the program; returns how it ended."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "tflottery.store", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "TFLOTTERY_STORE": store.root},
        )

    return run


def test_the_program_says_what_there_is_and_removes_it_when_told(store, put, program):
    put("accuracies/k")
    put("partial/k", content=bytes(2_000_000))
    told = program("gc")
    assert (told.returncode, told.stderr) == (0, "")
    assert store.root in told.stdout
    assert "partial results             1          2.0 MB" in told.stdout
    assert "Nothing was removed; --yes does it." in told.stdout
    assert store.has("partial/k")
    told = program("gc", f"--store={store.root}", "--yes")
    assert "Removed 1 of 1." in told.stdout
    assert not store.has("partial/k")
    assert store.has("accuracies/k")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("gc", "results"), "No table in 'results' names anything"),
        (("diff", "runs/abc"), "diff takes 2 arguments, got 1"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ((), "'' is nothing that can be done with a store. Known: ls, show"),
                (("clean",), "'clean' is nothing"),
                (("gc", "--store=/nowhere"), "no store in '/nowhere'"),
                (("gc", "--sure"), "There is no flag --sure"),
                (("show", "runs/abc"), "is called 'runs/abc'"),
                (("ls", "runs", "masks"), "ls takes 0 to 1 arguments, got 2"),
                (("verify", "masks"), "begins with 'masks'"),
            )
        ),
    ],
)
def test_what_the_program_cannot_do_is_refused(program, put, arguments, text):
    put("accuracies/k")
    told = program(*arguments)
    assert told.returncode == 2
    assert text in told.stderr and "Traceback" not in told.stderr


def test_verify_names_what_is_damaged_and_leaves_it(store, put, program):
    put("accuracies/k")
    put("lines/l")
    told = program("verify")
    assert (told.returncode, told.stdout) == (0, "2 artifacts, 0 damaged\n")
    path = f"{store.root}/lines/l/weights.safetensors"
    # As many bytes as before, another one among them.
    with open(path, "wb") as file:
        file.write(b"12945")
    told = program("verify")
    assert told.returncode == 1
    assert "lines/l: weights.safetensors has sha256" in told.stdout
    assert "2 artifacts, 1 damaged" in told.stdout
    assert os.path.exists(path)
    assert program("verify", "accuracies").returncode == 0


def test_what_is_damaged_and_needed_can_be_set_aside_and_removed(store, put, tmp_path):
    put("accuracies/k")
    put("runs/r/00000001")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "accuracy.csv").write_text("of,network\naccuracies/k,runs/r/00000001\n")
    os.remove(f"{store.root}/runs/r/00000001/weights.safetensors")
    assert "damaged  1 run" in telling.contents(Origins(store))
    with pytest.raises(StoreError, match="needed are damaged.*store verify --yes`"):
        store_program.collected(store, [folder], really=False)
    told, sound = store_program.verified(store, really=True)
    assert told.endswith("2 artifacts, 1 damaged\nSet aside 1 of 1.") and not sound
    assert store_program.verified(store) == ("1 artifacts, 0 damaged", True)
    assert "Removed 1 of 1." in store_program.collected(store, [folder], really=True)
    assert store.addresses() == ["accuracies/k"]


def test_what_results_do_not_need_stays_while_somebody_is_at_work(
    store, put, program, tmp_path
):
    for address in ("accuracies/k", "lines/l"):
        put(address)
    (tmp_path / "accuracy.csv").write_text("network\naccuracies/k\n")
    with store.lock("runs/another"):
        told = program("gc", str(tmp_path), "--yes")
    assert told.returncode == 2
    assert f"process {os.getpid()}" in told.stderr
    assert store.has("lines/l")
    # A command between two jobs holds no lock of any.
    with store.claimed(print):
        told = program("gc", str(tmp_path), "--yes")
    assert f"process {os.getpid()}" in told.stderr
    assert store.has("lines/l")
    told = program("gc", str(tmp_path))
    assert "not of these results        1" in told.stdout
    assert store.has("lines/l")
    told = program("gc", str(tmp_path), "--yes")
    assert "Removed 1 of 1." in told.stdout
    assert store.addresses() == ["accuracies/k"]
