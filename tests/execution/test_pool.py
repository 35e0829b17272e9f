"""Real worker processes: kept alive, killed, orphaned, stopped."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

import tflottery
from tflottery.core import stopping
from tflottery.core.environment import SetupError
from tflottery.core.recipes import Setting
from tflottery.datasets import source
from tflottery.execution.jobs import Inspect, Make
from tflottery.execution.pool import Pool
from tflottery.execution.worker import ENDINGS
from tflottery.training.distribution import Placement

pytestmark = pytest.mark.slow

# Starting TensorFlow takes seconds, many on a busy machine.
PATIENCE_SECONDS = 120

PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
import toy_components as toys
from tflottery.execution.jobs import Make
from tflottery.execution.pool import Pool
from tflottery.execution.worker import WorkerSettings
from tflottery.training.distribution import Placement

if __name__ == "__main__":
    settings = WorkerSettings(sys.argv[2], None, Placement(), None, 60.0)
    with Pool([settings] * 2) as pool:
        for number in range(2):
            pool.submit(number, Make(toys.Count(10_000, sys.argv[3], pause=0.05)))
            print(*pool.processes(), flush=True)
        while True:
            for number, message in pool.messages(1.0):
                if message.kind in ("died", "failed"):
                    print(message.kind, message.value, flush=True)
"""


@pytest.fixture
def pool(settings):
    with Pool([settings] * 2) as made:
        yield made
    assert made.processes() == []


def wait_for(condition):
    """Waits until a condition holds; fails after a while."""
    last = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < last, "it did not come about"
        time.sleep(0.02)


def ending(pool, number):
    """Returns the message with which the job of a worker ends."""
    found = []

    def ended():
        told = pool.messages(0.1)
        found.extend(one for worker, one in told if worker == number)
        return found and found[-1].kind in ENDINGS

    wait_for(ended)
    return found[-1]


def running(pid):
    """Returns whether a process is there, and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def group(leader):
    """Returns the processes of a group, the resource tracker of Python among them."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return {pid for pid in pids if running(pid) and os.getpgid(pid) == leader}


def steps(notes):
    return len(notes.read_text().split()) if notes.exists() else 0


def test_a_worker_does_one_job_after_another(pool, toys, store):
    pool.submit(0, Inspect("lenet", Setting("digits")))
    # Workers start with their first job, and those running come first.
    [pid] = pool.processes()
    assert pool.idle() == [1]
    assert ending(pool, 0).value.network.num_classes == 10
    assert pool.idle() == [0, 1]
    for value in (1, 2):
        pool.submit(0, Make(toys.Number(value)))
        assert ending(pool, 0).value == "finished"
        assert store.has(toys.Number(value).address)
    assert pool.processes() == [pid]


def test_a_killed_worker_is_told_and_replaced(pool, toys, store, tmp_path):
    notes = tmp_path / "notes"
    pool.submit(0, Make(toys.Count(10_000, str(notes), pause=0.01)))
    wait_for(lambda: steps(notes) > 3)
    [pid] = pool.processes()
    os.kill(pid, signal.SIGKILL)
    message = ending(pool, 0)
    assert message.kind == "died"
    assert "exit code -9" in message.value
    assert store.addresses() == []
    assert pool.idle() == [0, 1]
    pool.submit(0, Make(toys.Number(1)))
    assert ending(pool, 0).value == "finished"
    assert pool.processes() != [pid]


def test_other_workers_take_the_place_of_all(pool, settings, toys, tmp_path):
    pool.submit(0, Make(toys.Count(10_000, str(tmp_path / "notes"), pause=0.01)))
    [pid] = pool.processes()
    pool.begin_anew([settings] * 3)
    assert not running(pid)
    assert (pool.processes(), pool.size, pool.idle()) == ([], 3, [0, 1, 2])
    pool.submit(2, Make(toys.Number(1)))
    assert ending(pool, 2).value == "finished"


def test_last_words_of_a_worker_are_told(pool, toys, tmp_path):
    pool.submit(1, Make(toys.Deadly(1, str(tmp_path / "notes"))))
    message = ending(pool, 1)
    assert message.kind == "died"
    assert "these are my last words" in message.value


def test_a_job_stops_when_asked_to(pool, toys, tmp_path):
    notes = tmp_path / "notes"
    pool.submit(0, Make(toys.Count(10_000, str(notes), pause=0.01)))
    wait_for(lambda: steps(notes) > 3)
    pool.stop()
    assert ending(pool, 0).value == "stopped"
    assert steps(notes) < 10_000


def test_closing_ends_busy_workers_and_removes_what_they_leave(
    settings, toys, store, tmp_path
):
    notes = tmp_path / "notes"
    with Pool([settings]) as pool:
        pool.submit(0, Make(toys.Count(10_000, str(notes), pause=0.01)))
        wait_for(lambda: steps(notes) > 3)
        [pid] = pool.processes()
        left = [os.path.join(store.root, name) for name in (".drafts", ".locks")]
        assert all(map(os.listdir, left))
    assert not running(pid)
    assert not any(map(os.listdir, left))


def test_a_worker_without_the_device_it_is_placed_on_is_refused(settings, toys, store):
    """There is no GPU for the processes of these tests, or it is hidden from them."""
    on_gpu = dataclasses.replace(settings, placement=Placement(device="gpu"))
    with Pool([on_gpu]) as pool:
        pool.submit(0, Make(toys.Number(1)))
        with pytest.raises(SetupError, match="TensorFlow finds 0.*tensorflow.and-cuda"):
            ending(pool, 0)
    assert store.addresses() == []


WITHOUT_GUARD = """
import sys
from tflottery.core.recipes import Setting
from tflottery.execution.jobs import Inspect
from tflottery.execution.pool import Pool
from tflottery.execution.worker import WorkerSettings
from tflottery.training.distribution import Placement

pool = Pool([WorkerSettings(sys.argv[1], None, Placement(), None, 60.0)])
pool.submit(0, Inspect("lenet", Setting("digits")))
while True:
    pool.messages(1.0)
"""


def test_a_program_without_a_main_guard_is_told_what_it_lacks(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(WITHOUT_GUARD)
    root = os.path.dirname(os.path.dirname(tflottery.__file__))
    done = subprocess.run(
        [sys.executable, program, tmp_path / "store"],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 1
    for fact in (f"import {program} again", 'if __name__ == "__main__":', "inline"):
        assert fact in done.stderr
    # Of this process alone: the worker that ran the program again says nothing.
    assert done.stderr.count("Traceback") == 1


@pytest.fixture
def parent(tmp_path, store):
    """A process group of a parent and two workers; the workers' ids come with it."""
    root = os.path.dirname(os.path.dirname(tflottery.__file__))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    process = subprocess.Popen(
        [sys.executable, program, os.path.dirname(__file__), store.root]
        + [str(tmp_path / "notes")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root, "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    process.stdout.readline()
    workers = [int(pid) for pid in process.stdout.readline().split()]
    yield process, workers
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("moment", ["starting", "working"])
def test_workers_die_with_their_parent(parent, tmp_path, moment):
    process, workers = parent
    assert len(workers) == 2
    if moment == "working":
        wait_for(lambda: steps(tmp_path / "notes") > 3)
    process.kill()
    process.wait()
    killed = time.monotonic()
    wait_for(lambda: not any(map(running, workers)))
    assert time.monotonic() - killed < 30
    # Nobody is left who could remove a file.
    assert os.listdir(tmp_path / "temporary") == []


@pytest.mark.parametrize("moment", ["starting", "working"])
def test_signals_to_the_whole_group_leave_the_workers(parent, tmp_path, moment):
    process, workers = parent
    # To all but the parent, which is asked about in another test.
    if moment == "working":
        wait_for(lambda: steps(tmp_path / "notes") > 3)
    members = group(process.pid)
    for pid in members - {process.pid}:
        for number in stopping.SIGNALS:
            os.kill(pid, number)
    before = steps(tmp_path / "notes")
    wait_for(lambda: steps(tmp_path / "notes") > before + 5)
    assert group(process.pid) == members >= {*workers}


def test_damage_found_by_a_worker_is_told(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("TFLOTTERY_CACHE", str(tmp_path / "cache"))
    digits = source.load("digits")
    (path,) = (path for path in digits.stamps if path.endswith("test_labels.npy"))
    with open(path, "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\7")
    pool.submit(0, Inspect("lenet", Setting("digits")))
    found = []
    wait_for(lambda: found.extend(pool.messages(1.0)) or found[-1:])
    wait_for(lambda: found.extend(pool.messages(1.0)) or found[-1][1].kind in ENDINGS)
    kinds = [message.kind for _, message in found]
    assert kinds == ["note", "ended"]
    assert "'digits'" in found[0][1].value and "test_labels.npy" in found[0][1].value
    assert found[1][1].value.data.digest == digits.digest


def test_a_frozen_worker_is_ended_and_counts_as_dead(pool, toys, tmp_path):
    pool.submit(0, Make(toys.Count(10_000, str(tmp_path / "count"), pause=0.05)))
    # While it starts it shows nothing.
    pool.end_silent(0, seconds=0.0)
    pool.end_silent(1, seconds=0.0)
    wait_for(lambda: pool._workers[0].pulse.value)
    os.kill(pool.processes()[0], signal.SIGSTOP)

    def has_died():
        pool.end_silent(0, seconds=3.0)
        return any(one.kind == "died" for _, one in pool.messages(0.1))

    began = time.monotonic()
    wait_for(has_died)
    assert time.monotonic() - began > 2.0
