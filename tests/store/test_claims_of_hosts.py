"""Commands of two hosts that share a folder and no locks; one is killed or frozen.

Each command here is one process that writes made-up states under
locks. Hosts are names, and locks of each lie where others do not see them.
"""

import signal
import subprocess
import sys
import time

import pytest

from tflottery.store.store import Store

pytestmark = pytest.mark.slow

NUM_STATES = 12
# Arguments: root, host, folder of the host's locks, seconds a state takes, how many.
COMMAND = """
import fcntl, hashlib, os, sys, threading, time
from tflottery.store import claims, locks
from tflottery.store.errors import StoreError
from tflottery.store.store import Store

root, host, own, seconds, num_states = sys.argv[1:]
flock = fcntl.flock

def of_this_host(descriptor, operation):
    # What holds a lock is a file of the host's own, of the same number.
    shadow = os.open(f"{own}/{os.fstat(descriptor).st_ino}", os.O_RDWR | os.O_CREAT)
    shadows.append(shadow)
    flock(shadow, operation)

shadows = []
fcntl.flock = (lambda *arguments: None) if own == "none" else of_this_host
locks.host = lambda: host
claims.BEAT_SECONDS, claims.SILENT_SECONDS = 0.2, 3.0

def advance(store):
    for number in range(int(num_states)):
        address = f"runs/r/{number:08d}"
        if store.has(address):
            continue
        with store.writing(address, {}) as folder:
            state = hashlib.sha256(str(number).encode()).digest() * 4000
            for name in ("weights", "slots"):
                (folder / name).write_bytes(state)
            time.sleep(float(seconds))
        print(address, flush=True)

store = Store(root)
try:
    with store.claimed(lambda text: print("watching", flush=True)):
        store.ensure_writable()
        lock = store.lock("runs/r")
        while lock is None:
            time.sleep(0.05)
            lock = store.lock("runs/r")
        with lock:
            advance(store)
    print("done", flush=True)
except StoreError as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    sys.exit(74)
"""


@pytest.fixture
def begin(tmp_path):
    """Starts a command on a host."""
    processes = []

    def start(host, *, seconds=0.2, own=True):
        folder = tmp_path / f"locks-of-{host}"
        folder.mkdir(exist_ok=True)
        arguments = (str(tmp_path / "store"), host, str(folder) if own else "none")
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments, str(seconds), f"{NUM_STATES}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def verify(tmp_path):
    """Compares every byte with what a command would have made undisturbed."""

    def compare():
        import hashlib

        store = Store(tmp_path / "store")
        found = store.addresses()
        assert found == [f"runs/r/{number:08d}" for number in range(NUM_STATES)]
        for number, address in enumerate(found):
            assert store.fault(address) is None
            expected = hashlib.sha256(str(number).encode()).digest() * 4000
            for name in ("weights", "slots"):
                assert (store.open(address) / name).read_bytes() == expected
        assert not (tmp_path / "store" / "damaged").exists()

    return compare


def lines_until(process, beginning):
    """Reads what a command prints up to a line; returns that."""
    while line := process.stdout.readline():
        if line.startswith(beginning):
            return line
    raise AssertionError(f"It ended without {beginning!r}.")


@pytest.mark.parametrize("own", [True, False], ids=["own locks", "no locks"])
def test_another_host_goes_on_after_a_kill(begin, verify, own, tmp_path):
    first = begin("a", own=own)
    lines_until(first, "runs/r/00000002")
    first.kill()
    second = begin("b", own=own, seconds=0)
    assert second.communicate()[0].startswith("watching\nruns/r/0000000")
    assert second.returncode == 0
    # What the killed one had begun is not for others to remove.
    assert list((tmp_path / "store" / ".drafts").glob("a[-.]*"))
    verify()


def test_a_second_host_is_refused_while_the_first_lives(begin, verify):
    first = begin("a", seconds=0.5)
    lines_until(first, "runs/r/00000000")
    began = time.monotonic()
    second = begin("b")
    told = second.communicate()[0]
    assert second.returncode == 74
    assert "ClaimedStore: " in told and f"process {first.pid} on host 'a'" in told
    print(f"refused after {time.monotonic() - began:.1f} s")
    beside = begin("a")
    assert first.wait() == beside.wait() == 0
    verify()


@pytest.mark.parametrize("own", [True, False], ids=["own locks", "no locks"])
def test_who_was_frozen_is_refused_when_it_continues(begin, verify, own):
    first = begin("a", own=own)
    lines_until(first, "runs/r/00000002")
    first.send_signal(signal.SIGSTOP)
    second = begin("b", own=own, seconds=0.5)
    lines_until(second, "runs/r")
    first.send_signal(signal.SIGCONT)
    told = first.communicate()[0]
    assert first.returncode == 74
    assert f"process {second.pid} on host 'b'" in told
    # At most the state that it was frozen in.
    assert told.count("runs/r") <= 1
    assert second.wait() == 0
    verify()


def test_who_was_frozen_goes_on_when_the_other_has_ended(begin, verify):
    first = begin("a")
    lines_until(first, "runs/r/00000002")
    first.send_signal(signal.SIGSTOP)
    second = begin("b", seconds=0)
    assert second.wait() == 0
    first.send_signal(signal.SIGCONT)
    assert first.wait() == 0
    verify()
