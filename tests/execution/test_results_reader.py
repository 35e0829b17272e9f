"""What rows are made from."""

import pytest

from tflottery.execution.results_reader import ResultsReader
from tflottery.store.errors import DamagedArtifact


@pytest.fixture
def number(toys):
    return toys.Number(1)


def test_a_finished_artifact_has_a_folder(store, put, number):
    put(number)
    found = ResultsReader(store, unobtainable={})
    assert (found.folder(number) / "number.txt").exists()
    assert found.diverged_iteration(number) is None


def test_a_missing_artifact_has_none(store, number):
    assert ResultsReader(store, unobtainable={}).folder(number) is None


def test_an_artifact_lost_to_a_divergence_says_when(store, number):
    found = ResultsReader(store, unobtainable={number.address: 7})
    assert found.folder(number) is None
    assert found.diverged_iteration(number) == 7


def test_a_damaged_artifact_is_not_read(store, put, number):
    put(number)
    text = (store.open(number.address) / "number.txt").read_text()
    (store.open(number.address) / "number.txt").write_text("x" * len(text))
    with pytest.raises(DamagedArtifact, match=number.address):
        ResultsReader(store, unobtainable={}).folder(number)
