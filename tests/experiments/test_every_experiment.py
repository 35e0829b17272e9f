"""Contracts of every experiment, at its tiniest."""

import dataclasses
import shutil

import pytest

from tflottery import results
from tflottery.execution.results_reader import PartialReader
from tflottery.store import needs
from tflottery.store.origins import Origins
from tflottery.store.store import Store
from tflottery.studies import answers, session
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


def test_replicates_and_data_orders_are_all_that_a_summary_pools(
    tiny, every_experiment
):
    ended = tiny(every_experiment)
    for name in every_experiment.TABLES:
        table = ended.table(name)
        measured = [
            column
            for column, values in table.items()
            if values.dtype.kind == "f" and column not in ("density", "axis_density")
        ]
        repeats = [one for one in table if one.startswith(("replicate", "data_order"))]
        # Every row that tells of a network is one repetition of its setting.
        for column in measured[:1]:
            found = results.summary(table, of=column)
            assert found[f"{column}_count"].sum() == table[column].count()
            repetitions = len(table[repeats].drop_duplicates()) if repeats else 1
            assert found[f"{column}_count"].max() <= repetitions


def test_every_mask_is_told_kernel_by_kernel(tiny, every_experiment):
    if "mask_layers" not in every_experiment.TABLES:
        pytest.skip("prunes nothing, or tells it by what it does")
    ended = tiny(every_experiment)
    networks = ended.table(next(iter(every_experiment.TABLES)))
    if networks["mask"].isna().all():
        pytest.skip("prunes nothing at its tiniest")
    layers = ended.table("mask_layers")
    counts = ["kernel", "num_weights", "num_survivors", "kernel_density"]
    keys = [name for name in layers if name not in counts]
    assert not layers.duplicated([*keys, "kernel"]).any()
    sparse = networks[networks["mask"].notna()][keys].drop_duplicates()
    groups = layers.groupby(keys, dropna=False)
    assert (
        len(groups) == len(sparse) == len(sparse.merge(layers[keys].drop_duplicates()))
    )
    for _, own in groups:
        kept = own["num_survivors"].sum() / own["num_weights"].sum()
        assert set(own["density"]) == {kept}


@pytest.fixture(scope="session")
def common_store(tmp_path_factory):
    """A store for all experiments, empty at first."""
    return str(tmp_path_factory.mktemp("common") / "store")


@pytest.mark.slow
def test_from_a_store_of_all_experiments_the_same_bytes_come_again(
    tiny, execute, every_experiment, common_store
):
    """What two share is trained again once, whichever comes first; the rest as well."""
    ended = execute(every_experiment, store=common_store)
    assert ended.csvs == tiny(every_experiment).csvs


def test_with_a_full_store_nothing_is_trained(tiny, every_experiment, here, trainings):
    folder = tiny(every_experiment).folder
    # The store may have been filled just now.
    trainings.clear()
    machine = Machine(
        executor="inline",
        store=str(folder.parent / "store"),
        output_dir=str(folder.parent / "again"),
    )
    with here() as patch:
        patch.delattr(every_experiment, "figure", raising=False)
        config = every_experiment.Config.tiny()
        code = session.execute(every_experiment, config, machine=machine)
    assert code == 0 and not trainings
    for path in folder.glob("*.csv"):
        assert (folder.parent / "again" / path.name).read_bytes() == path.read_bytes()


def test_all_that_was_trained_is_needed_by_the_results(tiny, every_experiment):
    folder = tiny(every_experiment).folder
    origins = Origins(Store(folder.parent / "store"))
    unneeded = needs.unneeded(origins, [str(folder)])
    assert [one for one in unneeded if one.startswith(("runs/", "masks/"))] == []


def test_one_split_alone_leaves_the_columns_of_the_other_empty(
    tiny, execute, every_experiment, trainings, tmp_path
):
    whole = tiny(every_experiment)
    trainings.clear()
    # A store of its own: other tests count what the whole command left in that one.
    shutil.copytree(whole.folder.parent / "store", tmp_path / "store")
    ended = execute(every_experiment, splits=("train",))
    assert ended.code == 0 and not trainings
    # What of a table is not summed up of test errors has a row for each it had before.
    compared = 0
    for name in every_experiment.TABLES:
        found, both = ended.table(name), whole.table(name)
        own = [column for column in found if column.startswith("train_")]
        others = [column for column in found if column.startswith("test_")]
        assert found[others].isna().all(axis=None)
        if own:
            compared += 1
            assert found[own].equals(both[own])
    assert compared


def test_what_is_known_can_be_tabled_at_any_time(tiny, every_experiment, study_of):
    whole = tiny(every_experiment)
    config = every_experiment.Config.tiny()
    members = getattr(every_experiment, "members", lambda config: [config])(config)
    options = dataclasses.asdict(members[0])
    study = study_of(every_experiment, **options)
    addresses = dict.fromkeys(goal.address for goal in every_experiment.plan(study))

    class Some(Store):
        """The store without all but every third of the goals, or with none."""

        def has(self, address, files=()):
            place = list(addresses).index(address)
            return place % 3 == self.left and super().has(address, files)

    num_rows = []
    for left in (0, 1, 2, None):
        store = Some(whole.folder.parent / "store")
        store.left = left
        tables = every_experiment.rows(study, PartialReader(store, unobtainable={}))
        assert tables.keys() == every_experiment.TABLES.keys()
        first = next(iter(every_experiment.TABLES))
        num_rows.append(len(tables[first]))
        for rows in tables.values():
            assert not any(getattr(row, "matching", None) for row in rows)
            assert not any(getattr(row, "studied", None) for row in rows)
    assert max(num_rows) <= len(whole.table(first))


def test_a_command_ends_with_its_answer(tiny, every_experiment, monkeypatch):
    ended = tiny(every_experiment)
    tables = {name: ended.table(name) for name in every_experiment.TABLES}
    text = answers.text(every_experiment, tables)
    print(text)
    lines = text.splitlines()
    # A title, names of columns, a rule and at least a row.
    assert 4 <= len(lines) <= 22
    assert max(map(len, lines)) <= 120
    assert any(character.isdigit() for character in lines[3])
    assert "nan" not in text
    assert text in (ended.folder / "log.txt").read_text()
    # Nothing is known yet, or nothing of what is compared.
    nothing = {name: table[:0] for name, table in tables.items()}
    assert answers.text(every_experiment, nothing) == ""
    first = {name: table[:1] for name, table in tables.items()}
    assert isinstance(answers.text(every_experiment, first), str)
    monkeypatch.delattr(every_experiment, "answer")
    assert "nan" not in answers.text(every_experiment, tables)
