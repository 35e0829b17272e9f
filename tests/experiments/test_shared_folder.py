"""Whole commands on a folder of which each host sees late what others publish.

Nothing is made more often than on one machine, and the tables are the same.
"""

import pytest
from lagging import Names, NodesPool

from tflottery.execution import worker
from tflottery.experiments import lottery
from tflottery.store import sight
from tflottery.studies import machine as machines
from tflottery.studies import planned_work

pytestmark = pytest.mark.slow

_OPTIONS = {"replicates": 1}


@pytest.fixture
def undisturbed(execute, monkeypatch):
    """The tables, and how often what was made, on one machine."""
    with monkeypatch.context() as patch:
        names = Names(patch, seconds=0.0, asks=True)
        ended = execute(lottery, output="alone", store="alone_store", **_OPTIONS)
    assert ended.code == 0
    return ended.csvs, names.num_published


@pytest.mark.parametrize("asks", [True, False], ids=["asks", "waits"])
def test_workers_on_two_nodes(execute, undisturbed, monkeypatch, asks):
    monkeypatch.setattr(sight, "_POLL_SECONDS", 0.05)
    names = Names(monkeypatch, seconds=1.0, asks=asks)

    def pool_of(machine, placement, store, leader):
        settings = machines._settings(machine, placement, store)
        return NodesPool(settings[0], names, store.claims.holder)

    monkeypatch.setattr(planned_work, "pool_of", pool_of)
    monkeypatch.setattr(worker, "set_up", worker.contexts)
    ended = execute(lottery, **_OPTIONS)
    assert ended.code == 0, ended.text
    tables, num_published = undisturbed
    assert ended.csvs == tables
    assert without_probes(names) == without_probes(num_published)
    assert "made again" not in ended.text


def test_two_hosts_one_after_the_other(execute, undisturbed, monkeypatch):
    names = Names(monkeypatch, seconds=1e6, asks=True)
    parts = (("a", ("1",)), ("b", ("1-2",)), ("a", ("1-2",)))
    for number, (host, levels) in enumerate(parts):
        with names.on(host):
            ended = execute(lottery, output=f"{number}", levels=levels, **_OPTIONS)
        assert ended.code == 0, ended.text
    tables, num_published = undisturbed
    assert ended.csvs == tables
    made, expected = without_probes(names), without_probes(num_published)
    assert made == expected


def without_probes(names):
    """Returns how often each artifact was made, the states of runs once each."""
    counts = getattr(names, "num_published", names)
    kept = {one: count for one, count in counts.items() if "/" in one}
    return {one: count for one, count in kept.items() if "checkpoints" not in one}
