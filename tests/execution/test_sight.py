"""What was published elsewhere may come into sight late: it is waited for, not lost."""

import logging
import time

import pytest
from lagging import Names, NodesPool

from tflottery.execution.executor import Executor
from tflottery.execution.results_reader import PartialReader, ResultsReader
from tflottery.store import delegated, sight
from tflottery.store.errors import DamagedArtifact, MissingArtifact
from tflottery.store.store import Store


@pytest.fixture
def names(request, monkeypatch):
    """Names that come into sight late; as a parameter: earlier if looked for."""
    monkeypatch.setattr(sight, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(sight, "_QUIET_SECONDS", 0.02)
    return Names(monkeypatch, seconds=0.15, asks=getattr(request, "param", False))


@pytest.fixture
def store(names, tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def nodes(names, store, settings):
    with store.claimed(pytest.fail):
        yield NodesPool(settings, names, store.claims.holder)


def read(artifact, reader):
    return reader.read(artifact, lambda folder: (folder / "number.txt").read_text())


@pytest.mark.parametrize("names", [True, False], ids=["asks", "waits"], indirect=True)
def test_workers_elsewhere_make_nothing_twice(
    toys, names, store, nodes, told, tmp_path
):
    largest = toys.Largest(str(tmp_path / "notes"))
    two = toys.Sum(toys.Number(1), toys.Number(2))
    goals = [toys.Sum(two, toys.Sum(two, toys.Number(40))), largest]
    shown = told(goals)
    executor = Executor(nodes, store, facts={}, progress=shown.progress)
    began = time.monotonic()
    outcome = executor.execute(goals)
    assert (outcome.failures, outcome.skipped) == ({}, ())
    assert set(outcome.unobtainable) == {goals[1].address}
    # What is not seen yet delays no table of what is there by now.
    if not names.asks:
        assert read(goals[0], PartialReader(store, unobtainable={})) is None
    assert read(goals[0], ResultsReader(store, unobtainable={})) == "46"
    assert set(names.num_published.values()) == {1}
    assert (tmp_path / "notes").read_text() == "x"
    seconds = time.monotonic() - began
    assert seconds < 3
    if names.asks:
        assert "said to be there" not in shown.text
    else:
        assert "is said to be there and is not seen from here" in shown.text


def test_what_stays_out_of_sight_is_lost_in_the_end(
    toys, names, store, nodes, told, monkeypatch
):
    monkeypatch.setattr(sight, "SIGHT_SECONDS", 0.1)
    names.seconds = 1e6
    goal = toys.Number(1)
    shown = told([goal])
    executor = Executor(nodes, store, facts={}, progress=shown.progress)
    reader = ResultsReader(store, unobtainable={})
    for _ in range(3):
        assert not executor.execute([goal]).failures
        with pytest.raises(MissingArtifact) as loss:
            read(goal, reader)
        executor.lose(loss.value)
    assert shown.text.count("is gone. It is made again") == 3
    executor.execute([goal])
    with pytest.raises(MissingArtifact) as loss:
        read(goal, reader)
    executor.lose(loss.value)
    failures = executor.execute([goal]).failures
    assert "missing whenever it is needed" in failures[goal.address]


def test_what_no_worker_told_of_is_not_waited_for(store):
    began = time.monotonic()
    with pytest.raises(MissingArtifact):
        store.open("numbers/a")
    assert not store.awaited("numbers/a")
    with store.writing("numbers/a", {}) as folder:
        (folder / "a").write_text("a")
    (store.open("numbers/a") / "a").write_text("other size")
    with pytest.raises(DamagedArtifact):
        store.open("numbers/a")
    assert time.monotonic() - began < 0.2


@pytest.mark.parametrize("names", [True], ids=["asks"], indirect=True)
def test_a_second_host_sees_what_the_first_has_made(names, tmp_path, toys, told):
    """Where folders that are opened tell of it, as those of NFS do."""
    with names.on("a"):
        first = Store(tmp_path / "store")
        with first.writing("numbers/a", {}) as folder:
            (folder / "a").write_text("a")
    with names.on("b"):
        second = Store(tmp_path / "store")
    assert not second.has("numbers/a")
    assert list(second.listing("numbers/a")) == ["numbers/a"]
    assert second.has("numbers/a")


def test_sizes_of_files_that_were_replaced_are_no_damage(store, monkeypatch):
    """The manifest is that of now, and what is known of its files is of before."""
    kind = type(store._backend)
    for content in ("a", "longer"):
        with store.writing("numbers/a", {"of": content}) as folder:
            (folder / "a").write_text(content)
    stale, stamps, anew = [True], kind.stamps, kind.look_anew

    def remembered(self, address, folder, names):
        return [(1,)] if stale else stamps(self, address, folder, names)

    monkeypatch.setattr(kind, "stamps", remembered)
    monkeypatch.setattr(
        kind, "look_anew", lambda self, at: (stale.clear(), anew(self, at))
    )
    other = Store(store.root)
    assert (other.open("numbers/a") / "a").read_text() == "longer"
    assert other.damage("numbers/a") is None


def test_a_worker_elsewhere_notes_what_it_looks_for(names, store, monkeypatch, caplog):
    with store.claimed(pytest.fail):
        with store.writing("numbers/a", {}) as folder:
            (folder / "a").write_text("a")
        with names.on("node"):
            there = delegated.DelegatedStore(store.root, store.claims.holder)
        with caplog.at_level(logging.INFO, "tflottery"):
            assert (there.open("numbers/a") / "a").read_text() == "a"
        monkeypatch.setattr(sight, "SIGHT_SECONDS", 0.05)
        with pytest.raises(MissingArtifact):
            there.open("numbers/b")
    assert caplog.text.count("numbers/a is said to be there") == 1
