"""Contracts of every experiment, at its tiniest."""

import dataclasses

import pytest

from tflottery.studies import session
from tflottery.studies.session import Machine


def test_the_tables_are_those_promised(tiny, every_experiment):
    ended = tiny(every_experiment)
    assert ended.code == 0
    assert ended.csvs.keys() == {f"{name}.csv" for name in every_experiment.TABLES}
    for name, row_type in every_experiment.TABLES.items():
        table = ended.table(name)
        assert list(table) == [field.name for field in dataclasses.fields(row_type)]
    first = ended.table(next(iter(every_experiment.TABLES)))
    assert len(first) and not first.duplicated().any()


def test_from_an_empty_store_the_same_bytes_come_again(tiny, execute, every_experiment):
    assert execute(every_experiment).csvs == tiny(every_experiment).csvs


def test_with_a_full_store_nothing_is_trained(
    tiny, every_experiment, runtime, trainings
):
    folder = tiny(every_experiment).folder
    machine = Machine(
        executor="inline",
        store=str(folder.parent / "store"),
        output_dir=str(folder.parent / "again"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tflottery.training.runtime.Runtime", lambda **_: runtime)
        patch.delattr(every_experiment, "figure", raising=False)
        config = every_experiment.Config.tiny()
        code = session.execute(every_experiment, config, machine=machine)
    assert code == 0 and not trainings
    for path in folder.glob("*.csv"):
        assert (folder.parent / "again" / path.name).read_bytes() == path.read_bytes()
