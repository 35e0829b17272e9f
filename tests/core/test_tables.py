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


@pytest.mark.parametrize("hashes", [["01234567"], ["12e45678", "99e99999"]])
def test_a_hash_that_looks_like_a_number_is_none(tmp_path, hashes):
    lines = ["config,level,ticket_config", *(f"{one},1,{one}" for one in hashes)]
    lines += [f"{hashes[0]},0,", ""]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    found = tables.read(tmp_path / "t.csv")
    assert list(found["config"]) == [*hashes, hashes[0]]
    # Nothing is nothing there too.
    assert list(found["ticket_config"].dropna()) == hashes


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tables.write([Row("a", 1)], "~/t.csv")
    assert (tmp_path / "t.csv").exists()
    assert list(tables.read("~/t.csv")["name"]) == ["a"]


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


MERGED = """model,share
<<<<<<< HEAD
lenet,0.1
=======
lenet,0.2
>>>>>>> other
"""


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("a,b\n1,2\n1,2,3\n", r"line 3 has 3 values, not 2: '1,2,3'"),
        ("a,b\n1\n", "line 2 has 1 value, not 2: '1'"),
        ("a;b\n1;2\n", "line 1 names a column 'a;b'"),
        ("a\tb\n1\t2\n", r"line 1 names a column 'a\\tb'"),
        (MERGED, "line 2 has 1 value, not 2: '<<<<<<< HEAD'"),
        ("<<<<<<< HEAD\nmodel\n", "line 1 names a column '<<<<<<< HEAD'"),
        (",a\n0,1\n", "line 1 names a column ''"),
        ("1,2\n3,4\n", "line 1 names a column '1'"),
        ("a,b,a\n1,2,3\n", "line 1 names 'a' twice"),
        ("a,b\n1,0.25", "its last line has no end"),
        ('a,b\n1,"2\n', "its last line has no end"),
        ("\n", "line 1 names no columns"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, fact):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=f"t.csv' is not a table: {fact}"):
        tables.read(tmp_path / "t.csv")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match="t.csv' is not a table: .*utf-8"):
        tables.read(tmp_path / "t.csv")


def test_text_of_several_lines_and_lines_of_windows_are_read(tmp_path):
    tables.write([Row("one\ntwo", 1)], tmp_path / "t.csv")
    assert tables.read(tmp_path / "t.csv")["name"][0] == "one\ntwo"
    (tmp_path / "t.csv").write_bytes(b"a,b\r\n1,2\r\n\r\n")
    assert tables.read(tmp_path / "t.csv").to_dict("list") == {"a": [1], "b": [2]}
