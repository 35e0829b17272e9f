"""--tensorboard: the curves of trainings and of tables, as TensorFlow reads them."""

import dataclasses
import io
import pathlib
import re
import types

import pytest
import tensorflow as tf
from rich.console import Console

from tflottery.execution.jobs import Advance
from tflottery.execution.log import Log
from tflottery.execution.plan import Step
from tflottery.experiments import instability, lottery
from tflottery.studies.session import Machine
from tflottery.studies.tensorboard import Board, points


def curves(folder):
    """Returns the curves below a folder: by its name and tag, values by step."""
    found = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                name = path.parent.relative_to(folder).as_posix()
                curve = found.setdefault((name, value.tag), {})
                # A later step follows an earlier one, in the order of the files.
                assert event.step > max(curve, default=-1)
                curve[event.step] = value.simple_value
    return found


def test_trainings_and_tables_are_shown(execute, tmp_path):
    folder = tmp_path / "board"
    ended = execute(tensorboard=str(folder))
    assert ended.code == 0
    found = curves(folder)
    # A trunk to 8, two copies from 0 and two from 8.
    losses = {name: one for (name, tag), one in found.items() if tag == "loss"}
    assert len(losses) == 5
    assert all(name.startswith("training/lenet-") for name in losses)
    assert sorted(max(one) for one in losses.values()) == [8, 24, 24, 24, 24]
    rates = next(one for (_, tag), one in found.items() if tag == "learning_rate")
    assert list(rates.values()) == [pytest.approx(0.03)] * len(rates)
    # Along k, as all pairs are compared at the end.
    table = ended.table().set_index("rewind_iteration")
    [name] = {name for name, tag in found if tag == "test_instability"}
    configuration = r"lenet-digits-standard-\w{8}"
    assert re.fullmatch(rf"instability/{configuration}/instability/all", name)
    measured = found[name, "test_instability"]
    assert measured == {
        k: pytest.approx(value) for k, value in table["test_instability"].items()
    }
    # Thirty points of a line are no curve over iterations.
    assert not any("/interpolation/" in name for name, _ in found)
    # Known again, it is shown once.
    assert execute(tensorboard=str(folder)).csvs == ended.csvs
    assert curves(folder) == found


def test_pruned_networks_are_shown_along_levels(tiny, study_of):
    table = tiny(lottery).table("accuracy")
    names = [field.name for field in dataclasses.fields(lottery.TABLES["accuracy"])]
    rows = [
        lottery.TABLES["accuracy"](**{name: row[name] for name in names})
        for row in table.astype(object).where(table.notna(), None).to_dict("records")
    ]
    found = points(rows)
    setting = "subnetwork=imp,replicate=1,rewind_iteration=8,data_order=1"
    shown = {step: values for name, step, values in found if name == setting}
    assert sorted(shown) == [1, 2]
    assert shown[1]["density"] == pytest.approx(0.8, abs=1e-3)
    assert {"test_error", "train_loss"} <= shown[2].keys()


@dataclasses.dataclass
class Best:
    """A row of a table."""

    replicate: int
    level: int
    test_error: float


def board(folder, screen=None):
    return Board(str(folder), log=Log(Console(file=screen or io.StringIO(), width=500)))


def test_a_training_that_begins_again_is_one_curve(tmp_path):
    network = types.SimpleNamespace(model="lenet")
    run = types.SimpleNamespace(network=network, key="0123456789")
    step = Step(Advance(run, ()), frozenset(), (), num_iterations=90, flops=1.0)
    # Killed at 70, the training goes on from a checkpoint at 40 in another process.
    for iterations in ((20, 50, 70), (45, 60, 75), (90,)):
        showing = board(tmp_path)
        for iteration in iterations:
            showing.show_training(step, iteration, {"loss": iteration / 100})
    found = curves(tmp_path)["training/lenet-01234567", "loss"]
    assert list(found) == [20, 50, 70, 75, 90]


def test_what_tables_said_before_is_not_shown_beside_what_they_say(tmp_path):
    first = [Best(1, 1, 0.25), Best(1, 2, 0.5)]
    whole = [*first, Best(2, 1, 0.125), Best(2, 2, 0.75)]
    showing = board(tmp_path)
    showing.show_tables({"best": first}, of="lottery/a")
    assert curves(tmp_path) == {("lottery/a/best/all", "test_error"): {1: 0.25, 2: 0.5}}
    # In the same process or in another one, and beside other commands.
    for now in (showing, board(tmp_path)):
        now.show_tables({"best": whole}, of="lottery/a")
        now.show_tables({"best": first[:1]}, of="lottery/b")
        assert curves(tmp_path) == {
            ("lottery/a/best/replicate=1", "test_error"): {1: 0.25, 2: 0.5},
            ("lottery/a/best/replicate=2", "test_error"): {1: 0.125, 2: 0.75},
            ("lottery/b/best/all", "test_error"): {0: 0.25},
        }
    whole[0].test_error = 0.0
    showing.show_tables({"best": whole}, of="lottery/a")
    assert curves(tmp_path)["lottery/a/best/replicate=1", "test_error"][1] == 0.0


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path):
    (tmp_path / "file").write_text("")
    screen = io.StringIO()
    showing = board(tmp_path / "file", screen)
    for _ in range(2):
        showing.show_tables({"best": [Best(1, 0, 0.5), Best(1, 1, 0.25)]}, of="a/b")
    assert screen.getvalue().count("cannot be written") == 1


def test_a_bucket_is_refused():
    with pytest.raises(ValueError, match="--tensorboard='gs://.*' has to be a folder"):
        Machine(tensorboard="gs://bucket/board").validate()
    with pytest.raises(ValueError, match="--tensorboard='.*' is no folder. Name an"):
        Machine(tensorboard=__file__).validate()
    assert Machine(tensorboard=str(pathlib.Path("board"))).validate() is None


def test_instability_in_the_course_of_training_is_along_iterations():
    row = instability.TABLES["instability"]
    shared = {
        field.name: None
        for field in dataclasses.fields(row)
        if field.default is dataclasses.MISSING
    }
    rows = [
        row(
            **shared
            | {
                "rewind_iteration": k,
                "iteration": iteration,
                "replicate": 1,
                "test_instability": 0.5,
            }
        )
        for k in (0, 8)
        for iteration in (10, 20)
    ]
    found = [(name, step) for name, step, _ in points(rows)]
    assert found == [
        ("rewind_iteration=0", 10),
        ("rewind_iteration=0", 20),
        ("rewind_iteration=8", 10),
        ("rewind_iteration=8", 20),
    ]
