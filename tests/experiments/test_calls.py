"""Experiments as functions: the results of the command, as data."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import matplotlib.figure
import pytest

import tflottery
import tflottery.plan.__main__  # noqa: F401 - the function stays what it is
from tflottery import results
from tflottery.experiments import instability, lottery
from tflottery.studies import calls

# Refused as --flags are, by their names, before a worker starts.
_WRONG = [
    ({"modle": "lenet"}, "'modle'. Did you mean: model"),
    ({"replicates": "x"}, "--replicates='x' has to be a whole number"),
    ({"replicates": 2.0}, "--replicates='2.0' has to be a whole number"),
    ({"replicates": 0}, "--replicates=0 has to be at least 1"),
    ({"levels": {1: 2}}, "levels={1: 2} is no option: expected a text, a number"),
    ({"rewind_iterations": [0, "q"]}, "--rewind_iterations: 'q' is not a duration"),
    ({"model": "lenot"}, "no model 'lenot'"),
    ({"executor": "remote"}, "no executor 'remote'"),
    ({"dry_run": True}, "call tflottery.plan instead"),
]


@pytest.fixture
def calls_here(runtime, monkeypatch, tmp_path):
    """Has calls work in this process, with networks that are compiled once for all."""
    monkeypatch.setattr("tflottery.training.runtime.Runtime", lambda **_: runtime)
    monkeypatch.setattr("tflottery.execution.rates.core_rate", lambda: 1e11)
    monkeypatch.chdir(tmp_path)


def _tiny(module):
    """Returns what `Config.tiny()` of an experiment is told beyond its defaults."""
    return {
        field.name: value
        for field in dataclasses.fields(module.Config)
        if (value := getattr(module.Config.tiny(), field.name)) != field.default
    }


@pytest.mark.usefixtures("calls_here")
def test_a_call_makes_what_the_command_makes(tiny, trainings, tmp_path, monkeypatch):
    command = tiny(lottery)
    assert command.code == 0
    trainings.clear()
    found = tflottery.run(
        "lottery",
        **_tiny(lottery),
        executor="inline",
        # As the command left it: the same keys need nothing more.
        store=command.folder.parent / "store",
        output_dir=tmp_path / "called",
    )
    assert trainings == []
    assert {path.name: path.read_bytes() for path in found.folder.glob("*.csv")} == (
        command.csvs
    )
    ours, theirs = (
        json.loads((folder / "config.json").read_text())
        for folder in (found.folder, command.folder)
    )
    assert ours["decisions"] == theirs["decisions"] and ours["complete"]
    assert found.tables.keys() == lottery.TABLES.keys()
    loaded = results.load(found.folder, table="accuracy")
    assert found.tables["accuracy"].equals(loaded)
    assert found.answer.startswith("Accuracy") and "best k" in found.answer
    assert repr(found).startswith(f"Tables in {tmp_path}/called: accuracy (")
    # What a notebook shows of a figure that is the value of a cell: here an empty one,
    # for to draw takes longer than all the rest.
    monkeypatch.setattr(lottery, "figure", lambda tables: matplotlib.figure.Figure())
    assert found.figure()._repr_png_().startswith(b"\x89PNG")


@pytest.mark.usefixtures("calls_here")
def test_the_plan_is_data(tmp_path):
    made = {"executor": "inline", "store": tmp_path / "store"}
    found = tflottery.plan("instability", **_tiny(instability), **made)
    assert found.num_iterations == found.jobs["num_iterations"].sum() == 88
    assert (found.num_runs, found.num_stored) == (5, 0)
    trained = found.jobs[found.jobs["kind"] == "train"]
    stretches = trained[["first_iteration", "last_iteration"]].to_numpy().tolist()
    assert sorted(stretches) == [[0, 8], *2 * [[0, 24]], *2 * [[8, 24]]]
    assert set(found.jobs["model"]) == {"lenet"}
    assert set(found.jobs["dataset"]) == {"digits"}
    low, high = found.seconds
    assert 0 < low < high
    assert "88 to make, 0 in the store" in repr(found)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("options", "told"), _WRONG, ids=lambda one: str(one)[:40])
def test_what_the_command_refuses_is_refused(options, told):
    with pytest.raises(ValueError) as error:
        tflottery.run("lottery", **options)
    assert told in str(error.value)


def test_an_experiment_that_is_not_there_is_refused():
    for name in ("lotery", "tflottery.results", "json"):
        with pytest.raises(ValueError, match=f"no experiment '{name}'. Known: effe"):
            tflottery.plan(name)


def test_what_a_command_line_says_can_be_said_in_python(tmp_path):
    path = tmp_path / "mine.flags"
    path.write_text("--levels=1-3\n--replicates=2\n")
    arguments = calls._arguments(
        {
            "flagfile": path,
            "rewind_iterations": (0, "5%"),
            "learning_rate": 0.1,
            "one_shot": True,
            "variant": None,
        }
    )
    config, machine = calls.program.options_of(lottery, arguments)
    assert config == lottery.Config(
        levels=("1-3",),
        replicates=2,
        rewind_iterations=("0", "5%"),
        learning_rate=0.1,
        one_shot=True,
    )
    assert machine == calls.session.Machine()


# A notebook's `__main__`, like this one's, is no file that workers could import.
_NOTEBOOK = """
import tensorflow as tf

tf.reduce_sum(tf.ones((2, 2)))

import tflottery

small = dict(model="lenet", dataset="digits", training_iterations=8, replicates=1)
small |= dict(levels="1", rewind_iterations=0, evaluation_examples=50)
try:
    tflottery.run("lottery", **small, executor="inline")
except RuntimeError as error:
    print("refused:", error)
found = tflottery.run("lottery", **small, workers=1)
print(type(found.figure()).__name__, len(found.tables["accuracy"]), tf.__name__)
"""


@pytest.mark.slow
def test_tensorflow_may_have_been_started_before(tmp_path):
    root = pathlib.Path(tflottery.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", _NOTEBOOK],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    refused, made = done.stdout.splitlines()
    # Results would be of other bits there.
    assert refused.startswith("refused: TensorFlow ")
    assert 'Leave executor="inline" out' in refused
    assert made == "Figure 4 tensorflow"
