"""Results of several commands load into one DataFrame, or say why not."""

import dataclasses

import pytest

from tflottery import results
from tflottery.core import tables


@dataclasses.dataclass(frozen=True)
class Row:
    config: str
    replicate: int


@pytest.fixture
def folder(tmp_path):
    """Two output folders with two tables each."""
    for command in ("a", "b"):
        (tmp_path / "out" / command).mkdir(parents=True)
        for name in ("instability", "interpolation"):
            rows = [Row(command, replicate) for replicate in (1, 2)]
            tables.write(rows, tmp_path / "out" / command / f"{name}.csv")
    return tmp_path / "out"


def configs(frame):
    return list(frame["config"])


def test_one_file(folder):
    frame = results.load(folder / "a" / "instability.csv")
    assert configs(frame) == ["a", "a"]
    assert list(frame["replicate"]) == [1, 2]


@pytest.mark.parametrize("pattern", ["*/instability.csv", "**/instability.csv"])
def test_glob(folder, pattern):
    frame = results.load(f"{folder}/{pattern}")
    assert configs(frame) == ["a", "a", "b", "b"]
    assert list(frame.index) == [0, 1, 2, 3]


def test_folders_with_the_table_named(folder):
    for sources in ([folder / "b", folder / "a"], [[folder / "b", folder / "a"]]):
        frame = results.load(*sources, table="interpolation")
        assert configs(frame) == ["b", "b", "a", "a"]
    assert configs(results.load(f"{folder}/*", table="instability")) == list("aabb")


def test_file_named_twice_is_read_once(folder):
    frame = results.load(f"{folder}/*/instability.csv", folder / "a/instability.csv")
    assert configs(frame) == ["a", "a", "b", "b"]


def test_table_without_rows_adds_nothing(folder):
    tables.write([], folder / "b" / "instability.csv")
    assert configs(results.load(f"{folder}/*", table="instability")) == ["a", "a"]


def test_several_tables_are_refused(folder):
    with pytest.raises(ValueError, match="2 different tables.*table='instability'"):
        results.load(folder / "a")


@pytest.mark.parametrize(
    ("source", "table", "fact"),
    [
        ("c", None, "nothing of that name"),
        ("*/accuracy.csv", None, "nothing of that name"),
        ("", None, "no CSV file in it"),
        ("a", "accuracy", "no table 'accuracy', only instability, interpolation"),
    ],
)
def test_what_is_not_there_is_named(folder, source, table, fact):
    with pytest.raises(FileNotFoundError, match=fact):
        results.load(f"{folder}/{source}", table=table)


def test_no_source(folder):
    with pytest.raises(ValueError, match="No source"):
        results.load()


def test_different_columns_are_said_from_both_sides(folder):
    (folder / "b" / "instability.csv").write_text("config,seed\nb,1\n")
    with pytest.raises(ValueError, match=r"lacks \['replicate'\] and adds \['seed'\]"):
        results.load(f"{folder}/*/instability.csv")
