"""Whole commands of two hosts on one folder, without locks; one frozen, one killed."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import tflottery
from tflottery.store.store import Store

pytestmark = pytest.mark.slow

# What each process of a command runs first: a host is a name, no lock reaches another
# process, and seconds stand for minutes.
_ON_A_HOST = """
import fcntl, os, socket

socket.gethostname = lambda: os.environ["NAME_OF_HOST"]
fcntl.flock = lambda *arguments: None

from tflottery.store import claims

claims.BEAT_SECONDS, claims.SILENT_SECONDS = 0.2, 3.0
"""
_COMMAND = (
    *("tflottery.experiments.lottery", "--dataset=digits", "--replicates=2"),
    *("--rewind_iterations=0", "--training_iterations=200", "--levels=1-2"),
    *("--subnetworks=imp,random_pruning", "--workers=1", "--checkpoint_every=0.01"),
)


@pytest.fixture
def begin(tmp_path):
    """Begins the command on a host, in a group of processes of its own."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(_ON_A_HOST)
    package = pathlib.Path(tflottery.__file__).parents[1]
    begun = []

    def start(host, *, store="store", output="output", executor="local"):
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", *_COMMAND),
                *(f"--store={tmp_path / store}", f"--output_dir={tmp_path / output}"),
                f"--executor={executor}",
            ],
            env=os.environ
            | {
                "NAME_OF_HOST": host,
                "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{package}",
            },
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


def until_there_are(num_artifacts, store):
    """Waits until a store has so many artifacts."""
    deadline = time.monotonic() + 300
    while len(store.addresses()) < num_artifacts:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def tables(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


def test_hosts_take_over_from_each_other_and_nothing_is_damaged(begin, tmp_path):
    undisturbed = begin(
        "c", store="other_store", output="undisturbed", executor="inline"
    )
    store = Store(tmp_path / "store")
    frozen = begin("a")
    until_there_are(2, store)
    os.killpg(frozen.pid, signal.SIGSTOP)
    num_before = len(store.addresses())
    # As the first gives no sign of life, the second goes on; until it is killed.
    killed = begin("b")
    until_there_are(num_before + 2, store)
    os.killpg(killed.pid, signal.SIGKILL)
    told = killed.communicate()[1]
    assert "is claimed by process" in told and "on host 'a'" in told
    # The first is refused by the claim of the second, whether that lives or not.
    num_before = len(store.addresses())
    os.killpg(frozen.pid, signal.SIGCONT)
    told = frozen.communicate()[1]
    assert frozen.returncode == 74
    assert "is being written by process" in told and "on host 'b'" in told
    # At most what was on its way when it was frozen.
    assert len(store.addresses()) <= num_before + 1
    # The same command goes on, on either host, and makes what one would have made.
    last = begin("a", executor="inline")
    told = last.communicate()[1]
    assert last.returncode == 0, told
    assert "on host 'b'" in told
    assert undisturbed.wait() == 0
    assert tables(tmp_path / "output") == tables(tmp_path / "undisturbed") != {}
    other = Store(tmp_path / "other_store")
    assert {one for one in store.addresses() if one.startswith("runs/")} >= {
        one for one in other.addresses() if one.startswith("runs/")
    }
    assert not any(map(store.fault, store.addresses()))
    assert not (tmp_path / "store/damaged").exists()
