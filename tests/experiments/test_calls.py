"""Experiments as functions: the results of the command, as data."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import matplotlib.figure
import numpy as np
import pytest

import tflottery
import tflottery.plan.__main__  # noqa: F401 - the function stays what it is
from tflottery import results
from tflottery.core import registry
from tflottery.experiments import instability, lottery
from tflottery.studies import calls

# Refused as --flags are, by their names, before a worker starts.
_WRONG = [
    ({"modle": "lenet"}, "no flag --modle. Did you mean --model?"),
    ({"replicates": "x"}, "--replicates='x' has to be a whole number"),
    ({"replicates": 2.0}, "--replicates='2.0' has to be a whole number"),
    ({"replicates": 0}, "--replicates=0 has to be at least 1"),
    ({"model": b"lenet"}, "model=b'lenet' is no option"),
    (
        {"flagfile": "nope.flags"},
        "--flagfile cannot be read: No such file or directory",
    ),
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
    path.write_text("--levels=1-3\n--replicates=5\n")
    arguments = calls._arguments(
        {
            # Whatever its place, a flag file says what nothing else does.
            "replicates": np.int64(2),
            "flagfile": path,
            "rewind_iterations": (0, "5%"),
            "learning_rate": 0.1,
            "one_shot": np.True_,
            "variant": None,
            "evaluation_examples": np.array(9),
        }
    )
    config, machine = calls.program.options_of(lottery, arguments)
    assert config == lottery.Config(
        levels=("1-3",),
        replicates=2,
        rewind_iterations=("0", "5%"),
        learning_rate=0.1,
        one_shot=True,
        evaluation_examples=9,
    )
    assert calls._arguments({"levels": np.arange(1, 4)}) == ["--levels=1,2,3"]
    assert machine == calls.session.Machine()


def test_what_a_notebook_registers_is_refused_where_workers_do_not_see_it(monkeypatch):
    monkeypatch.delattr("__main__.__file__", raising=False)
    images = np.zeros((4, 8, 8, 1), np.uint8)
    names = {"__name__": "__main__", "datasets": tflottery.datasets, "x": images}
    monkeypatch.setattr(registry.DATASETS, "_entries", {})
    exec(
        "examples = (x, [0, 1, 0, 1])\n"
        "datasets.register('of a cell', train=examples, test=examples)",
        names,
    )
    for call in (tflottery.run, tflottery.plan):
        with pytest.raises(ValueError, match="dataset 'of a cell' is registered here"):
            call("lottery", model="lenet", dataset="of a cell")


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
