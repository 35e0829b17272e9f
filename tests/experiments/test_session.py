"""From options to results: shared, the same every time, and nothing is lost."""

import dataclasses
import datetime
import errno
import json
import os
import shutil
import signal
import sys
import time
import types

import numpy as np
import pytest

from tflottery.components.interpolating import Line
from tflottery.components.runs import State
from tflottery.core import stopping
from tflottery.core.recipes import LABELS, Setting
from tflottery.core.registry import CRITERIA, MODELS
from tflottery.execution.executor import Executor
from tflottery.execution.results_reader import PartialReader
from tflottery.execution.run_index import divergence_address
from tflottery.experiments import instability, lottery
from tflottery.experiments.instability import Config
from tflottery.models.lenet import lenet
from tflottery.status.__main__ import status
from tflottery.store import claims, locks, staging
from tflottery.store.errors import StoreError
from tflottery.store.store import Store
from tflottery.studies import endings, planned_work, session, tabulation
from tflottery.studies.output import Output
from tflottery.studies.study import resolve
from tflottery.training.distribution import Placement
from tflottery.training.trainer import Trainer


class Killed(BaseException):
    """Stands for a process that ends at this moment."""


def files(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


def states(tmp_path):
    store = Store(tmp_path / "store")
    addresses = [one for one in store.addresses("runs") if one[-1].isdigit()]
    return [store.open(address) for address in addresses]


@pytest.fixture
def made(tiny, tmp_path):
    """Has the command run before, without a break: its store, and its tables."""
    assert tiny(instability).code == 0
    shutil.copytree(tiny(instability).folder.parent, tmp_path, dirs_exist_ok=True)


# What runs.


def test_a_file_is_no_folder_of_datasets(tmp_path):
    (tmp_path / "file").write_text("")
    machine = session.Machine(data_dir=str(tmp_path / "file"))
    with pytest.raises(ValueError, match="--data_dir=.*file' is a file"):
        machine.validate()


def test_a_command_makes_tables_config_and_figure(execute):
    ended = execute(figure=True)
    assert ended.code == 0
    assert files(ended.folder) == [
        "config.json",
        "figure.png",
        "instability.csv",
        "interpolation.csv",
        "log.txt",
        "mask_layers.csv",
    ]
    assert f"Results are in {ended.folder}" in ended.text
    # A trunk of 8, two copies of 24 and two of 16.
    assert "iterations  88 to make, 0 in the store" in ended.text


def test_a_command_at_work_can_be_seen(execute, monkeypatch, tmp_path):
    found = []
    executed = Executor.execute

    def seen(self, goals):
        now = datetime.datetime.now()
        found.append(status(str(tmp_path / "output"), num_lines=1, now=now))
        return executed(self, goals)

    monkeypatch.setattr(Executor, "execute", seen)
    ended = execute()
    assert f"state     running, process {os.getpid()} on" in found[0]
    now = datetime.datetime.now()
    after = status(str(ended.folder), num_lines=1, now=now)
    assert "state     done" in after and "Results are in" in after


def test_the_same_command_gives_the_same_bytes_and_trains_nothing(execute, trainings):
    first = execute()
    assert sum(last - begin for begin, last in trainings) == 88
    trainings.clear()
    again = execute()
    assert again.csvs == first.csvs
    assert trainings == []
    assert "0 to make, 88 in the store" in again.text


@pytest.mark.slow
def test_children_of_a_replicate_share_its_trunk(execute, trainings):
    execute(data_orders=3, replicates=2)
    # Stretches: a trunk to 8, three copies from 0 and three from 8, twice.
    assert sorted(trainings) == sorted(2 * ([(0, 8)] + 3 * [(0, 24)] + 3 * [(8, 24)]))


@pytest.mark.usefixtures("made")
def test_another_grid_trains_only_what_is_new(execute, trainings):
    ended = execute(rewind_iterations=(0, 8, 12), output="more")
    assert sorted(trainings) == [(8, 12), (12, 24), (12, 24)]
    assert "28 to make, 88 in the store" in ended.text


@pytest.mark.slow
def test_more_data_orders_train_only_the_new(execute, trainings):
    execute()
    trainings.clear()
    execute(data_orders=3, output="more")
    assert sorted(trainings) == [(0, 24), (8, 24)]


@pytest.mark.usefixtures("made")
def test_a_longer_training_makes_only_the_new_iterations(execute, trainings):
    ended = execute(training_iterations=30, output="longer")
    assert trainings == 4 * [(24, 30)]
    assert "24 to make, 88 in the store" in ended.text
    anew = execute(training_iterations=30, output="anew", store="anew")
    assert ended.csvs == anew.csvs


def test_measured_throughout_trains_no_more(execute, trainings):
    plain = execute(training_iterations=60, rewind_iterations=(0,), output="plain")
    count = sum(last - first for first, last in trainings)
    trainings.clear()
    all_along = execute(
        training_iterations=60,
        rewind_iterations=(0,),
        throughout=True,
        splits=("test", "train"),
        store="other",
    )
    assert sum(last - first for first, last in trainings) == count
    rows = all_along.table()
    # 1,437 images in batches of 60: epochs end after 24 and 48 iterations.
    assert list(rows["iteration"]) == [24, 48, 60]
    last = rows[rows["iteration"] == 60]
    assert last.reset_index(drop=True).equals(plain.table())
    trainings.clear()
    # The paper's Figure 4 shows test errors alone.
    shown = execute(
        training_iterations=60,
        rewind_iterations=(0,),
        throughout=True,
        store="other",
        output="shown",
    ).table()
    assert trainings == []
    assert shown["test_instability"].equals(rows["test_instability"])
    assert shown["train_instability"].isna().all()


def test_a_dry_run_trains_and_writes_nothing(execute, trainings, tmp_path):
    ended = execute(dry_run=True)
    assert ended.code == 0
    assert "iterations  88 to make" in ended.text
    assert trainings == []
    assert not ended.folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder_is_named_after_experiment_and_configuration(
    execute, tmp_path
):
    ended = execute(output_dir=None, replicates=1)
    [folder] = (tmp_path / "results" / "instability").iterdir()
    assert folder.name.startswith("lenet-digits-standard-")
    assert "instability.csv" in files(folder)
    assert ended.code == 0


# What goes wrong on the way.


def test_a_kill_before_the_tables_loses_nothing(
    execute, trainings, monkeypatch, tiny_csvs
):

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", kill)
        with pytest.raises(Killed):
            execute()
    assert len(trainings) == 5
    assert execute().csvs == tiny_csvs
    assert len(trainings) == 5


def test_a_kill_between_two_tables_loses_nothing(execute, monkeypatch, tiny_csvs):
    replace = os.replace

    def kill_at_the_second(source, target):
        if str(target).endswith("interpolation.csv"):
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill_at_the_second)
        with pytest.raises(Killed):
            execute()
    assert execute().csvs == tiny_csvs


# The trunk takes iterations 1 to 8, the copies the other 80.
@pytest.mark.parametrize(
    "iteration",
    [8, 40, *(pytest.param(one, marks=pytest.mark.slow) for one in (1, 88))],
)
def test_an_interrupt_stops_and_the_same_command_goes_on(
    execute, monkeypatch, tiny_csvs, iteration
):
    note_speed, calls = Trainer._note_speed, []

    def interrupting(self, *arguments):
        calls.append(1)
        if len(calls) == iteration:
            os.kill(os.getpid(), signal.SIGINT)
        note_speed(self, *arguments)

    # One iteration a call.
    monkeypatch.setattr("tflottery.training.trainer._CALL_SECONDS", 0.0)
    monkeypatch.setattr(Trainer, "_note_speed", interrupting)
    stopped = execute()
    assert len(calls) == iteration
    assert stopped.code == stopping.INTERRUPTED
    assert "Stopped. To go on:\n" in stopped.text
    assert "figure.png" not in files(stopped.folder)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ended = execute()
    assert ended.code == 0
    assert len(calls) == 88
    assert ended.csvs == tiny_csvs


def spoil(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[-10:]
    elif how == "emptied":
        data.clear()
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("how", "which"), [("truncated", 0), ("emptied", -1), ("flipped", -1)]
)
def test_a_damaged_state_is_made_again(execute, tmp_path, tiny_csvs, how, which):
    lines = list((tmp_path / "store" / "lines").iterdir())
    spoil(states(tmp_path)[which] / "weights.safetensors", how)
    shutil.rmtree(lines[0])
    shutil.rmtree(lines[1])
    ended = execute()
    assert ended.code == 0
    assert ended.csvs == tiny_csvs


@pytest.mark.usefixtures("made")
def test_a_damaged_state_is_named_and_set_aside(execute, tmp_path):
    shutil.rmtree(tmp_path / "store" / "lines")
    for folder in states(tmp_path):
        spoil(folder / "weights.safetensors", "flipped")
    ended = execute()
    assert ended.code == 0
    assert "weights.safetensors has sha256" in ended.text
    assert "It is made again, which takes 16 iterations." in ended.text
    set_aside = list((tmp_path / "store" / "damaged").rglob("manifest.json"))
    assert len(set_aside) >= 4


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_a_damaged_measurement_is_named_and_made_again(
    execute, tmp_path, trainings, tiny_csvs, how
):
    [path, _] = (tmp_path / "store" / "lines").glob("*/line.json")
    spoil(path, how)
    ended = execute()
    assert ended.csvs == tiny_csvs
    assert trainings == []
    assert path.parent.name in ended.text
    assert "damaged" in ended.text


@pytest.mark.usefixtures("made")
def test_a_damaged_manifest_does_not_count(execute, tmp_path, tiny_csvs):
    for path in (tmp_path / "store").rglob("manifest.json"):
        spoil(path, "truncated")
    assert execute().csvs == tiny_csvs


# What is lost before its row is read.


def _losing(monkeypatch, lose, *, times):
    """Has `lose` called after the work is done and before rows are read."""
    execute, calls = Executor.execute, []

    def losing(self, goals):
        outcome = execute(self, goals)
        calls.append(1)
        if len(calls) <= times:
            lose()
        return outcome

    monkeypatch.setattr(Executor, "execute", losing)
    return calls


def test_what_vanishes_before_its_row_is_read_is_made_again(
    execute, tmp_path, monkeypatch, tiny_csvs
):
    lines = tmp_path / "store" / "lines"
    calls = _losing(monkeypatch, lambda: shutil.rmtree(lines), times=2)
    ended = execute()
    assert ended.code == 0
    assert ended.csvs == tiny_csvs
    assert len(calls) == 3
    assert (
        ended.text.count("is gone. It is made again, which takes no further training")
        == 4
    )


@pytest.mark.parametrize("how", ["vanishes", "is damaged"])
def test_what_is_lost_each_time_is_given_up_by_name(
    execute, tmp_path, monkeypatch, tiny_csvs, how
):
    def lose():
        path = sorted((tmp_path / "store" / "lines").glob("*/line.json"))[0]
        if how == "vanishes":
            shutil.rmtree(path.parent)
        else:
            spoil(path, "flipped")

    with monkeypatch.context() as patch:
        calls = _losing(patch, lose, times=4)
        ended = execute()
    assert ended.code == endings.INCOMPLETE
    # Made, made again three times, and given up.
    assert len(calls) == 5
    assert "Given up: lines/" in ended.text and "again 3 times" in ended.text
    assert "Tables of what is known (1 of 2 artifacts)" in ended.text
    assert len(ended.table()) == 1
    assert execute().csvs == tiny_csvs


def test_a_disk_that_fills_up_is_told_once_and_the_same_command_goes_on(
    execute, monkeypatch, tiny_csvs, small_disk
):
    with small_disk():
        ended = execute()
    assert ended.code == endings.STORE_UNUSABLE
    assert ended.text.count("no room in the store") == 1
    assert "Traceback" not in ended.text
    assert "To go on after that:" in ended.text
    again = execute()
    assert (again.code, again.csvs) == (0, tiny_csvs)


# What is known before the end.


def config(folder):
    return json.loads((folder / "config.json").read_text())


def test_a_stop_leaves_the_rows_that_are_known(execute, monkeypatch, tiny_csvs):
    run, measured = Line.execute, []

    def interrupting(self, context):
        measured.append(1)
        if len(measured) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        run(self, context)

    with monkeypatch.context() as patch:
        patch.setattr(Line, "execute", interrupting)
        stopped = execute()
    assert stopped.code == stopping.INTERRUPTED
    assert config(stopped.folder)["complete"] is False
    made = {"made": 1, "diverged": 0, "wanted": 2, "absent": 0}
    assert config(stopped.folder)["artifacts"] == made
    with pytest.warns(UserWarning, match="made from 1 of 2 artifacts"):
        known = stopped.table()
    ended = execute()
    assert ended.csvs == tiny_csvs
    assert config(ended.folder)["complete"] is True
    table = ended.table()
    same = table["rewind_iteration"].isin(known["rewind_iteration"])
    assert known.equals(table[same].reset_index(drop=True))


def test_a_stop_does_not_wait_for_much_to_be_read(execute, monkeypatch, tiny_csvs):
    run = Line.execute

    def interrupting(self, context):
        os.kill(os.getpid(), signal.SIGINT)
        run(self, context)

    with monkeypatch.context() as patch:
        patch.setattr(Line, "execute", interrupting)
        patch.setattr(endings, "STOP_SECONDS", -1.0)
        stopped = execute()
    assert stopped.code == stopping.INTERRUPTED
    assert "takes more than" in stopped.text and "To go on:" in stopped.text
    assert stopped.csvs == {}
    assert execute().csvs == tiny_csvs


def test_an_incomplete_end_is_marked(execute, monkeypatch):
    monkeypatch.setattr(Line, "execute", lambda *_: 1 / 0)
    ended = execute()
    assert ended.code == endings.INCOMPLETE
    assert config(ended.folder)["complete"] is False
    assert "Tables of what is known (0 of 2 artifacts)" in ended.text


def test_divergences_leave_whole_tables(execute):
    ended = execute(optimizer="sgd", learning_rate=1e20)
    assert config(ended.folder)["complete"] is True
    assert config(ended.folder)["artifacts"] == {
        "made": 0,
        "diverged": 2,
        "wanted": 2,
        "absent": 0,
    }


@pytest.mark.usefixtures("made")
def test_whole_tables_are_not_replaced_by_those_of_a_stop(
    execute, monkeypatch, tiny_csvs
):
    with monkeypatch.context() as patch:
        patch.setattr(Line, "execute", lambda *_: 1 / 0)
        ended = execute(store="other")
    assert ended.code == endings.INCOMPLETE
    assert "whole tables of an earlier command stay" in ended.text
    assert ended.csvs == tiny_csvs
    assert config(ended.folder)["complete"] is True


def test_what_is_known_is_written_every_few_minutes(
    execute, monkeypatch, tmp_path, tiny_csvs
):
    monkeypatch.setattr(tabulation, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(tabulation, "_PAUSE_FACTOR", 1.0)
    run, seen = Line.execute, []

    def waiting(self, context):
        wanted, deadline = len(seen), time.monotonic() + 60
        while time.monotonic() < deadline:
            said = config(tmp_path / "output")
            if said.get("artifacts", {}).get("made") == wanted:
                break
            time.sleep(0.01)
        seen.append((said["artifacts"]["made"], said["complete"]))
        run(self, context)

    monkeypatch.setattr(Line, "execute", waiting)
    ended = execute()
    assert seen == [(0, False), (1, False)]
    assert ended.code == 0
    assert ended.csvs == tiny_csvs
    assert config(ended.folder)["complete"] is True


def test_trouble_with_what_is_known_costs_no_result(execute, monkeypatch, tiny_csvs):
    monkeypatch.setattr(tabulation, "_PAUSE_SECONDS", 0.0)
    rows = instability.rows

    def failing(study, results):
        if isinstance(results, PartialReader):
            raise ArithmeticError("not with so few rows")
        return rows(study, results)

    monkeypatch.setattr(instability, "rows", failing)
    ended = execute()
    assert ended.code == 0
    assert ended.csvs == tiny_csvs
    assert "not with so few rows" in ended.text


def test_tables_that_cannot_be_written_lose_nothing(
    execute, monkeypatch, trainings, tiny_csvs
):
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr("tflottery.core.tables.write", lambda *_, **__: raise_(full))
        ended = execute()
    assert ended.code == endings.INCOMPLETE
    assert "output' cannot be written: No space left on device" in ended.text
    assert "the same command with another --output_dir needs nothing more" in ended.text
    trainings.clear()
    assert execute(output="other").csvs == tiny_csvs
    assert trainings == []


def raise_(error):
    raise error


def test_a_log_stays_beside_the_tables(execute, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "--model=lenet"])
    ended = execute()
    text = (ended.folder / "log.txt").read_text()
    parts = [" --model=lenet\n", "iterations  88 to make", "Results are in "]
    assert [text.index(part) for part in parts] == sorted(map(text.index, parts))
    execute()
    assert (ended.folder / "log.txt").read_text().count("Results are in") == 2


def test_a_log_that_cannot_be_written_costs_no_result(execute, tmp_path, tiny_csvs):
    (tmp_path / "output" / "log.txt").mkdir(parents=True)
    ended = execute()
    assert ended.code == 0
    assert ended.csvs == tiny_csvs
    assert "log.txt' cannot be written" in ended.text


# What cannot be made.


def copies(facts, **options):
    """Returns the runs of the copies of a command, by k and data order."""
    config = dataclasses.replace(Config.tiny(), **options)
    study = resolve(config, facts, Placement())
    return {
        (line.a.run.first_iteration, order): end.run
        for line in instability.plan(study)
        for order, end in ((1, line.a), (2, line.b))
    }, study


def test_a_diverged_copy_leaves_the_other_rows_complete(execute, facts, tmp_path):
    found, _ = copies(facts)
    with Store(tmp_path / "store").writing(
        divergence_address(found[8, 2]), {"iteration": 11}
    ):
        pass
    ended = execute()
    assert ended.code == endings.INCOMPLETE
    rows = ended.table().set_index("rewind_iteration")
    assert rows.loc[8, "diverged_iteration"] == 11
    assert rows.loc[8].isna()[["test_instability", "l2_distance"]].all()
    assert np.isnan(rows.loc[0, "diverged_iteration"])
    assert rows.loc[0].notna()[["test_instability", "l2_distance"]].all()
    assert set(ended.table("interpolation")["rewind_iteration"]) == {0}
    assert "diverged" in ended.text


def test_networks_that_do_not_exist_have_empty_rows(execute, register, trainings):
    def few(weights, *, shapes, seed):
        scores = {path: np.ones(shape) for path, shape in shapes.items()}
        # Of 50,200 weights 35,200 may be kept: fewer than a fifth less than all.
        scores["dense_1/kernel"].reshape(-1)[:15_000] = -np.inf
        return scores

    register(CRITERIA, "few", few, version=1, scored_weights="none", seeded=False)
    options = {"subnetworks": ("few",), "replicates": 1, "rewind_iterations": (0,)}
    ended = execute(lottery, **options)
    assert ended.code == 0
    rows = ended.table("accuracy").set_index("level")
    assert rows["test_error"].isna().to_dict() == {0: False, 1: True, 2: False}
    assert rows["diverged_iteration"].isna().all()
    assert "4 artifacts cannot exist" in ended.text
    said = config(ended.folder)
    assert said["complete"] is True
    made = {"made": 3, "diverged": 0, "wanted": 5, "absent": 2}
    assert said["artifacts"] == made
    trainings.clear()
    again = execute(lottery, **options)
    assert (again.code, again.csvs, trainings) == (0, ended.csvs, [])
    assert "absent      4 results" in again.text


def test_a_setting_that_diverges_is_told_and_not_trained_again(execute, trainings):
    ended = execute(optimizer="sgd", learning_rate=1e20)
    assert ended.code == endings.INCOMPLETE
    rows = ended.table()
    assert (rows["diverged_iteration"] > 0).all()
    assert (rows["diverged_iteration"] < 24).all()
    assert len(rows) == 2
    points = (ended.folder / "interpolation.csv").read_text()
    assert points.startswith("model,variant,") and points.count("\n") == 1
    assert "diverged" in ended.text
    trainings.clear()
    again = execute(optimizer="sgd", learning_rate=1e20)
    assert (again.code, again.csvs) == (ended.code, ended.csvs)
    assert trainings == []


def test_a_diverging_setting_leaves_a_sound_one_of_the_same_store_alone(
    execute, tiny_csvs
):
    execute(optimizer="sgd", learning_rate=1e20, output="diverging")
    assert execute().csvs == tiny_csvs


def test_a_failing_component_leaves_the_rest_done(execute, monkeypatch, tiny_csvs):
    run = Line.execute

    def failing(self, context):
        if self.a.run.first_iteration == 8:
            raise ArithmeticError("this line cannot be measured")
        run(self, context)

    with monkeypatch.context() as patch:
        patch.setattr(Line, "execute", failing)
        ended = execute()
    assert ended.code == endings.INCOMPLETE
    assert "this line cannot be measured" in ended.text
    assert list(ended.table()["rewind_iteration"]) == [0]
    assert execute().csvs == tiny_csvs


def test_what_needs_a_failed_job_is_named(execute, monkeypatch):
    train = Trainer.train

    def failing(self, stream, last, **options):
        if int(self.optimizer.iterations) == 8:
            raise ArithmeticError("no training from 8 on")
        return train(self, stream, last, **options)

    monkeypatch.setattr(Trainer, "train", failing)
    ended = execute()
    assert ended.code == endings.INCOMPLETE
    assert "no training from 8 on" in ended.text
    assert "could not be made because of that" in ended.text
    assert list(ended.table()["rewind_iteration"]) == [0]


# What is refused before anything is trained.

WRONG = {
    "no model 'nope'. Known: .*lenet, ": {"model": "nope"},
    "no variant 'nope'. Known: standard": {"variant": "nope"},
    "no dataset 'nope'. Known: ": {"dataset": "nope"},
    r"names \[25, 99\], beyond the end of training at 24": {
        "rewind_iterations": (0, 25, 99)
    },
    "is empty: name at least one k": {"rewind_iterations": ()},
    "'-1' is not a duration": {"rewind_iterations": ("-1",)},
    "'4 epochs' is not a duration": {"training_iterations": "4 epochs"},
    "--training_iterations='0ep' is no iteration": {"training_iterations": "0ep"},
    "--replicates=0 has to be at least 1": {"replicates": 0},
    "--replicates=-3 has to be at least 1": {"replicates": -3},
    "--data_orders=1: .* at least 2": {"data_orders": 1},
    "--data_orders=0 has to be at least 1": {"data_orders": 0},
    "--batch_size=0 has to be at least 1": {"batch_size": 0},
    "--replica_batch_size=0 has to be at least 1": {"replica_batch_size": 0},
    "replica_batch_size=7 has to be a divisor of batch_size=60": {
        "replica_batch_size": 7
    },
    "--evaluation_examples=0 has to be at least 1": {"evaluation_examples": 0},
    "--splits='validation' has to name train or test or both": {
        "splits": ("validation",)
    },
    "--splits='' has to name": {"splits": ()},
    "--reestimation_examples=-1 has to be at least 0": {"reestimation_examples": -1},
    "learning_rate=0": {"learning_rate": 0.0},
    "--batch_size=1438 is more than the 1,437 training images of 'digits'": {
        "batch_size": 1438
    },
    r"--batch_size=1500 is more than 10 times the \d+ training images of images:0.1": {
        "batch_size": 1500,
        "subset": "images:0.1",
    },
    "--milestones=48,24 have to ascend": {"milestones": ("2ep", 24)},
    "--milestones=24 go beyond the end of training at 24": {"milestones": ("1ep",)},
    "--warmup=25 goes beyond the end of training at 24": {"warmup": 25},
    "--data_orders=1001 has to be at most 1,000": {"data_orders": 1001},
    r"--workers=1000 is too many for the \d+ cores? of this machine": {"workers": 1000},
    "learning_rate=nan": {"learning_rate": float("nan")},
    "momentum=-0.5": {"optimizer": "sgd", "momentum": -0.5},
    "weight_decay=-0.1": {"weight_decay": -0.1},
    "optimizer.*'lion'.*": {"optimizer": "lion"},
    "--optimizer_state='warm' is not known. Known: fresh, carried": {
        "optimizer_state": "warm"
    },
    "--augmentation='mixup' has to be one of .*flip_crop_2, ": {
        "augmentation": "mixup"
    },
    "--workers=0 has to be at least 1": {"workers": 0},
    "--threads=0 has to be at least 1": {"threads": 0},
    "--threads=1000 in each of 1 worker is too many for the": {"threads": 1000},
    "--checkpoint_every=0.0 has to be above zero": {"checkpoint_every": 0.0},
    "no executor 'dask'. Known: local, inline, ray": {"executor": "dask"},
    "no way to distribute 'mirored'. Known: none, mirrored, multi_worker, tpu": {
        "distribute": "mirored"
    },
    "--workers=2 with --distribute=mirrored": {"distribute": "mirrored", "workers": 2},
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_options_are_refused(execute, trainings, tmp_path, text):
    with pytest.raises(ValueError, match=text):
        execute(**WRONG[text])
    assert trainings == []
    assert not (tmp_path / "output").exists()


def test_images_too_small_for_the_network_are_refused(execute, register, tmp_path):
    recipes = MODELS["lenet"]["recipes"]
    # The digits come in two sizes, 8 and 32.
    options = {"recipes": recipes, "dataset": "digits", "minimum_image_size": 64}
    register(MODELS, "wide", lenet, **options)
    with pytest.raises(ValueError, match="images of 32 x 32; the model needs 64 x 64"):
        execute(model="wide")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("name", ["store", "data_dir", "output_dir"])
def test_an_empty_name_is_no_folder(name):
    for empty in ("", " "):
        with pytest.raises(ValueError, match=f"--{name}='{empty}' is empty. Name a f"):
            session.Machine(**{name: empty}).validate()


def test_a_folder_with_other_things_is_no_store(execute, trainings, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    with pytest.raises(StoreError, match="photos' holds other things .'cat.jpg'"):
        execute(store="photos")
    assert trainings == []
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_what_needs_no_data_is_refused_before_a_worker_starts(
    execute, monkeypatch, tmp_path
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(session, "asking", lambda *_, **__: 1 / 0)
    options = {"dataset": "mnist", "executor": "local"}
    for wrong in (
        {"data_dir": str(tmp_path / "file")},
        {"levels": ("2",)},
        {"momentum": 0.5},
        {"store": "file/store"},
        {"workers": 1000},
    ):
        with pytest.raises((ValueError, StoreError)):
            execute(**options, **wrong)


@pytest.mark.parametrize("options", [{}, {"dry_run": True}])
def test_a_store_that_cannot_be_written_is_refused(
    execute, trainings, tmp_path, options
):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/store"):
        execute(store="file/store", **options)
    assert trainings == []
    assert not (tmp_path / "output").exists()


@pytest.mark.usefixtures("made")
def test_a_store_that_can_only_be_read_is_enough_for_what_is_there(
    execute, monkeypatch, tiny_csvs
):
    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied", "drafts")

    monkeypatch.setattr(staging.Staging, "new", refuse)
    monkeypatch.setattr(Store, "lock", refuse)
    again = execute(output="drawn again")
    assert (again.code, again.csvs) == (0, tiny_csvs)
    assert execute(dry_run=True, data_orders=3, output="more").code == 0
    with pytest.raises(StoreError, match="Permission denied.*TFLOTTERY_STORE"):
        execute(data_orders=3, output="more")


@pytest.mark.usefixtures("made")
def test_a_store_that_another_host_writes_is_read_and_not_written(
    execute, monkeypatch, tiny_csvs, tmp_path, trainings
):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(locks, "host", lambda: "elsewhere")
        held = Store(tmp_path / "store").claimed(print)
        held.__enter__()
    trainings.clear()

    def beat(seconds):
        (path,) = (tmp_path / "store" / ".claims").iterdir()
        path.write_bytes(path.read_bytes() + b" ")

    watching = types.SimpleNamespace(monotonic=time.monotonic, sleep=beat)
    monkeypatch.setattr(claims, "time", watching)
    try:
        again = execute(output="drawn again")
        assert (again.code, again.csvs) == (0, tiny_csvs)
        assert execute(dry_run=True, data_orders=3, output="more").code == 0
        with pytest.raises(StoreError, match="host 'elsewhere'.*--store"):
            execute(data_orders=3, output="more")
    finally:
        held.__exit__(None, None, None)
    assert trainings == []
    assert not (tmp_path / "more").exists()


def test_too_little_disk_is_refused(execute, trainings, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(StoreError, match="has 1.0 MB free and .* are needed"):
        execute()
    assert trainings == []
    assert not (tmp_path / "output").exists()


def test_a_folder_of_other_results_is_refused(execute, trainings):
    first = execute()
    trainings.clear()
    with pytest.raises(ValueError, match="training_iterations: 24 there, 30 asked"):
        execute(training_iterations=30)
    with pytest.raises(ValueError, match="data_orders: 2 there, 3 asked"):
        execute(data_orders=3)
    assert trainings == []
    assert execute().csvs == first.csvs


@pytest.fixture
def no_workers(monkeypatch):
    """Has it fail that a worker starts: what needs none is refused before."""

    def start(*_, **__):
        raise AssertionError("A worker was started.")

    monkeypatch.setattr(planned_work, "pool_of", start)


@pytest.mark.usefixtures("no_workers")
def test_a_folder_of_other_things_is_refused(execute, trainings, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not empty and has no config.json"):
        execute()
    assert trainings == []
    assert files(tmp_path / "output") == ["thesis.tex"]


@pytest.mark.usefixtures("no_workers")
def test_what_is_no_folder_of_this_machine_is_refused(execute, tmp_path):
    (tmp_path / "output").write_text("")
    with pytest.raises(ValueError, match="output' is no folder"):
        execute()
    with pytest.raises(ValueError, match="--output_dir='gs://b/o' has to be a folder"):
        session.Machine(output_dir="gs://b/o").validate()


def test_a_folder_below_a_file_is_refused(execute, trainings, tmp_path):
    (tmp_path / "output").write_text("")
    with pytest.raises(ValueError, match="--output_dir=.* cannot be written"):
        execute(output="output/below")
    assert trainings == []


def test_paths_and_workers_decide_no_results(execute, tiny_csvs):
    for options in ({"workers": 3, "checkpoint_every": 0.001}, {"store": "other"}):
        assert execute(**options).csvs == tiny_csvs


@pytest.mark.usefixtures("made")
def test_the_data_of_a_state_are_described_in_its_manifest(execute, facts, tmp_path):
    _, study = copies(facts)
    state = State(study.trunk(1), 8)
    manifest = json.loads(
        (tmp_path / "store" / state.address / "manifest.json").read_text()
    )
    assert manifest["derivation"]["data"]["data"]["name"] == "digits"
    assert manifest["derivation"]["first_iteration"] == 0


def test_data_that_are_not_there_are_refused_before_a_worker_starts():
    # It has nothing to start one with.
    facts_of = planned_work.asking(types.SimpleNamespace(is_elsewhere=False), None)
    for given in (("npz:/nowhere.npz",), ("digits", LABELS, None, "folder:/nowhere")):
        with pytest.raises(ValueError, match="There is no /nowhere.*, which data set"):
            facts_of("lenet", Setting(*given))
