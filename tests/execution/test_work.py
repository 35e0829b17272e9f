"""How long work took, from the manifests that tell of it."""

import dataclasses
import os

import pytest

from tflottery.core import hardware
from tflottery.execution import work
from tflottery.store.store import Store


def put(store, address, told, written=None):
    """Puts an artifact whose manifest tells of work."""
    with store.writing(address, {"work": told}) as folder:
        (folder / "file").write_text(address)
    if written is not None:
        path = f"{store.root}/{os.path.dirname(address)}"
        os.utime(path, (written, written))


def test_the_median_of_what_a_unit_took(store):
    for number, seconds in enumerate((1.0, 90.0, 2.0)):
        put(store, f"runs/{number}/00000010", work.done("a", 10, seconds))
    put(store, "lines/b", work.done("b", 1000, 2.0))
    assert work.learned(store, ["runs", "lines", "none"]) == {"a": 0.2, "b": 0.002}
    assert work.learned(store, ["lines"]) == {"b": 0.002}


def test_what_tells_of_no_work_is_left_out(store):
    put(store, "runs/a/00000000", work.done("a", 0, 1.0))
    put(store, "runs/b/00000000", None)
    with store.writing("lines/c", {}):
        pass
    assert work.learned(store, ["runs", "lines"]) == {}


def test_other_machines_tell_nothing(store, monkeypatch):
    put(store, "runs/a/00000010", work.done("a", 10, 1.0))
    monkeypatch.setattr(hardware, "processor", lambda: "another")
    assert work.learned(store, ["runs"]) == {}


def test_damaged_manifests_tell_nothing(store):
    put(store, "runs/a/00000010", work.done("a", 10, 1.0))
    put(store, "runs/b/00000010", work.done("a", 10, 9.0))
    path = f"{store.root}/runs/b/00000010/manifest.json"
    with open(path, "r+b") as file:
        file.truncate(100)
    assert work.learned(store, ["runs"]) == {"a": 0.1}


def test_how_many_threads_work_decides_how_fast(make_study):
    study = make_study()
    alone = study.trunk(1)
    several = dataclasses.replace(alone, threads=4)
    for kind in (work.training, work.measuring):
        assert kind(alone, num_devices=1) != kind(several, num_devices=1)


def test_the_newest_tell(store, monkeypatch):
    monkeypatch.setattr(work, "_NEWEST", 2)
    for number, seconds in enumerate((50.0, 1.0, 3.0)):
        told = work.done("a", 10, seconds)
        put(store, f"runs/{number}/00000010", told, written=1e9 + number)
    assert work.learned(store, ["runs"]) == {"a": pytest.approx(0.2)}


def test_a_url_is_not_asked():
    assert work.learned(Store("gs://nowhere/store"), ["runs"]) == {}


def test_the_same_artifact_is_kept_whatever_it_took(store):
    for seconds in (1.0, 2.0):
        put(store, "lines/a", work.done("a", 10, seconds))
    assert store.manifest("lines/a")["work"]["seconds"] == 1.0


def test_kinds_are_what_decides_speed(make_study):
    def kinds(num_devices=1, **changes):
        run = dataclasses.replace(make_study().trunk(1), **changes)
        on = {"num_devices": num_devices}
        return work.training(run, **on), work.measuring(run, **on)

    usual = kinds()
    assert usual[0] != usual[1]
    assert kinds(data_order_seed=7, first_iteration=5) == usual
    decoded = dataclasses.replace(make_study().recipe, augmentation="resized_crop")
    assert not set(kinds(recipe=decoded)) & set(usual)
    recipe = dataclasses.replace(make_study().recipe, learning_rate=0.5)
    assert kinds(recipe=recipe) == usual
    recipe = dataclasses.replace(recipe, batch_size=7)
    assert kinds(recipe=recipe)[0] != usual[0]
    assert kinds(recipe=recipe)[1] == usual[1]
    gpu = kinds(device="gpu")
    assert gpu[0] != usual[0] and gpu[1] != usual[1]
    # Parts on fewer devices take longer, and are measured as ever.
    parts = [kinds(num_replicas=2, num_devices=count) for count in (1, 2)]
    assert len({usual[0], parts[0][0], parts[1][0]}) == 3
    assert parts[0][1] == usual[1] != parts[1][1]
