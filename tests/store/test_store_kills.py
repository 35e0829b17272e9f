"""Killed and competing processes never leave half an artifact."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tflottery.store.errors import MissingArtifact
from tflottery.store.store import Store

FILES = ("weights.safetensors", "slots.safetensors")

WRITE = """
import os, sys
from tflottery.store.store import Store
store, first = Store(sys.argv[1]), int(sys.argv[2])
for number in range(first, first + 1000):
    # Every third address is written again and again, with other contents.
    address = f"runs/{number}" if number % 3 else "runs/same"
    with store.writing(address, {"number": number}) as folder:
        for name in ("weights.safetensors", "slots.safetensors"):
            (folder / name).write_bytes(bytes([number % 256]) * 50_000)
    if number == first:
        print("ready", flush=True)
"""

# Stops at a chosen call of a chosen function, so that the kill comes right there.
STOP = """
import os, sys, time
from tflottery.store.store import Store
function, calls = sys.argv[2], int(sys.argv[3])
original = getattr(os, function)
def stopping(*arguments, **named):
    global calls
    calls -= 1
    if calls < 0:
        print("stopped", flush=True)
        time.sleep(60)
    return original(*arguments, **named)
store = Store(sys.argv[1])
setattr(os, function, stopping)
with store.writing("runs/a", {"version": 2}) as folder:
    (folder / "weights.safetensors").write_bytes(b"new")
    os.getppid()
    (folder / "slots.safetensors").write_bytes(b"new")
"""

MOMENTS = {
    "between two files": ("getppid", 0),
    "before the first file is synced": ("fsync", 0),
    "before the second file is synced": ("fsync", 1),
    "before the manifest is synced": ("fsync", 2),
    "before the move": ("rename", 0),
}
MOMENTS_OF_REPLACING = {
    **MOMENTS,
    "before the old one is moved away": ("rename", 1),
    "between the two moves": ("rename", 2),
}


def start(program, *arguments):
    """Starts a process and waits for its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline()
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def check_all_whole(root):
    """Opens every artifact in a store, which compares every byte; returns how many."""
    store = Store(root)
    addresses = store.addresses()
    for address in addresses:
        assert store.has(address, FILES)
        number = store.manifest(address)["number"]
        for name in FILES:
            data = (store.open(address) / name).read_bytes()
            assert data == bytes([number % 256]) * 50_000
    assert not os.path.exists(f"{root}/damaged")
    return len(addresses)


def drafts_left(root):
    """Returns what lies in the folders of unfinished writings."""
    return [name for _, folders, _ in os.walk(f"{root}/.drafts") for name in folders]


HOLD = """
import sys, time
from tflottery.store.store import Store
store = Store(sys.argv[1])
with store.lock("runs/" + sys.argv[2]), store.writing("runs/a", {}):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_sweeping_removes_what_the_dead_left_and_nothing_of_the_living(tmp_path):
    dead, living = start(HOLD, tmp_path, "dead"), start(HOLD, tmp_path, "living")
    try:
        kill(dead)
        Store(tmp_path).sweep()
        assert len(drafts_left(tmp_path)) == 2
        assert os.listdir(tmp_path / ".locks") == ["runs%2Fliving.lock"]
    finally:
        kill(living)
    Store(tmp_path).sweep()
    assert os.listdir(tmp_path / ".drafts") == os.listdir(tmp_path / ".locks") == []


def test_sweeping_an_empty_store_makes_nothing(tmp_path):
    Store(tmp_path / "store").sweep()
    assert not (tmp_path / "store").exists()


def kill_at_random(root, *, times, seed):
    randomness = random.Random(seed)
    for attempt in range(times):
        process = start(WRITE, root, 1000 * attempt)
        time.sleep(randomness.uniform(0, 0.05))
        kill(process)
        check_all_whole(root)
    assert check_all_whole(root) > 0
    store = Store(root)
    with store.writing("runs/last", {}):
        assert len(drafts_left(root)) == 2


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    kill_at_random(tmp_path, times=6, seed=1)


@pytest.mark.slow
def test_killed_at_many_random_moments(tmp_path):
    kill_at_random(tmp_path, times=50, seed=2)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_writing(tmp_path, moment):
    kill(start(STOP, tmp_path, *MOMENTS[moment]))
    store = Store(tmp_path)
    assert not store.has("runs/a")
    assert store.addresses() == []
    check_can_be_written(store)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS_OF_REPLACING)
def test_killed_while_replacing(tmp_path, moment):
    with Store(tmp_path).writing("runs/a", {"version": 1}) as folder:
        (folder / "weights.safetensors").write_bytes(b"old")
    kill(start(STOP, tmp_path, *MOMENTS_OF_REPLACING[moment]))
    store = Store(tmp_path)
    assert store.has("runs/a") == (moment != "between the two moves")
    if store.has("runs/a"):
        data = (store.open("runs/a") / "weights.safetensors").read_bytes()
        assert data == b"old"
    check_can_be_written(store)


def check_can_be_written(store):
    with store.writing("runs/a", {"version": 3}) as folder:
        (folder / "weights.safetensors").write_bytes(b"third")
        # This process's folder and the draft in it; the dead one's was swept.
        assert len(drafts_left(store.root)) == 2
    assert (store.open("runs/a") / "weights.safetensors").read_bytes() == b"third"


RACE = """
import sys, time
from tflottery.store.store import Store
store, number = Store(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    with store.writing("runs/same", {"number": number}) as folder:
        for name in ("weights.safetensors", "slots.safetensors"):
            (folder / name).write_bytes(bytes([number]) * 50_000)
    number += 2
"""


@pytest.mark.slow
def test_two_processes_write_one_address_at_once(tmp_path):
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    processes = [
        subprocess.Popen(
            [*command, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    while any(process.poll() is None for process in processes):
        check_readable(tmp_path)
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert check_all_whole(tmp_path) == 1
    assert drafts_left(tmp_path) == []


def check_readable(root):
    """Opens what is being replaced all the time: it is whole or not there."""
    try:
        Store(root).open("runs/same")
    except MissingArtifact:
        pass
    assert not os.path.exists(f"{root}/damaged")
