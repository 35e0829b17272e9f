"""What rows are made from: nothing is silently missing."""

import shutil

import pytest

from tflottery.execution.results_reader import (
    PartialReader,
    ReadingStopped,
    ResultsReader,
)
from tflottery.store.errors import DamagedArtifact, MissingArtifact


@pytest.fixture
def number(toys):
    return toys.Number(1)


def content(folder):
    return (folder / "number.txt").read_text()


def flip(store, artifact, *, longer=0):
    path = store.open(artifact.address) / "number.txt"
    path.write_text("x" * (len(path.read_text()) + longer))


KINDS = pytest.mark.parametrize("kind", [ResultsReader, PartialReader])


@KINDS
def test_a_finished_artifact_is_read(store, put, number, kind):
    put(number)
    found = kind(store, unobtainable={})
    assert found.read(number, content) == number.address
    assert found.diverged_iteration(number) is None


@KINDS
def test_an_artifact_lost_to_a_divergence_says_when(store, number, kind):
    found = kind(store, unobtainable={number.address: 7})
    assert found.read(number, content) is None
    assert found.diverged_iteration(number) == 7
    assert found.is_unobtainable(number)


@KINDS
def test_an_artifact_that_does_not_exist_says_so(store, put, number, toys, kind):
    found = kind(store, unobtainable={number.address: None})
    assert found.read(number, content) is None
    assert found.diverged_iteration(number) is None
    assert found.is_unobtainable(number)
    assert not found.is_unobtainable(toys.Number(23))


def test_a_missing_artifact_is_named(store, number):
    with pytest.raises(MissingArtifact, match=number.address):
        ResultsReader(store, unobtainable={}).read(number, content)


@pytest.mark.parametrize("longer", [0, 1])
def test_a_damaged_artifact_is_not_read(store, put, number, longer):
    put(number)
    flip(store, number, longer=longer)
    with pytest.raises(DamagedArtifact, match=number.address):
        ResultsReader(store, unobtainable={}).read(number, content)


def test_an_artifact_that_vanishes_while_it_is_read_is_missing(store, put, number):
    put(number)

    def too_late(folder):
        shutil.rmtree(folder)
        return content(folder)

    with pytest.raises(MissingArtifact, match=number.address):
        ResultsReader(store, unobtainable={}).read(number, too_late)


def test_what_is_there_is_read_without_the_rest(store, put, toys):
    there, damaged, missing = (toys.Number(value) for value in (1, 2, 3))
    put(there)
    put(damaged)
    flip(store, damaged)
    found = PartialReader(store, unobtainable={})
    read = [found.read(one, content) for one in (there, damaged, missing)]
    assert read == [there.address, None, None]
    assert found.found == {there.address}
    assert [damage.address for damage in found.damage] == [damaged.address]


def test_reading_what_is_there_can_be_left(store, put, number):
    put(number)
    found = PartialReader(store, unobtainable={}, stopping=lambda: True)
    with pytest.raises(ReadingStopped):
        found.read(number, content)
