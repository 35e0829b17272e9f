"""What is told of a command from another terminal: running, done, killed or stuck."""

import datetime
import json
import os
import signal
import subprocess
import sys

import pytest

import tflottery.status.__main__ as tool
from tflottery.status import log_reader
from tflottery.store import locks
from tflottery.store.store import Store
from tflottery.studies.output import RUNNING_FILE

_START = datetime.datetime(2026, 1, 2, 10, 0, 0)
_COMMAND = "python -m tflottery.experiments.lottery --model=lenet"


def minute(number, text):
    return f"{_START + datetime.timedelta(minutes=number)}  {text}\n"


def progress(number, percent, iterations):
    line = f"{percent}% done, {iterations} of 5,678 iterations, 20 a second, "
    return minute(number, f"{line}2 jobs at work, about 3 minutes left")


@pytest.fixture
def folder(tmp_path):
    """A folder of results whose second command is at work for three minutes."""
    found = tmp_path / "results"
    found.mkdir()
    log = minute(-60, "python -m tflottery.experiments.lottery --replicates=1")
    log += minute(-60, "0.0% done, 0 of 9 iterations, 0 a second, ...")
    log += minute(0, _COMMAND) + minute(0, "lenet on digits\n  runs        7")
    log += progress(1, "10.0", "500") + progress(2, "20.0", "1,000")
    (found / "log.txt").write_text(log)
    config = {"complete": False, "artifacts": {"made": 3, "wanted": 40}}
    (found / "config.json").write_text(json.dumps(config))
    return found


def told(folder, *, minutes=2.5, lines=8):
    now = _START + datetime.timedelta(minutes=minutes)
    return tool.status(str(folder), num_lines=lines, now=now)


def state(folder, **options):
    return told(folder, **options).splitlines()[1].split(None, 1)[1]


@pytest.fixture
def running(folder):
    with locks.acquire(str(folder / RUNNING_FILE)):
        yield folder


def test_a_running_command_is_told_of(running):
    text = told(running, lines=2)
    assert f"state     running, process {os.getpid()} on " in text
    assert f"command   {_COMMAND}\n" in text
    assert "since     2026-01-02 10:00:00 (2 minutes)" in text
    assert (
        "progress  20.0% done, 1,000 of 5,678 iterations, 20 a second, 2 jobs" in text
    )
    assert "about 3 minutes left (30 seconds ago)" in text
    assert "tables    of 3 of 40 artifacts" in text
    assert [line.split()[0] for line in text.splitlines()[-2:]] == [
        "10:01:00",
        "10:02:00",
    ]
    # Its lock was looked at, and not taken.
    assert locks.is_held(str(running / RUNNING_FILE))


def test_one_that_says_nothing_is_stuck(running):
    assert state(running, minutes=6.9).startswith("running")
    assert state(running, minutes=32).startswith("stuck or suspended: process")
    assert state(running, minutes=32).endswith("without a word for 30 minutes")


def test_one_that_gets_nowhere_is_told_so(running):
    with (running / "log.txt").open("a") as log:
        log.writelines(progress(number, "20.0", "1,000") for number in range(3, 21))
    assert state(running, minutes=20.5).endswith(" without progress for 18 minutes")


def test_ends_are_told_apart(folder):
    assert state(folder).startswith("ended before all was made")
    (folder / "config.json").write_text('{"complete": true}')
    assert state(folder) == "done"
    assert "20.0% done" not in told(folder, lines=0)


def test_one_that_has_ended_tells_how_long_it_took(folder):
    assert "  from      2026-01-02 10:00:00 to 2026-01-02 10:02:00 (2 minutes)" in told(
        folder, minutes=500
    )


def test_folders_below_are_told_of_in_a_line_each(running, tmp_path):
    other = tmp_path / "lottery" / "other"
    other.mkdir(parents=True)
    (other / "log.txt").write_bytes(minute(0, _COMMAND).encode() + b"\xc3")
    first, second = told(tmp_path).splitlines()
    assert first.startswith(f"{running}: running, process {os.getpid()} on ")
    assert ", 20.0% done, 1,000 of 5,678 iterations" in first
    assert second == (f"{other}: ended before all was made. The same command goes on")


def test_a_killed_command_is_told_of(folder):
    code = (
        "import sys, time; from tflottery.store import locks\n"
        "lock = locks.acquire(sys.argv[1]); print('held', flush=True); time.sleep(60)"
    )
    path = str(folder / RUNNING_FILE)
    arguments = [sys.executable, "-c", code, path]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert state(folder) == f"running, {locks.holder(path)}"
        process.send_signal(signal.SIGKILL)
    assert state(folder).startswith("killed: it did not come to its end.")


def test_jobs_in_a_store_are_told_of(tmp_path):
    store = Store(tmp_path / "store")
    with store.lock("runs/0123abc"):
        text = told(tmp_path / "store")
        assert f"    runs/0123abc, process {os.getpid()} on " in text
    assert "Nobody on this machine is at work" in told(tmp_path / "store")
    with store.claimed(print):
        # Between two jobs: a command that can be seen, or one that cannot.
        assert len(told(tmp_path / "store").splitlines()) == 2
        assert "Nobody" not in told(tmp_path / "store")


def test_another_folder_is_refused(tmp_path):
    for name in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match="is no folder of results.*and no store"):
            told(name)


def test_a_log_without_a_command_is_read_from_its_beginning():
    assert log_reader.told("") is None
    found = log_reader.told(minute(0, "Results are in x") + minute(1, "the end\nof it"))
    assert [one.text for one in found.records] == ["Results are in x", "the end\nof it"]
    assert found.progress is None and found.same_since is None
