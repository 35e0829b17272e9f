"""Tables read back as they were written, bit for bit."""

import dataclasses
import math
import os

import numpy as np
import pytest

from tflottery.core import tables


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    count: int
    share: float | None = None
    flag: bool = False


def test_text_by_hand(tmp_path):
    rows = [Row("a", 1, 0.1, True), Row('b, "c"', -2), Row("NA", 3, math.nan)]
    tables.write(rows, tmp_path / "t.csv")
    expected = 'name,count,share,flag\na,1,0.1,true\n"b, ""c""",-2,,false\n'
    assert (tmp_path / "t.csv").read_bytes().decode() == expected + "NA,3,nan,false\n"


def test_reads_back(tmp_path):
    floats = [1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e22, 0.1 + 0.2]
    floats += np.random.default_rng(0).random(1000).tolist()
    rows = [Row(str(i), i, value, i % 2 == 0) for i, value in enumerate(floats)]
    tables.write([*rows, Row("NA", 9, None)], tmp_path / "t.csv")
    frame = tables.read(tmp_path / "t.csv")
    assert [value.hex() for value in frame["share"][:-1]] == [v.hex() for v in floats]
    assert math.isnan(frame["share"].iloc[-1])
    assert frame["name"].iloc[-1] == "NA"
    assert frame["flag"].dtype == bool
    assert frame["count"].dtype == np.int64


def test_numpys_numbers_are_written_as_pythons(tmp_path):
    rows = [Row("a", np.int32(7), np.float32(0.5), np.bool_(True))]
    tables.write(rows, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().endswith("a,7,0.5,true\n")


def test_same_rows_same_bytes(tmp_path):
    rows = [Row("a", 1, 1 / 3), Row("b", 2, 2 / 3)]
    for name in ("x.csv", "y.csv"):
        tables.write(rows, tmp_path / name)
    assert (tmp_path / "x.csv").read_bytes() == (tmp_path / "y.csv").read_bytes()


def test_table_without_rows(tmp_path):
    tables.write([], tmp_path / "t.csv")
    assert len(tables.read(tmp_path / "t.csv")) == 0
    tables.write([], tmp_path / "t.csv", row_type=Row)
    frame = tables.read(tmp_path / "t.csv")
    assert list(frame.columns) == ["name", "count", "share", "flag"]
    assert len(frame) == 0


def test_failing_write_leaves_the_old_table(tmp_path):
    tables.write([Row("a", 1)], tmp_path / "t.csv")
    before = (tmp_path / "t.csv").read_bytes()
    with pytest.raises(TypeError, match=r"\[1\] of type list in column 'count'"):
        tables.write([Row("b", [1])], tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == before
    assert os.listdir(tmp_path) == ["t.csv"]


def test_failing_replacement_leaves_nothing_else(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(OSError):
        tables.write([Row("a", 1)], tmp_path / "t.csv")
    assert os.listdir(tmp_path) == ["t.csv"]


def test_rows_of_two_types_are_refused(tmp_path):
    other = dataclasses.make_dataclass("Other", ["name"])
    with pytest.raises(TypeError, match="one type, got Other, Row"):
        tables.write([Row("a", 1), other("b")], tmp_path / "t.csv")


def test_ragged_file_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(ValueError, match="t.csv' is not a table"):
        tables.read(tmp_path / "t.csv")
