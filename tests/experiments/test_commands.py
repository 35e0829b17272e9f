"""Whole commands with real workers: killed, interrupted, two at once."""

import dataclasses
import itertools
import json
import os
import pathlib
import random
import shlex
import signal
import subprocess
import sys
import time

import pytest

import tflottery
from tflottery.store.store import Store

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(tflottery.__file__).parents[1]
OPTIONS = {
    "model": "lenet",
    "dataset": "digits",
    "replicates": 1,
    "data_orders": 2,
    "rewind_iterations": "0,200",
    "training_iterations": 3000,
    "evaluation_examples": 200,
    "workers": 2,
    "checkpoint_every": 1,
}
NUM_ITERATIONS = 200 + 2 * 3000 + 2 * 2800
# Two chains of IMP with what hangs on them, for the lottery.
CHAINS = OPTIONS | {
    "data_orders": 1,
    "levels": "1-2",
    "subnetworks": "imp,random_reinit",
    "random_rewind_iterations": 200,
    "workers": 3,
}
# On a busy machine a command takes a minute.
PATIENCE_SECONDS = 240

# The experiment as it is, but for a log of every training. Workers import the main
# module too, so they log as well.
PROGRAM = """
import json, os, time
from tflottery.execution import jobs

def note(**what):
    with open(os.environ["TRAININGS"], "a") as log:
        log.write(json.dumps({"pid": os.getpid(), "time": time.time()} | what) + "\\n")

execute, originals = jobs.execute, {}

def recorded(job, context):
    # TensorFlow is set up by now.
    from tflottery.training import optimizers, trainer

    train = originals.setdefault("train", trainer.Trainer.train)

    def noted(self, stream, last, *, callbacks, **options):
        import keras

        class Notes(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                note(kind="at", run=job.run.key, iteration=batch + 1)

        first = optimizers.iteration(self.optimizer)
        note(kind="begin", run=job.run.key, iteration=first)
        # First, since a job that stops raises.
        callbacks = [Notes(), *callbacks]
        reached = train(self, stream, last, callbacks=callbacks, **options)
        note(kind="end", run=job.run.key, iteration=reached)
        return reached

    trainer.Trainer.train = noted
    return execute(job, context)

jobs.execute = recorded

if __name__ == "__main__":
    from tflottery.studies import program

    program.run("tflottery.experiments." + os.environ["EXPERIMENT"])
"""


@dataclasses.dataclass
class Command:
    """A running command, in a process group of its own."""

    process: subprocess.Popen
    folder: pathlib.Path
    log: pathlib.Path

    def events(self, kind):
        """Returns what the log holds of one kind: a training begins, goes on, ends."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        events = map(json.loads, lines)
        return [event for event in events if event["kind"] == kind]

    def wait(self):
        """Returns the exit code and what was printed."""
        _, text = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, text

    @property
    def csvs(self):
        return {path.name: path.read_bytes() for path in self.folder.glob("*.csv")}

    def children(self):
        """Returns the ids of the processes that this one started."""
        return [pid for pid, parent in processes() if parent == self.process.pid]


def processes():
    """Yields (id, id of the parent) of every process that is no zombie."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            yield int(path.parent.name), int(parent)


def wait_for(condition):
    last = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < last, "it did not come about"
        time.sleep(0.02)


@pytest.fixture
def launch(tmp_path):
    """Starts a command; options of the same name replace those above."""
    program = tmp_path / "recorded.py"
    program.write_text(PROGRAM)
    started = []

    def start(
        experiment="instability",
        *,
        output="output",
        store="store",
        argv=None,
        **options,
    ):
        folder, log = tmp_path / output, tmp_path / f"{store}.trainings"
        paths = {"output_dir": folder, "store": tmp_path / store}
        defaults = OPTIONS if experiment == "instability" else CHAINS
        flags = (defaults | paths | options).items()
        argv = argv or [str(program), *(f"--{name}={value}" for name, value in flags)]
        process = subprocess.Popen(
            [sys.executable, *argv],
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TRAININGS": str(log),
                "EXPERIMENT": experiment,
            },
            start_new_session=True,
        )
        started.append(process)
        return Command(process, folder, log)

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The tables of the command, made by one worker without a break."""
    return made_by_one_worker("instability", OPTIONS, tmp_path_factory)


@pytest.fixture(scope="module")
def unbroken_chains(tmp_path_factory):
    """The tables of the lottery, made by one worker without a break."""
    return made_by_one_worker("lottery", CHAINS, tmp_path_factory)


def made_by_one_worker(experiment, options, tmp_path_factory):
    """Returns the tables that a command makes."""
    folder = tmp_path_factory.mktemp("unbroken")
    flags = options | {"workers": 1, "store": folder / "store"}
    flags["output_dir"] = folder / "output"
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    subprocess.run(
        [sys.executable, "-m", f"tflottery.experiments.{experiment}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    paths = (folder / "output").glob("*.csv")
    return {path.name: path.read_bytes() for path in paths}


def check_whole(root):
    """Opens every artifact, which compares every byte; nothing was set aside."""
    store = Store(root)
    for address in store.addresses():
        store.open(address)
    assert not (pathlib.Path(root) / "damaged").exists()
    # What an interrupted job left to go on from is gone once all is made.
    assert store.addresses("checkpoints") == store.addresses("partial") == []


def test_four_workers_give_the_bytes_of_one(launch, unbroken):
    command = launch(workers=4)
    code, text = command.wait()
    assert code == 0, text
    assert command.csvs == unbroken
    assert len({event["pid"] for event in command.events("begin")}) > 1


def test_killed_workers_are_replaced(launch, unbroken, tmp_path):
    randomness = random.Random(1)
    command = launch()
    for _ in range(2):
        count = len(command.events("at"))
        wait_for(lambda count=count: len(command.events("at")) > count)
        time.sleep(randomness.uniform(0, 2))
        trainings = {event["pid"] for event in command.events("at")}
        alive = [pid for pid in command.children() if pid in trainings]
        if alive:
            os.kill(randomness.choice(alive), signal.SIGKILL)
    code, text = command.wait()
    assert code == 0, text
    assert command.csvs == unbroken
    check_whole(tmp_path / "store")


def losses(command, *, since, killed):
    """Yields (seconds lost, seconds of the longest call) of each run a kill cut off.

    Args:
      command: the last one, which went on; its log holds those before it as well.
      since: when the kill before it was; losses of several kills do not add up.
      killed: when the processes were killed.
    """
    resumed = [one for one in command.events("begin") if one["time"] > killed]
    for run in {event["run"] for event in resumed}:
        first = min(one["iteration"] for one in resumed if one["run"] == run)
        times = [
            event["time"]
            for event in command.events("at")
            if event["run"] == run
            and since < event["time"] < killed
            and event["iteration"] >= first
        ]
        if len(times) > 1:
            longest = max(b - a for a, b in itertools.pairwise(times))
            yield times[-1] - times[0], longest


def test_a_killed_command_leaves_no_worker_and_goes_on(launch, unbroken, tmp_path):
    randomness = random.Random(2)
    kills = []
    for number in range(4):
        command = launch()
        if number % 2:
            # In the middle of trainings; otherwise wherever it comes, start included.
            count = len(command.events("at"))
            wait_for(lambda command=command, n=count: len(command.events("at")) > n)
            time.sleep(randomness.uniform(0.5, 3))
        else:
            time.sleep(randomness.uniform(0, 8))
        children = command.children()
        command.process.kill()
        command.process.wait()
        kills.append(time.time())
        wait_for(lambda pids=children: not {pid for pid, _ in processes()} & {*pids})
        assert time.time() - kills[-1] < 20
    command = launch()
    code, text = command.wait()
    assert code == 0, text
    assert command.csvs == unbroken
    check_whole(tmp_path / "store")
    # A checkpoint is due after a second, looked for after each call; calls take longer
    # on a busy machine.
    for since, killed in itertools.pairwise([0, *kills]):
        for lost, longest_call in losses(command, since=since, killed=killed):
            assert lost < 2 + 2 * longest_call


def test_killed_chains_go_on(launch, unbroken_chains, tmp_path):
    """Killed while a first and while a second level trains; other workers than one."""
    for num_ended in (1, 3):
        command = launch("lottery")
        wait_for(lambda one=command, n=num_ended: len(one.events("end")) >= n)
        count = len(command.events("at"))
        wait_for(lambda one=command, n=count: len(one.events("at")) > n)
        children = command.children()
        command.process.kill()
        command.process.wait()
        wait_for(lambda pids=children: not {pid for pid, _ in processes()} & {*pids})
        # At most the tables of what is known by then.
        assert command.csvs != unbroken_chains
    command = launch("lottery")
    code, text = command.wait()
    assert code == 0, text
    assert command.csvs.keys() == {"accuracy.csv", "best.csv", "mask_layers.csv"}
    assert command.csvs == unbroken_chains
    check_whole(tmp_path / "store")
    # The trunk, two levels at each k, and two networks with fresh weights.
    ends = command.events("end")
    assert {event["iteration"] for event in ends} == {3000}
    assert len({event["run"] for event in ends}) == len(ends) == 1 + 2 * 2 + 2


@pytest.mark.parametrize("moment", ["starting", "training"])
def test_an_interrupted_command_goes_on(launch, unbroken, tmp_path, moment):
    command = launch()
    if moment == "training":
        wait_for(lambda: len(command.events("at")) > 5)
    else:
        wait_for(command.children)
    # As Ctrl-C in a terminal: every process of the group gets it.
    os.killpg(command.process.pid, signal.SIGINT)
    code, text = command.wait()
    assert code == 130, text
    assert "Traceback" not in text
    # At most the tables of what is known by then.
    assert command.csvs != unbroken
    assert "Stopped. To go on:\n" in text
    printed = shlex.split(text.split("Stopped. To go on:\n")[1].splitlines()[0])
    assert printed[0] == "python"
    before = command.events("at")
    command = launch(argv=printed[1:])
    code, text = command.wait()
    assert code == 0, text
    assert command.csvs == unbroken
    check_whole(tmp_path / "store")
    if moment == "training":
        # It stopped at a checkpoint: no iteration was made twice.
        again = [
            one for one in command.events("begin") if one["time"] > before[-1]["time"]
        ]
        for run in {event["run"] for event in before}:
            reached = max(one["iteration"] for one in before if one["run"] == run)
            first = [one["iteration"] for one in again if one["run"] == run]
            assert first in ([], [reached])


def num_updates(command):
    """Returns how many updates all commands of a store made, and how many trainings."""
    total, open_at = 0, {}
    events = [one for kind in ("begin", "at", "end") for one in command.events(kind)]
    for event in sorted(events, key=lambda one: one["time"]):
        if event["kind"] != "begin":
            total += event["iteration"] - open_at[event["pid"]]
        open_at[event["pid"]] = event["iteration"]
    return total


def test_what_schedulers_send_stops_after_a_checkpoint(launch, unbroken, tmp_path):
    """To the whole group or to the command alone; a scheduler may requeue it."""
    for number, send in (
        (signal.SIGTERM, os.killpg),
        (signal.SIGHUP, os.kill),
        (signal.SIGUSR1, os.killpg),
    ):
        command = launch()
        count = len(command.events("at"))
        wait_for(lambda one=command, n=count: len(one.events("at")) > n)
        sent = time.monotonic()
        send(command.process.pid, number)
        code, text = command.wait()
        assert code == 75, text
        assert time.monotonic() - sent < 10
        assert "Traceback" not in text and "Stopped. To go on:\n" in text
    command = launch()
    code, text = command.wait()
    assert code == 0, text
    assert command.csvs == unbroken
    check_whole(tmp_path / "store")
    assert num_updates(command) == NUM_ITERATIONS


def test_two_commands_at_once_share_their_work(launch, unbroken, tmp_path):
    commands = [launch(output="one"), launch(output="two")]
    texts = []
    for command in commands:
        code, text = command.wait()
        assert code == 0, text
        texts.append(text)
    assert commands[0].csvs == commands[1].csvs == unbroken
    check_whole(tmp_path / "store")
    begins, ends = commands[0].events("begin"), commands[0].events("end")
    made = sum(one["iteration"] for one in ends)
    made -= sum(one["iteration"] for one in begins)
    assert made == NUM_ITERATIONS
    assert len({event["run"] for event in begins}) == len(begins) == 5
    assert any("Another process is making" in text for text in texts)


def test_a_mirrored_command_is_another_setting(launch, tmp_path):
    options = {"training_iterations": 50, "rewind_iterations": 0}
    plain = launch(output="plain", **options)
    assert plain.wait()[0] == 0
    mirrored = launch(output="mirrored", distribute="mirrored", workers=1, **options)
    code, text = mirrored.wait()
    assert code == 0, text
    tables = [one.csvs["instability.csv"].decode() for one in (plain, mirrored)]
    rows = [
        dict(zip(*map(str.split, table.split(), ",,"), strict=True)) for table in tables
    ]
    assert rows[0]["config"] != rows[1]["config"]
    # Two replicas do the same arithmetic in another order.
    assert float(rows[0]["l2_distance"]) == pytest.approx(
        float(rows[1]["l2_distance"]), rel=1e-3
    )
    # As many parts on one device have the same key: nothing is left to do.
    trained = mirrored.events("begin")
    parts = launch(output="parts", replica_batch_size=30, **options)
    assert parts.wait()[0] == 0
    assert parts.events("begin") == trained
    assert parts.csvs == mirrored.csvs


def test_threads_are_another_setting_with_the_same_bits_each_time(launch):
    # Wide enough that a product's sums are divided.
    options = {"model": "lenet", "batch_size": 60, "evaluation_examples": 50}
    options |= {"training_iterations": 30, "rewind_iterations": 10, "threads": 2}
    options |= {"workers": 1, "reestimation_examples": 0}
    one, other = (launch(store=name, output=name, **options) for name in ("a", "b"))
    for command in (one, other):
        code, text = command.wait()
        assert code == 0, text
        assert "1 worker of 2 threads on the CPU" in text
    assert one.csvs == other.csvs
    refused = launch(store="a", output="a", **options | {"threads": 1})
    code, text = refused.wait()
    assert code == 2
    assert "threads: 2 there, None asked for" in text


def test_without_a_tpu_the_flag_says_what_to_check(launch, tmp_path):
    command = launch(distribute="tpu", workers=1)
    code, text = command.wait()
    assert code == 2
    assert "error: No TPU answers at --tpu='local'" in text
    assert "tensorflow-tpu" in text
    assert not command.folder.exists()
