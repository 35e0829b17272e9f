"""The output folder: what it holds, and whose it is."""

import dataclasses
import errno
import json
import os
import shutil
import threading
import types

import matplotlib.image
import pandas
import pytest

from tflottery.experiments import instability
from tflottery.experiments.instability import Config, Point, Row
from tflottery.store import locks
from tflottery.studies import output as output_module
from tflottery.studies.output import Extent, Output, OutputError
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


NOTHING = {"instability": [], "interpolation": [], "mask_layers": []}


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
    return NOTHING | {"instability": [pair], "interpolation": points}


def test_a_tilde_is_the_home_folder(study, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Output(instability, study(), folder="~/out")
    made.claim()
    assert (tmp_path / "out" / "config.json").exists()


TABLES = ("instability.csv", "interpolation.csv", "mask_layers.csv")
WHOLE, PART = Extent(made=2, diverged=1, wanted=3), Extent(1, 1, 3)


def config(tmp_path):
    return json.loads((tmp_path / "out" / "config.json").read_text())


def test_the_tables_the_config_and_the_figure(output, study, tmp_path):
    made = output()
    made.claim()
    assert made.write(rows(study()), WHOLE)
    made.draw(made.frames())
    table = pandas.read_csv(tmp_path / "out" / "instability.csv")
    assert table.loc[0, "l2_distance"] == 2.5
    assert len(pandas.read_csv(tmp_path / "out" / "interpolation.csv")) == 3
    image = matplotlib.image.imread(tmp_path / "out" / "figure.png")
    assert image.shape[0] > 200 and image.shape[1] > 600
    assert image.std() > 0.01


@pytest.mark.slow
def test_a_style_of_the_users_does_not_show(output, study, tmp_path):
    made = output()
    made.claim()
    made.write(rows(study()), WHOLE)
    made.draw(made.frames())
    plain = (tmp_path / "out" / "figure.png").read_bytes()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        made.draw(made.frames())
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "out" / "figure.png").read_bytes() == plain


def test_an_experiment_need_not_have_a_figure(study, tmp_path):
    module = types.SimpleNamespace(
        __name__="tflottery.experiments.bare", TABLES=instability.TABLES
    )
    made = Output(module, study(), folder=str(tmp_path / "out"))
    made.claim()
    made.write(rows(study()), WHOLE)
    made.draw(made.frames())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"config.json", *TABLES}


def test_tables_without_rows_keep_their_columns(output, tmp_path):
    made = output()
    made.claim()
    made.write(NOTHING, WHOLE)
    made.draw(made.frames())
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
        made.write(rows(study()), WHOLE)
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
    made.write(rows(study()), WHOLE)
    with pytest.raises(OSError):
        made.draw(made.frames())
    assert (tmp_path / "out" / "figure.png").read_bytes() == b"the figure before"


def test_a_folder_removed_meanwhile_is_made_again(output, study, tmp_path):
    made = output()
    made.claim()
    shutil.rmtree(tmp_path / "out")
    made.write(rows(study()), WHOLE)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", *TABLES} <= names


# Whose a folder is.


def test_of_two_studies_that_found_it_free_one_has_it(output, tmp_path):
    # Both commands have looked before either writes.
    one, other, same = output(), output(replicates=2), output()
    one.claim()
    same.claim()
    with pytest.raises(OutputError, match="replicates: 1 there, 2 asked for"):
        other.claim()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["config.json"]


def test_a_folder_that_another_has_by_now_is_not_written(output, study, tmp_path):
    one = output()
    one.claim()
    shutil.rmtree(tmp_path / "out")
    output(replicates=2).claim()
    with pytest.raises(OutputError, match="replicates: 2 there, 1 asked for"):
        one.write(rows(study()), WHOLE)
    with pytest.raises(OutputError, match="replicates: 2 there, 1 asked for"):
        one.draw({"instability": []})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["config.json"]


def test_a_folder_being_written_is_waited_for(output, tmp_path, monkeypatch):
    made = output()
    lock = locks.acquire(str(tmp_path / "out" / ".lock"))
    thread = threading.Timer(0.2, lock.release)
    thread.start()
    made.claim()
    assert not thread.is_alive()
    assert config(tmp_path)["experiment"] == "instability"
    monkeypatch.setattr(output_module, "_PATIENCE_SECONDS", 0.1)
    with (
        locks.acquire(str(tmp_path / "out" / ".lock")),
        pytest.raises(OutputError, match=f"being written by process {os.getpid()} on"),
    ):
        made.claim()


def test_a_file_system_without_locks_will_do(output, study, tmp_path, monkeypatch):
    def acquire(path):
        raise OSError(errno.ENOTSUP, "no locks")

    monkeypatch.setattr(locks, "acquire", acquire)
    made = output()
    made.claim()
    assert made.write(rows(study()), WHOLE)
    with pytest.raises(OutputError, match="replicates: 1 there"):
        output(replicates=2)


def test_a_log_alone_is_no_result_of_another(output, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.txt").write_text("a command whose folder was removed")
    output().claim()


# How whole tables are.


def test_config_json_says_how_whole_the_tables_are(output, study, tmp_path):
    made = output()
    made.claim()
    assert config(tmp_path)["complete"] is False
    made.write(rows(study()), PART)
    said = config(tmp_path)
    assert said["complete"] is False
    assert said["artifacts"] == {"made": 1, "diverged": 1, "wanted": 3, "absent": 0}
    made.write(rows(study()), WHOLE)
    said = config(tmp_path)
    assert said["complete"] is True
    assert said["artifacts"] == {"made": 2, "diverged": 1, "wanted": 3, "absent": 0}


def test_whole_tables_are_the_same_whatever_was_before(output, study, tmp_path):
    def contents():
        return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    made = output()
    made.claim()
    made.write(rows(study()), WHOLE)
    at_once = contents()
    shutil.rmtree(tmp_path / "out")
    made.claim()
    made.write(NOTHING, PART)
    assert contents() != at_once
    # A figure of an incomplete end.
    (tmp_path / "out" / "figure.png").write_bytes(b"of some rows")
    made.write(rows(study()), WHOLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instability, "figure", lambda *_: None)
        made.draw(made.frames())
    assert contents() == at_once


def test_whole_tables_stay_where_less_is_known(output, study, tmp_path):
    made = output()
    made.claim()
    made.write(rows(study()), WHOLE)
    again = output()
    again.claim()
    assert not again.write(NOTHING, PART)
    assert config(tmp_path)["complete"] is True
    assert len(made.frames()["instability"]) == 1


def test_tables_are_not_called_whole_while_they_are_written(
    output, study, tmp_path, monkeypatch
):
    made = output()
    made.claim()
    made.write(rows(study()), WHOLE)
    monkeypatch.setattr("tflottery.core.tables.write", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made.write(rows(study()), WHOLE)
    assert config(tmp_path)["complete"] is False


def test_a_folder_that_cannot_be_read_is_refused(output, tmp_path):
    """By the error that ends one command of a list, and not all of them."""
    (tmp_path / "out" / "config.json").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot be read: Is a directory. Name"):
        output()
