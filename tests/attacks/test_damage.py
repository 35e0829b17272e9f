"""Damage is done as it is said, and noticed where nobody named it."""

import os

import pytest

from benchmarks.attacks import damage, stored
from benchmarks.attacks.caches import CacheDamage
from benchmarks.attacks.damage import Damage, Deletion, Swap
from benchmarks.attacks.sandbox import Instruments
from tflottery.store.store import Store


def of(how, **options):
    defaults = {"among": ("lines",), "manifest": False, "keep_time": True}
    return Damage(how, at=0.0, where=0.5, **defaults | options)


@pytest.mark.parametrize("keep_time", [True, False])
def test_flip_changes_one_bit(tmp_path, keep_time):
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    os.utime(path, ns=(1, 1))
    damage.spoil(path, damage.FLIP, where=0.55, keep_time=keep_time)
    assert path.read_bytes() == bytes(5) + bytes([1 << 5]) + bytes(4)
    assert (path.stat().st_mtime_ns == 1) == keep_time


@pytest.mark.parametrize(
    "how, left", [(damage.CUT, 3), (damage.EMPTY, 0), (damage.REMOVE, None)]
)
def test_cut_leaves_the_beginning(tmp_path, how, left):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(10)))
    damage.spoil(path, how, where=0.35, keep_time=False)
    found = path.read_bytes() if path.exists() else None
    assert found == (None if left is None else bytes(range(left)))


@pytest.mark.parametrize("manifest", [True, False])
def test_damage_that_is_made_good_has_to_be_named(sandbox, say, made_up, manifest):
    attack = of(damage.FLIP, manifest=manifest)
    attack.prepare(sandbox, Instruments())
    folder = stored.folders(sandbox.paths["store"])["lines/c"]
    # As it was spoiled: nobody has read it.
    assert stored.fault(folder, "lines/c") is not None
    assert attack.verify(sandbox) == []
    for path in (made_up.folder / "finished" / "lines" / "c").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert attack.verify(sandbox) == ["damage to lines/c was not named"]
    say("Artifact lines/c is damaged; it is made again.")
    assert attack.verify(sandbox) == []


@pytest.mark.parametrize(
    ("address", "happens"),
    [
        # There are states of this run up to 120, and no other one's.
        ("checkpoints/d/00000085", False),
        ("checkpoints/d/00000121", True),
        ("checkpoints/e/00000085", True),
        ("partial/c", False),
        ("partial/d", True),
    ],
)
def test_what_is_over_is_left_alone(address, happens, sandbox):
    """Nobody reads it any more, so that nobody could name its damage."""
    with Store(str(sandbox.paths["store"])).writing(address, {}) as draft:
        (draft / "value.json").write_text("{}")
    attack = of(damage.FLIP, among=damage.UNFINISHED)
    attack.prepare(sandbox, Instruments())
    assert attack.happened == happens


def test_swapped_artifacts_are_at_fault(sandbox):
    attack = Swap(0.3)
    attack.prepare(sandbox, Instruments())
    faults = {
        address
        for address, folder in stored.folders(sandbox.paths["store"]).items()
        if stored.fault(folder, address)
    }
    assert attack.happened
    assert len(faults) == 2
    assert len({address.split("/")[0] for address in faults}) == 1


def test_deletion_leaves_a_share(sandbox):
    attack = Deletion(share=0.5, seed=1)
    attack.prepare(sandbox, Instruments())
    assert attack.happened
    assert 0 < len(stored.folders(sandbox.paths["store"])) < 5


def test_damage_to_the_dataset_cache_has_to_be_named(sandbox, say):
    path = sandbox.paths["cache"] / "digits-1" / "images.npy"
    attack = CacheDamage(damage.FLIP, at=0.5, where=0.0)
    attack.prepare(sandbox, Instruments())
    assert path.read_bytes() != b"images"
    assert attack.verify(sandbox) == []
    path.write_bytes(b"images")
    assert attack.verify(sandbox) == [
        "damage to digits-1/images.npy of the dataset cache was not named"
    ]
    say("The copy in digits-1 is damaged.")
    assert attack.verify(sandbox) == []


def test_what_vanishes_while_a_store_is_listed_is_passed_over(
    sandbox, made_up, monkeypatch
):
    store = sandbox.paths["store"]
    (store / ".drafts" / "one").mkdir(parents=True)
    scan = os.scandir

    def late(path):
        if str(path).endswith("one"):
            os.rmdir(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", late)
    assert list(stored.folders(store)) == sorted(made_up.artifacts)
