"""Results of several commands load into one DataFrame, or say why not."""

import dataclasses
import math

import pandas
import pytest

from tflottery import results
from tflottery.core import table_files, tables


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


def test_folder_stands_for_the_tables_below_it(folder):
    for command in ("a", "b"):
        (folder / command / "interpolation.csv").unlink()
    # Hidden files are drafts of a process that was killed.
    (folder / "b" / ".instability.csv").write_text("config,replicate\nhalf")
    (folder / ".old").mkdir()
    (folder / ".old" / "instability.csv").write_text("config,replicate\nold,1\n")
    assert configs(results.load(folder)) == ["a", "a", "b", "b"]
    assert configs(results.load(folder.parent, folder / "a")) == ["a", "a", "b", "b"]
    (folder / "a" / "deeper").mkdir()
    tables.write([Row("c", 1)], folder / "a" / "deeper" / "accuracy.csv")
    assert configs(results.load(folder, table="accuracy")) == ["c"]
    assert configs(results.load(folder, table="instability")) == list("aabb")
    with pytest.raises(ValueError, match="2 different tables.*deeper/accuracy.csv"):
        results.load(folder)


def test_a_link_to_a_folder_above_is_not_gone_into(folder):
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "elsewhere").symlink_to(folder / "b")
    found = [
        path.removeprefix(f"{folder}/") for path in table_files.find([str(folder)])
    ]
    assert found == [
        f"{name}/{table}.csv"
        for name in ("a/elsewhere", "a", "b")
        for table in ("instability", "interpolation")
    ]


@pytest.mark.parametrize("name", ["[a]", "a*", "a?[!b]", "["])
def test_name_that_exists_is_no_pattern(folder, name, monkeypatch):
    odd = folder / name
    (folder / "a").rename(odd)
    # What the name would match as a pattern.
    (folder / "b").rename(folder / "a")
    monkeypatch.chdir(folder)
    for place in (odd, f"./{name}", odd / "instability.csv", f"{odd}/*"):
        frame = results.load(place, table="instability")
        assert configs(frame) == ["a", "a"], place
    (folder.parent / "[out]").mkdir()
    odd.rename(folder.parent / "[out]" / "a")
    found = results.load(f"{folder.parent}/[out]/[a-z]/instability.csv")
    assert configs(found) == ["a", "a"]


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    for source in ("~/a/instability.csv", "~/[a]/instability.csv"):
        assert configs(results.load(source)) == ["a", "a"]


def test_file_named_twice_is_read_once(folder):
    frame = results.load(f"{folder}/*/instability.csv", folder / "a/instability.csv")
    assert configs(frame) == ["a", "a", "b", "b"]


@pytest.mark.parametrize("row_type", [None, Row])
@pytest.mark.parametrize("empty", ["a", "b"])
def test_table_without_rows_adds_nothing(folder, row_type, empty):
    tables.write([], folder / empty / "instability.csv", row_type=row_type)
    frame = results.load(f"{folder}/*", table="instability")
    assert configs(frame) == ["b", "b"] if empty == "a" else ["a", "a"]
    # Nor does it make text of numbers.
    assert frame["replicate"].dtype.kind == "i"


def test_tables_without_any_row_keep_their_columns(folder):
    for command in ("a", "b"):
        tables.write([], folder / command / "instability.csv", row_type=Row)
    frame = results.load(f"{folder}/*", table="instability")
    assert list(frame) == ["config", "replicate"] and not len(frame)


def test_several_tables_are_refused(folder):
    with pytest.raises(ValueError, match="2 different tables.*table='instability'"):
        results.load(folder / "a")


@pytest.mark.parametrize(
    ("source", "table", "fact"),
    [
        ("c", None, "nothing of that name"),
        ("*/accuracy.csv", None, "nothing of that name"),
        ("empty", None, "no CSV file in it"),
        ("a", "accuracy", "no table 'accuracy', only instability, interpolation"),
    ],
)
def test_what_is_not_there_is_named(folder, source, table, fact):
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=fact):
        results.load(f"{folder}/{source}", table=table)


def test_no_source(folder):
    with pytest.raises(ValueError, match="No source"):
        results.load()


def test_different_columns_are_said_from_both_sides(folder):
    (folder / "b" / "instability.csv").write_text("config,seed\nb,1\n")
    with pytest.raises(ValueError, match=r"lacks \['replicate'\] and adds \['seed'\]"):
        results.load(f"{folder}/*/instability.csv")


@pytest.mark.parametrize("names", ["older newer", "newer older"])
def test_columns_that_only_newer_tables_have(tmp_path, names):
    texts = {
        "newer": "task,replicate,copies,error\nrotation,1,3,0.5\n",
        "older": "replicate,error\n1,0.25\n2,0.75\n",
    }
    for name in names.split():
        (tmp_path / name).mkdir()
        (tmp_path / name / "accuracy.csv").write_text(texts[name])
    frame = results.load([tmp_path / name for name in names.split()])
    assert list(frame) == ["task", "replicate", "copies", "error"]
    old = frame[frame["error"] != 0.5]
    # What the tables of earlier versions are of.
    assert list(old["task"]) == ["labels", "labels"]
    assert old["copies"].isna().all()
    # A whole number stays an option, by which settings are told apart.
    found = results.summary(frame, of="error").set_index("task")
    assert dict(found["error_mean"]) == {"labels": 0.5, "rotation": 0.5}
    assert found.loc["rotation", "copies"] == 3


def test_a_third_table_with_a_column_of_its_own_is_refused(tmp_path):
    for name, column in (("a", ""), ("b", ",copies"), ("c", ",seed")):
        (tmp_path / name).mkdir()
        text = f"replicate{column}\n" + ("1,2\n" if column else "1\n")
        (tmp_path / name / "accuracy.csv").write_text(text)
    with pytest.raises(ValueError, match=r"lacks \['copies'\] and adds \['seed'\]"):
        results.load(tmp_path)


SETTING = {"model": "lenet", "dataset": None, "level": 0, "density": 1.0}


def accuracies(*rows):
    """Returns a table of networks: dictionaries of what differs from `SETTING`."""
    return pandas.DataFrame([SETTING | row for row in rows])


def test_summary_by_hand():
    table = accuracies(
        {"level": 1, "density": 0.8, "replicate": 1, "test_error": 0.5},
        {"level": 0, "density": 1.0, "replicate": 1, "test_error": 0.25},
        {"level": 1, "density": 0.8, "replicate": 2, "test_error": 0.75},
        {"level": 0, "density": 1.0, "replicate": 2, "test_error": None},
    ).assign(train_error=0.0, diverged_iteration=[None, None, None, 7])
    frame = results.summary(table, of=["test_error", "train_error"])
    assert list(frame) == [
        "level",
        "density",
        *(f"test_error_{name}" for name in ("mean", "std", "count")),
        *(f"train_error_{name}" for name in ("mean", "std", "count")),
    ]
    assert list(frame.index) == [0, 1]
    assert list(frame["level"]) == [1, 0] and list(frame["density"]) == [0.8, 1.0]
    assert list(frame["test_error_mean"]) == [0.625, 0.25]
    assert frame["test_error_std"][0] == pytest.approx(0.25 / 2**0.5)
    assert math.isnan(frame["test_error_std"][1])
    assert list(frame["test_error_count"]) == [2, 1]
    assert list(frame["train_error_count"]) == [2, 2]


def test_summary_pools_no_unlike_rows():
    """Whatever option differs, the row stands apart; repetitions never do."""
    options = {"model": "vgg", "dataset": "mnist", "level": 2, "density": 0.5}
    options |= {"config": "b", "subnetwork": "imp", "axis_density": 0.5, "alpha": 0.5}
    options |= {"rewind_iteration": 9, "unheard_of": "other", "sparse": True}
    first = {name: SETTING.get(name, type(value)()) for name, value in options.items()}
    first |= {"data_order_a": 1, "data_order_b": 2, "network_a": "x", "mask": "m"}
    rows = [first | {"replicate": number, "test_error": 0.0} for number in (1, 2)]
    rows[1] |= {"data_order_b": 3, "network_a": "y", "mask": "n"}
    one = results.summary(accuracies(*rows), of="test_error")
    assert len(one) == 1 and one["test_error_count"][0] == 2 and "model" in one
    for name, value in options.items():
        other = rows[0] | {name: value, "test_error": 1.0}
        frame = results.summary(accuracies(*rows, other), of="test_error")
        assert list(frame[name].astype(object)) == [
            first[name] or frame[name][0],
            value,
        ]
        assert list(frame["test_error_mean"]) == [0, 1]


def test_summary_counts_a_row_of_two_commands_once():
    row = {"replicate": 1, "test_error": 0.5}
    # Each command compares with the networks it has.
    table = accuracies(row | {"matching": True}, row | {"matching": None})
    assert results.summary(table, of="test_error")["test_error_count"][0] == 1


def test_summary_tells_numbers_apart_that_are_missing_in_some_rows():
    """How many convolutions are pruned; None stands for all of them."""
    table = pandas.DataFrame(
        {
            "first_convolutions": [3, 3, None, None],
            "replicate": [1, 2, 1, 2],
            "test_error": [0.1, 0.3, 0.5, 0.5],
        }
    )
    found = results.summary(table, of="test_error")
    assert list(found["first_convolutions"].fillna(0)) == [3, 0]
    assert list(found["test_error_mean"]) == pytest.approx([0.2, 0.5])


def test_summary_of_true_and_false_is_the_fraction_that_is_true():
    rows = [{"replicate": number, "matching": number > 1} for number in (1, 2, 3, 4)]
    table = accuracies(*rows, {"replicate": 5, "matching": None})
    frame = results.summary(table, of="matching")
    assert (frame["matching_mean"][0], frame["matching_count"][0]) == (0.75, 4)


def test_summary_refuses_what_it_would_have_to_pool():
    rows = [{"replicate": 1, "scale": s, "test_error": s} for s in (0.5, 1.5)]
    with pytest.raises(
        ValueError, match=r"several .*replicate=1 .*test_error.*0\.5.*1\.5"
    ):
        results.summary(accuracies(*rows), of="test_error")
    with pytest.raises(ValueError, match="no column 'error', only model, .*test_error"):
        results.summary(accuracies(*rows), of=["error"])
    with pytest.raises(ValueError, match="'model' is not one of numbers: .*lenet"):
        results.summary(accuracies(*rows), of=["model"])


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ('{"complete": false, "artifacts": {"made": 2, "wanted": 5}}', "2 of 5 art"),
        ('{"complete": false}', "a part of its artifacts"),
    ],
)
def test_incomplete_tables_are_loaded_with_a_warning(folder, said, part):
    (folder / "a" / "config.json").write_text(said)
    with pytest.warns(UserWarning, match=f"out/a' are incomplete, made from {part}"):
        frame = results.load(f"{folder}/*", table="instability")
    assert configs(frame) == ["a", "a", "b", "b"]


@pytest.mark.parametrize("said", ['{"complete": true}', "{}", "[]", "half a {"])
def test_no_other_tables_are_warned_of(folder, said, recwarn):
    (folder / "a" / "config.json").write_text(said)
    results.load(folder / "a", table="instability")
    assert not recwarn
