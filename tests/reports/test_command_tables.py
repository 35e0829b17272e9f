"""Damaged tables of commands: what counts as such; all reports say the same of them."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pandas
import pytest

import tflottery
from tflottery.figures import style
from tflottery.reports import claim_tables, command_tables, figure
from tflottery.reports import html as page

ROOT = pathlib.Path(tflottery.__file__).parents[1]
LENET = ROOT / "experiments" / "linear_mode_connectivity" / "lenet" / "instability"


@pytest.fixture
def results(tmp_path):
    """Returns a folder with the results of two commands, `good` and `damaged`."""
    found = pandas.read_csv(LENET / "instability.csv", dtype={"config": str}).head(9)
    for name in ("good", "damaged"):
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        shutil.copy(LENET / "config.json", folder)
        found.to_csv(folder / "instability.csv", index=False)
    return tmp_path / "results"


def with_value(column, text):
    def change(path):
        table = pandas.read_csv(path, dtype=str, keep_default_na=False)
        table.loc[1, column] = text
        table.to_csv(path, index=False)

    return change


def without(column):
    def change(path):
        pandas.read_csv(path, dtype=str).drop(columns=column).to_csv(path, index=False)

    return change


def dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


DAMAGE = {
    "cut off": (
        lambda path: os.truncate(path, path.stat().st_size - 40),
        "line 10 has .* values, not 55",
    ),
    "binary": (lambda path: path.write_bytes(b"\x00\xff" * 99), "it is not text"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty, without"),
    "no header": (
        lambda path: path.write_text(path.read_text().partition("\n")[2]),
        "line 1 names a column '24000'",
    ),
    "link to nothing": (dangling, "cannot be read: No such file"),
    "no column": (without("replicate"), "lacks the columns replicate"),
    "no column with a default": (without("subnetwork"), "lacks the columns subnetwork"),
    "word": (with_value("l2_distance", "oops"), "'oops' in column l2_distance, line 3"),
    "word of all": (with_value("test_error_a", "x"), "'x' in column test_error_a"),
    "no number": (with_value("replicate", ""), "nothing in column replicate, line 3"),
    "no model": (with_value("model", ""), "nothing in column model, line 3"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_is_refused_with_its_place(kind, results):
    damage, told = DAMAGE[kind]
    path = results / "damaged" / "instability.csv"
    damage(path)
    rows = command_tables.row_types(str(path), {"experiment": "instability"})
    with pytest.raises(ValueError, match=f"damaged/instability.csv' .*{told}"):
        command_tables.read(str(path), rows)


def test_numbers_that_may_be_missing_are_no_damage(results):
    path = results / "damaged" / "instability.csv"
    with_value("test_instability", "")(path)
    rows = command_tables.row_types(str(path), {})
    table = command_tables.read(str(path), rows)
    assert table["test_instability"].isna().sum() == 1


def test_what_is_no_truth_value_is_refused(results):
    path = results / "accuracy.csv"
    path.write_text("matching\ntrue\nperhaps\n")
    rows = command_tables.row_types(str(path), {})
    with pytest.raises(ValueError, match="'perhaps' in column matching, .*true or fal"):
        command_tables.read(str(path), rows)


def test_all_reports_leave_out_the_same_table_and_go_on(results, monkeypatch):
    """And say the same of it; the page at its top and in the part of its command."""
    for draw in ("svg", "png"):
        monkeypatch.setattr(style, draw, lambda draw: b"<svg/>")
    path = results / "damaged" / "instability.csv"
    DAMAGE["word"][0](path)
    _, of_claims = claim_tables.load([str(results)])
    of_figure = figure.save(
        "instability", [str(results)], output=str(results / "figure.png")
    )
    text, of_page = page.page([str(results)])
    assert of_claims == of_figure == of_page
    [why] = of_page.values()
    assert str(path) in why and "line 3: expected numbers" in why
    assert text.index("Left out of this page") < text.index("Claims of the papers")
    assert text.count("line 3: expected numbers") == 2
    assert "instability: 9 rows" in text and "LMC-F2.1" in text


def test_where_all_is_damaged_nothing_is_drawn_or_asked(results):
    for folder in results.iterdir():
        (folder / "instability.csv").write_bytes(b"")
    with pytest.raises(ValueError, match="damaged/instability.csv' is not a table"):
        claim_tables.load([str(results)])
    output = results / "figure.png"
    with pytest.raises(ValueError, match="good/instability.csv' is not a table"):
        figure.save("instability", [str(results)], output=str(output))
    assert not output.exists()


@pytest.mark.parametrize(
    "written", ["{", "[]", '{"experiment": "instability", "recipe": "mine"}']
)
def test_the_page_names_results_that_it_cannot_tell(written, results, monkeypatch):
    monkeypatch.setattr(style, "svg", lambda draw: b"<svg/>")
    (results / "damaged" / "config.json").write_text(written)
    text, left_out = page.page([str(results)])
    path = str(results / "damaged" / "config.json")
    assert left_out.keys() == {path} and "cannot be read" in left_out[path]
    assert text.index("Left out of this page") < text.index("Claims of the papers")
    assert 'id="damaged"' not in text


def test_tables_that_no_config_tells_of_are_told(results, monkeypatch, capsys):
    monkeypatch.setattr(style, "svg", lambda draw: b"<svg/>")
    (results / "damaged" / "config.json").unlink()
    text, left_out = page.page([str(results)])
    assert not left_out and 'id="damaged"' not in text
    assert "damaged is left out: no config.json" in capsys.readouterr().err


@pytest.mark.slow
def test_the_exit_code_says_that_a_table_is_left_out(results):
    DAMAGE["cut off"][0](results / "damaged" / "instability.csv")
    done = subprocess.run(
        [sys.executable, "-m", "tflottery.reports.claims", str(results)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1 and "LMC-F2.1" in done.stdout
    reason, remedy = done.stderr.splitlines()
    assert reason.startswith("left out: ") and "line 10 has" in reason
    assert remedy.startswith("The same command writes the tables of its folder anew")


def test_a_command_is_shown_without_what_lies_in_folders_below(results, monkeypatch):
    monkeypatch.setattr(style, "svg", lambda draw: b"<svg/>")
    below = results / "good" / "below"
    shutil.move(results / "damaged", below)
    with_value("test_instability", "0.5")(below / "instability.csv")
    text, _ = page.page([str(results)])
    assert text.count("instability: 9 rows") == 2


def test_a_page_shows_experiments_without_a_figure(tmp_path):
    record = LENET.parents[1] / "laptop_table1"
    folder = shutil.copytree(record, tmp_path / "laptop_table1")
    assert json.loads((folder / "config.json").read_text())["experiment"] == "table1"
    text, left_out = page.page([str(folder)])
    assert not left_out and "<img" not in text and "table1: " in text
