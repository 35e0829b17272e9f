"""The small table at the end of a command."""

import types

import pandas
import pytest

from tflottery.studies import answers
from tflottery.studies.answers import Answer


def networks(*rows):
    """Returns a table of networks: kind, level, k, test error, matching, diverged."""
    columns = ["subnetwork", "level", "rewind_iteration", "test_error", "matching"]
    frame = pandas.DataFrame(rows, columns=[*columns, "diverged_iteration"])
    train_error = frame["diverged_iteration"].isna().map({True: 0.5, False: None})
    return frame.assign(density=0.8 ** frame["level"], train_error=train_error)


def lines_of(answer):
    module = types.SimpleNamespace(answer=lambda tables: answer)
    return answers.text(module, {}).splitlines()


def test_a_table_is_thinned_evenly_and_says_so():
    rows = [(str(number), "x") for number in range(31)]
    lines = lines_of(Answer("title", ("number", "letter"), rows))
    assert lines[0] == "title"
    assert lines[-1] == "(16 of 31 rows)"
    shown = [line.split()[0] for line in lines[3:-1]]
    assert shown == [str(number) for number in range(0, 31, 2)]


def test_columns_without_a_cell_are_left_out():
    rows = [("a", "", "1"), ("b", "", "")]
    lines = lines_of(Answer("title", ("name", "nothing", "number"), rows))
    assert lines[1].split() == ["name", "number"]
    assert [line.split() for line in lines[3:]] == [["a", "1"], ["b"]]


def test_brackets_are_no_markup():
    rows = [("[red]x[/red]", ":smile:")]
    assert "[red]x[/red]   :smile:" in lines_of(Answer("title", ("a", "b"), rows))[3]


@pytest.mark.parametrize("answer", [None, Answer("title", ("name",), [])])
def test_without_rows_there_is_no_answer(answer):
    assert lines_of(answer) == []


@pytest.mark.parametrize(
    ("values", "text"),
    [([], ""), ([None], ""), ([0.123, None], "12.3"), ([0.1, 0.3], "20.0 ± 14.1")],
)
def test_means_are_of_what_is_there(values, text):
    series = pandas.Series(values, dtype=float)
    assert answers.mean_and_std(series, scale=100) == text


def test_accuracies_say_what_matches_and_what_diverged():
    table = networks(
        ("imp", 1, 0, 0.1, True, None),
        ("imp", 1, 0, 0.3, True, None),
        ("imp", 2, 0, 0.1, True, None),
        ("imp", 2, 0, 0.3, False, None),
        ("imp", 3, 0, None, None, 7),
    )
    found = [answers.accuracy(own) for _, own in table.groupby("level")]
    assert found == ["80.0 ± 14.1*", "80.0 ± 14.1", "diverged"]
    assert answers.matching(table) == "3 of 4"


def test_an_experiment_without_an_answer_gets_accuracy_against_density():
    table = networks(
        ("dense", 0, 0, 0.1, None, None),
        *(("imp", level, 0, 0.1, True, None) for level in range(1, 9)),
        ("imp", 8, 500, 0.2, False, None),
    )
    module = types.SimpleNamespace()
    lines = answers.text(module, {"other": table[["level"]], "own": table}).splitlines()
    assert lines[0].startswith("Accuracy on test images, in % (mean ± std")
    # Five of eight densities, the first and the last among them.
    assert lines[1].split() == "subnetwork 100% 80% 51.2% 32.8% 26.2% 16.8%".split()
    assert lines[3].split() == ["dense,", "k", "=", "0", "90.0"]
    assert lines[4].split() == ["imp,", "k", "=", "0", *(5 * ["90.0*"])]
    assert lines[5].split() == ["imp,", "k", "=", "500", "80.0"]
    assert answers.text(module, {"other": table[:0]}) == ""


def test_tables_of_their_own_are_shown_as_they_are():
    table = pandas.DataFrame(
        {
            "model": ["lenet"] * 20,
            "replicate": [1, 2] * 10,
            "iteration": range(20),
            "error": [0.25, None] * 10,
        }
    )
    tables = {"empty": table[:0], "along": table}
    lines = answers.text(types.SimpleNamespace(), tables).splitlines()
    assert lines[0] == "along.csv"
    assert lines[1].split() == ["replicate", "iteration", "error"]
    assert lines[3].split() == ["1", "0", "0.25"]
    assert lines[-1] == "(16 of 20 rows)"


def test_without_test_images_training_images_are_told_of():
    table = networks(("imp", 1, 0, None, None, None))
    assert answers.accuracy(table) == "50.0"
    assert answers.accuracy_title(table).startswith("Accuracy on train images")


def test_densities_that_read_the_same_share_a_column():
    networks = pandas.DataFrame(
        {
            "depth": [1, 1, 3, 3],
            "level": [1, 2, 1, 2],
            "density": [0.399972, 0.16, 0.399999, 0.160002],
            "test_error": [0.1, 0.2, 0.3, 0.4],
            "train_error": None,
            "matching": None,
            "diverged_iteration": None,
        }
    )
    found = answers.accuracy_by_density(
        networks, by=["depth"], label="first {}".format, name="network"
    )
    assert list(found.columns) == ["network", "100%", "40%", "16%"]
    assert list(found.rows) == [
        ("first 1", "", "90.0", "80.0"),
        ("first 3", "", "70.0", "60.0"),
    ]


def test_it_is_text_in_a_notebook_too(monkeypatch):
    answer = Answer("title", ("name", "number"), [("a", "1"), ("b", "2")])
    told = lines_of(answer)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert lines_of(answer) == told and len(told) == 5
