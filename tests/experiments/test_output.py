"""The output folder: what it holds, and whose it is."""

import dataclasses
import json
import shutil
import types

import matplotlib.image
import pandas
import pytest

from tflottery.experiments import instability
from tflottery.experiments.instability import Config, Point, Row
from tflottery.studies.output import Output
from tflottery.studies.study import resolve
from tflottery.training.distribution import Placement


@pytest.fixture
def study(facts):
    def make(**options):
        config = dataclasses.replace(Config.tiny(), **options)
        return resolve(config, facts, Placement())

    return make


@pytest.fixture
def output(study, tmp_path):
    def make(**options):
        return Output(instability, study(**options), folder=str(tmp_path / "out"))

    return make


def rows(study):
    """Returns tables of one pair, made up."""
    keys = study.columns() | {
        "replicate": 1,
        "data_order_a": 1,
        "data_order_b": 2,
        "rewind_iteration": 0,
        "iteration": 24,
        "network_a": "runs/a/00000024",
        "network_b": "runs/b/00000024",
        "mask": None,
    }
    values = {
        field.name: 0.1
        for field in dataclasses.fields(Row)
        if "instability" in field.name or "error" in field.name
    }
    points = [
        Point(**keys, alpha=alpha, train_error=0.1, test_error=1 / 3)
        for alpha in (0.0, 0.5, 1.0)
    ]
    pair = Row(**keys, l2_distance=2.5, **values)
    return {"instability": [pair], "interpolation": points}


def test_a_tilde_is_the_home_folder(study, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Output(instability, study(), folder="~/out")
    made.claim()
    assert (tmp_path / "out" / "config.json").exists()


def test_the_tables_the_config_and_the_figure(output, study, tmp_path):
    made = output()
    made.claim()
    made.write(rows(study()))
    table = pandas.read_csv(tmp_path / "out" / "instability.csv")
    assert table.loc[0, "l2_distance"] == 2.5
    assert len(pandas.read_csv(tmp_path / "out" / "interpolation.csv")) == 3
    image = matplotlib.image.imread(tmp_path / "out" / "figure.png")
    assert image.shape[0] > 200 and image.shape[1] > 600
    assert image.std() > 0.01


def test_a_style_of_the_users_does_not_show(output, study, tmp_path):
    made = output()
    made.claim()
    made.write(rows(study()))
    plain = (tmp_path / "out" / "figure.png").read_bytes()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        made.write(rows(study()))
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "out" / "figure.png").read_bytes() == plain


def test_an_experiment_need_not_have_a_figure(study, tmp_path):
    module = types.SimpleNamespace(
        __name__="tflottery.experiments.bare", TABLES=instability.TABLES
    )
    made = Output(module, study(), folder=str(tmp_path / "out"))
    made.claim()
    made.write(rows(study()))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"config.json", "instability.csv", "interpolation.csv"}


def test_tables_without_rows_keep_their_columns(output, tmp_path):
    made = output()
    made.claim()
    made.write({"instability": [], "interpolation": []})
    table = pandas.read_csv(tmp_path / "out" / "instability.csv")
    assert list(table.columns) == [field.name for field in dataclasses.fields(Row)]
    assert not (tmp_path / "out" / "figure.png").exists()


def test_config_json_says_what_decided_the_results(output, study, tmp_path):
    output(training_iterations="1ep").claim()
    said = json.loads((tmp_path / "out" / "config.json").read_text())
    assert said["experiment"] == "instability"
    assert said["decisions"]["training_iterations"] == 24
    assert said["decisions"]["rewind_iterations"] == [0, 8]
    assert said["decisions"]["config"] == study().config_hash
    assert said["recipe"]["optimizer"] == "adam"
    assert said["data"]["name"] == "digits"
    assert said["environment"]["packages"]["tensorflow"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["config.json"]


def test_looking_makes_nothing(output, tmp_path):
    output()
    assert not (tmp_path / "out").exists()


def test_the_same_study_may_write_again(output, study, tmp_path):
    for _ in range(2):
        made = output()
        made.claim()
        made.write(rows(study()))
    # The same decisions in other words.
    output(training_iterations="24it", rewind_iterations=("0", "8")).claim()


def test_another_study_may_not(output):
    output().claim()
    with pytest.raises(ValueError, match="rewind_iterations: .*0, 8.* there, .*0, 9"):
        output(rewind_iterations=(0, 9))
    with pytest.raises(ValueError, match="replicates: 1 there, 2 asked for"):
        output(replicates=2)


def test_another_experiment_may_not(output, study, tmp_path):
    output().claim()
    module = types.SimpleNamespace(__name__="tflottery.experiments.other", TABLES={})
    with pytest.raises(ValueError, match="'instability' there, 'other' asked for"):
        Output(module, study(), folder=str(tmp_path / "out"))


def test_an_empty_folder_and_hidden_files_are_free(output, tmp_path):
    (tmp_path / "out").mkdir()
    # A process that was killed while it wrote config.json leaves this.
    (tmp_path / "out" / ".config.json.0123abcd").write_text('{"experi')
    output().claim()


@pytest.mark.parametrize("text", ["", '{"experiment": "inst', "[]", "null"])
def test_a_config_json_that_is_none_is_refused(output, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text(text)
    with pytest.raises(ValueError, match="out/config.json' is not a config.json"):
        output()


def test_config_json_is_there_whole_or_not(output, tmp_path, monkeypatch):
    made = output()
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made.claim()
    assert not (tmp_path / "out" / "config.json").exists()
    output()


def test_a_figure_cut_short_leaves_the_one_before(output, study, tmp_path, monkeypatch):
    class Drawing:
        def savefig(self, file, **options):
            file.write(b"half a figure")
            raise OSError("No space left on device")

    made = output()
    made.claim()
    (tmp_path / "out" / "figure.png").write_bytes(b"the figure before")
    monkeypatch.setattr(instability, "figure", lambda *_: Drawing())
    with pytest.raises(OSError):
        made.write(rows(study()))
    assert (tmp_path / "out" / "figure.png").read_bytes() == b"the figure before"


def test_a_folder_removed_meanwhile_is_made_again(output, study, tmp_path):
    made = output()
    made.claim()
    shutil.rmtree(tmp_path / "out")
    made.write(rows(study()))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "instability.csv", "interpolation.csv"} <= names
